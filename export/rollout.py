"""Moving a label on running servers, in two steps, so that no request meets a missing version.

A server accepts a label only on a version that is available. So it is first asked to load the
version beside those that it serves; only when every server has it does the label move. A server
that does not get there leaves everything as it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from export.store import StoreError, VersionStore
from export.version_labels import VersionLabels, check_label
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.tls import ClientTls

_POLL_SECONDS = 0.1
_CALL_SECONDS = 10.0


def served_models(model_root: Path) -> list[ServedModel]:
    """Every model in a model root that has a version, with what its labels ask to be served.

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
            versions = tuple(state.served)
            models.append(ServedModel(store.path.name, store.path, versions, state.labels))
    if not models:
        raise StoreError(f"no model with a version in {root}; run: peakserve export")
    return models


class Rollout:
    """Moves labels of one model, on the servers given.

    Args:
      model_root: The folder of all models. A server that is told hosts all of them.
      model: The model.
      addresses: gRPC addresses of running servers.
      config_dir: A folder whose `models.config` is written again at each step.
      timeout: Seconds that the servers may take to load a version.
      tell: Where progress goes.
      tls: How the servers are spoken to, in the clear if `None`.
    """

    def __init__(
        self,
        model_root: Path,
        model: str,
        addresses: Sequence[str],
        config_dir: Path | None,
        timeout: float,
        tell: Callable[[str], object],
        tls: ClientTls | None = None,
    ) -> None:
        self._root = model_root
        self._model = model
        self._labels = VersionLabels(VersionStore(model_root, model))
        self._addresses = addresses
        self._config_dir = config_dir
        self._timeout = timeout
        self._tell = tell
        self._tls = tls

    def promote(self, label: str, version: int) -> None:
        """Points a label at a version.

        Raises:
          StoreError: The version cannot be loaded, or the label is no word.
          ServingError: A server refused, or did not load the version in time; nothing moved.
        """
        check_label(label)
        before = self._labels.read().labels.get(label)
        self._load(version)
        self._labels.move(label, version)
        self._apply()
        was = "" if before is None else f", was {before}"
        self._tell(f"{label} is {self._model} {version}{was}")

    def roll_back(self, label: str) -> None:
        """Points a label at the version that it named before.

        Raises:
          StoreError: There is none that can be loaded.
          ServingError: A server refused, or did not load the version in time; nothing moved.
        """
        version = self._labels.previous(label)
        left = self._labels.read().labels[label]
        self._load(version)
        self._labels.roll_back(label, version)
        self._apply()
        self._tell(f"{label} is {self._model} {version} again, was {left}")

    def unlabel(self, label: str) -> None:
        """Takes a label away.

        Raises:
          StoreError: There is no such label.
          ServingError: A server refused.
        """
        self._labels.remove(label)
        self._apply()
        self._tell(f"{label} is no longer a label of {self._model}")

    def _load(self, version: int) -> None:
        """The first step: every server has the version, or everything is as it was."""
        self._labels.announce(version)
        try:
            self._apply()
            for address in self._addresses:
                self._wait(address, version)
        except (ServingError, OSError):
            self._labels.forget()
            raise

    def _apply(self) -> None:
        """Tells the servers what the store says now."""
        if not self._addresses and self._config_dir is None:
            return
        text = models_config_text(served_models(self._root))
        if self._config_dir is not None:
            path = self._config_dir / MODELS_CONFIG
            staging = path.with_name(f".{MODELS_CONFIG}.new")
            staging.write_text(text, encoding="utf-8")
            # A server that polls the file must never read half of it.
            os.replace(staging, path)  # noqa: PTH105 - one rename that replaces
        for address in self._addresses:
            with self._client(address, self._timeout) as client:
                client.reload_config(text)

    def _client(self, address: str, timeout: float) -> GrpcClient:
        return GrpcClient(address, model=self._model, timeout=timeout, tls=self._tls)

    def _wait(self, address: str, version: int) -> None:
        """Returns when a server has the version available.

        Raises:
          ServingError: It failed to load, or the time is over.
        """
        deadline = time.monotonic() + self._timeout
        with self._client(address, _CALL_SECONDS) as client:
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
