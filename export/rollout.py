"""Moving a label on running servers, in three steps, so that no request meets a missing version.

A server accepts a label only on a version that is available. So it is first asked to load the
version beside those that it serves; only when every server has it does the label move; and only
when every server knows the label's new version is the one it left no longer asked for. A server
that does not get there leaves everything as it was. Between the steps the store remembers what a
server may still serve, so that pruning spares it even if the rollout is killed.

One rollout of a model root runs at a time: each writes down the whole list of models, and an older
list must not come after a newer one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event

from export.store import StoreError, VersionStore, locked
from export.version_labels import VersionLabels, check_label
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text

_POLL_SECONDS = 0.1
_CALL_SECONDS = 10.0


def served_models(model_root: Path, settled: str = "") -> list[ServedModel]:
    """Every model in a model root that has a version, with what its labels ask to be served.

    Args:
      model_root: The folder of all models.
      settled: A model whose rollout ends: it needs no versions but the labelled ones.

    Raises:
      StoreError: A model's labels cannot be read, or there is no model.
    """
    root = model_root.resolve()
    stores = [
        VersionStore(root, path.name)
        for path in (sorted(root.iterdir()) if root.is_dir() else [])
        if path.is_dir() and not path.name.startswith(".")
    ]
    models = []
    for store in stores:
        if store.versions():
            state = VersionLabels(store).read()
            served = set(state.labels.values() if store.path.name == settled else state.served)
            if served and not state.labels:
                # Nothing is labelled yet: clients ask for the newest, which must stay.
                served.add(max(store.versions()))
            versions = tuple(sorted(served))
            models.append(ServedModel(store.path.name, store.path, versions, state.labels))
    if not models:
        raise StoreError(f"no model with a version in {root}; run: peakserve export")
    return models


@contextmanager
def only_rollout(model_root: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Waits until no other process moves labels in this model root or writes them down.

    Args:
      model_root: The folder of all models.
      tell: Where it is said that there is another.

    Raises:
      StoreError: There is no such folder.
    """
    if not model_root.is_dir():
        raise StoreError(f"no model with a version in {model_root}; run: peakserve export")
    with ExitStack() as held:
        try:
            held.enter_context(locked(model_root))
        except BlockingIOError:
            tell(f"another rollout in {model_root} is under way: waiting until it ends")
            held.enter_context(locked(model_root, wait=True))
        yield


class Rollout:
    """Moves labels of one model, on the servers given.

    Args:
      model_root: The folder of all models. A server that is told hosts all of them.
      model: The model.
      addresses: gRPC addresses of running servers.
      config_dir: A folder whose `models.config` is written again at each step.
      timeout: Seconds that the servers may take to load a version.
      tell: Where progress goes.
    """

    def __init__(
        self,
        model_root: Path,
        model: str,
        addresses: Sequence[str],
        config_dir: Path | None,
        timeout: float,
        tell: Callable[[str], object],
    ) -> None:
        self._root = model_root
        self._model = model
        self._labels = VersionLabels(VersionStore(model_root, model))
        self._addresses = addresses
        self._config_dir = config_dir
        self._timeout = timeout
        self._tell = tell

    def promote(self, label: str, version: int) -> None:
        """Points a label at a version.

        Raises:
          StoreError: The version cannot be loaded, or the label is no word.
          ServingError: A server refused, or did not load the version in time; nothing moved.
        """
        check_label(label)
        with only_rollout(self._root, self._tell):
            before = self._labels.read().labels.get(label)
            self._load(version)
            self._labels.move(label, version)
            self._finish()
        was = "" if before is None else f", was {before}"
        self._tell(f"{label} is {self._model} {version}{was}")

    def roll_back(self, label: str) -> None:
        """Points a label at the version that it named before.

        Raises:
          StoreError: There is none that can be loaded.
          ServingError: A server refused, or did not load the version in time; nothing moved.
        """
        with only_rollout(self._root, self._tell):
            version = self._labels.previous(label)
            left = self._labels.read().labels[label]
            self._load(version)
            self._labels.roll_back(label, version)
            self._finish()
        self._tell(f"{label} is {self._model} {version} again, was {left}")

    def unlabel(self, label: str) -> None:
        """Takes a label away.

        Raises:
          StoreError: There is no such label.
          ServingError: A server refused.
        """
        with only_rollout(self._root, self._tell):
            self._labels.remove(label)
            self._finish()
        self._tell(f"{label} is no longer a label of {self._model}")

    def _load(self, version: int) -> None:
        """The first step: every server has the version, or everything is as it was."""
        self._labels.announce(version)
        try:
            self._apply()
            for address in self._addresses:
                self._wait(address, version)
        except (ServingError, OSError):
            # Servers that can be reached need not go on trying.
            with suppress(ServingError, OSError):
                self._apply(settled=self._model)
            self._labels.forget()
            raise

    def _finish(self) -> None:
        """The last steps: every server knows the labels, then none needs what they left."""
        self._apply()
        if self._labels.read().loading:
            # In this order: what a server may still be asked for is never pruned.
            self._apply(settled=self._model)
            self._labels.forget()

    def _apply(self, settled: str = "") -> None:
        """Tells the servers what the store says now."""
        if not self._addresses and self._config_dir is None:
            return
        text = models_config_text(served_models(self._root, settled))
        if self._config_dir is not None:
            path = self._config_dir / MODELS_CONFIG
            staging = path.with_name(f".{MODELS_CONFIG}.new")
            staging.write_text(text, encoding="utf-8")
            # A server that polls the file must never read half of it.
            os.replace(staging, path)  # noqa: PTH105 - one rename that replaces
        for address in self._addresses:
            with GrpcClient(address, model=self._model, timeout=self._timeout) as client:
                client.reload_config(text)

    def _wait(self, address: str, version: int) -> None:
        """Returns when a server has the version available.

        Raises:
          ServingError: It failed to load, or the time is over.
        """
        deadline = time.monotonic() + self._timeout
        with GrpcClient(address, model=self._model, timeout=_CALL_SECONDS) as client:
            while True:
                status = client.status().get(version)
                if status is not None and status.is_available:
                    self._tell(f"{address}: {self._model} {version} is available")
                    return
                state = "not known" if status is None else status.state
                failed = status is not None and status.error_code != "OK" and state == "END"
                if failed or time.monotonic() >= deadline:
                    reason = status.error_message if status is not None else ""
                    raise ServingError(
                        f"{address}: expected {self._model} {version} to be AVAILABLE, got "
                        f"{state} {reason}".strip(),
                        code="UNAVAILABLE",
                        transport=client.transport,
                    )
                Event().wait(_POLL_SECONDS)
