"""Moving a label on running servers, in three steps, so that no request meets a missing version.

A server accepts a label only on a version that is available. So it is first asked to load the
version beside those that it serves; only when every server has it does the label move; and only
when every server knows the label's new version is the one it left no longer asked for. A server
that does not get there leaves everything as it was. Between the steps the store remembers what a
server may still serve, so that pruning spares it even if the rollout is killed.

One label of a model moves at a time; and the list of all models, which a server gets as a whole, is
made and handed on under a lock of its own, so that an older one never comes after a newer one.

A rollout is over when servers have let go of what they no longer need. Until then a version that
is about to be unloaded looks available, and a label that went back to it would soon name nothing.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from export.hosting import CONFIGURATIONS
from export.served_models import alone, listed_in, served_models
from export.store import StoreError, VersionStore
from export.version_labels import State, VersionLabels, check_label
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.models_config import MODELS_CONFIG, models_config_text
from serving_config.status import VersionStatus
from serving_config.tls import ClientTls

_POLL_SECONDS = 0.1
_CALL_SECONDS = 10.0
LOCK_FILE = ".rollout.lock"


class Rollout:
    """Moves labels of one model, on the servers given.

    Args:
      model_root: The folder of all models.
      model: The model.
      addresses: gRPC addresses of running servers.
      config_dir: A folder whose `models.config` is written again at each step. Where servers are
        told, so is that of a server that `serve` has started on the model: it undoes what its file
        does not say.
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
        self._root = model_root.resolve()
        self._model = model
        self._labels = VersionLabels(VersionStore(model_root, model))
        self._addresses = addresses
        self._config_dir = config_dir
        self._timeout = timeout
        self._tell = tell
        self._tls = tls

    def promote(self, label: str, version: int) -> int | None:
        """Points a label at a version.

        Returns:
          The version that it named before, if any.

        Raises:
          StoreError: The version cannot be loaded, the label is no word, or a file cannot be
            written; nothing moved.
          ServingError: A server refused, or did not load the version in time; nothing moved,
            unless it says that the label has moved in the store.
        """
        check_label(label)
        with self._alone():
            before = self._labels.read()
            self._load(version)
            self._move(label, version, before, self._labels.move)
        left = before.labels.get(label)
        self._tell_done(f"{label} is {self._model} {version}{_was(left)}")
        return left

    def roll_back(self, label: str) -> tuple[int, int | None]:
        """Points a label at the version that it named before, also one that was taken away.

        Returns:
          That version, and the one that the label has left, if any.

        Raises:
          StoreError: There is none that can be loaded, or a file cannot be written; nothing moved.
          ServingError: A server refused, or did not load the version in time; nothing moved,
            unless it says that the label has moved in the store.
        """
        with self._alone():
            version = self._labels.previous(label)
            before = self._labels.read()
            self._load(version)
            self._move(label, version, before, self._labels.roll_back)
        left = before.labels.get(label)
        self._tell_done(f"{label} is {self._model} {version} again{_was(left)}")
        return version, left

    def unlabel(self, label: str) -> int | None:
        """Takes a label away.

        Returns:
          The version that it named.

        Raises:
          StoreError: There is no such label.
          ServingError: A server refused.
        """
        with self._alone():
            left = self._labels.read().labels.get(label)
            self._labels.remove(label)
            self._apply()
            self._finish(f"{label} is no longer a label of {self._model}")
        self._tell_done(f"{label} is no longer a label of {self._model}")
        return left

    @property
    def _of_serve(self) -> Path:
        """What a server reads that `serve` has started on the model."""
        return self._root / CONFIGURATIONS / self._model / MODELS_CONFIG

    def _tell_done(self, line: str) -> None:
        """Says what is done, and that a server which runs refuses a label moved in one step."""
        is_served = self._config_dir is not None or self._of_serve.exists()
        if is_served and not self._addresses:
            line += "; servers that run go on as before: move it on them with --address HOST:PORT"
        self._tell(line)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits for another rollout of this model: one's first step ends the other's."""
        path = self._labels.store.path / LOCK_FILE
        if not path.parent.is_dir():
            raise StoreError(f"no version in {path.parent}; run: peakserve export")
        try:
            path.touch()
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
        with alone(path, self._tell):
            yield

    def _load(self, version: int) -> None:
        """The first step: every server has the version, or everything is as it was."""
        # What a killed rollout left is ended first.
        self._try_to_settle()
        self._labels.announce(version)
        try:
            before = {address: self._status(address, version) for address in self._addresses}
            self._apply()
            for address, status in before.items():
                self._wait(address, version, status)
        except (ServingError, StoreError):
            self._try_to_settle()
            raise

    def _move(
        self, label: str, version: int, before: State, move: Callable[[str, int], object]
    ) -> None:
        """The other steps: the label names the version, in the store and on every server."""
        move(label, version)
        try:
            self._apply()
        except StoreError:
            # No server was told yet.
            self._labels.restore(label, before)
            self._try_to_settle()
            raise
        except ServingError as error:
            # Servers that were told have left the version before: forward is the way out.
            raise ServingError(
                f"{label} is {self._model} {version} in the store, but a server was not told "
                f"({error.sentence}); run: peakserve versions promote {version} --label {label}",
                code=error.code,
                transport=error.transport,
            ) from error
        self._finish(f"{label} is {self._model} {version}")

    def _finish(self, done: str) -> None:
        """The last step, which undoes nothing where it fails.

        Raises:
          StoreError: The file cannot be written.
          ServingError: A server refused.
        """
        kept = "servers may keep a version that no label names until the next label moves"
        try:
            self._settle()
        except StoreError as error:
            raise StoreError(f"{done}, but {kept}: {error}") from error
        except ServingError as error:
            raise ServingError(
                f"{done}, but {kept}: {error.sentence}", code=error.code, transport=error.transport
            ) from error

    def _try_to_settle(self) -> None:
        """Before a rollout, and after one that failed, which is what the user reads about."""
        with suppress(ServingError, StoreError):
            self._settle()

    def _settle(self) -> None:
        """Servers need labelled versions only, and have let go of the others."""
        state = self._labels.read()
        if not state.loading:
            return
        # Without a label the newest version is what clients ask for.
        kept = self._apply(settle=True) or self._labels.store.versions()[-1:]
        left = set(state.served).difference(kept)
        for address in self._addresses:
            self._wait_until_gone(address, left)

    def _apply(self, *, settle: bool = False) -> tuple[int, ...]:
        """Tells the servers what the store says now.

        Args:
          settle: Whether the model's rollout is over: only labelled versions are asked for.

        Returns:
          The model's versions that are asked for.

        Raises:
          StoreError: The file cannot be written; no server was told.
          ServingError: A server refused; those before it were told.
        """
        if not self._addresses and self._config_dir is None:
            if settle:
                self._labels.forget()
            return ()
        # What is told must be what the store says last, also if another model's label moves now.
        with alone(self._root, self._tell):
            models = served_models(self._root, self._model if settle else "")
            own = next(model for model in models if model.name == self._model)
            if self._addresses and self._of_serve.exists():
                _replace(self._of_serve, models_config_text([own]))
            if self._config_dir is not None:
                path = self._config_dir / MODELS_CONFIG
                listed = listed_in(path, models)
                _replace(path, models_config_text(m for m in models if m in listed or m is own))
            try:
                for address in self._addresses:
                    with self._client(address, self._timeout) as client:
                        known = [m for m in models if m is own or _hosts(client, m.name)]
                        client.reload_config(models_config_text(known))
            except ServingError as error:
                if error.code != "DEADLINE_EXCEEDED":
                    raise
                raise self._hinted(error) from error
            finally:
                # Only now: what a server may still be asked for is never pruned.
                if settle:
                    self._labels.forget()
        return own.versions

    def _hinted(self, error: ServingError) -> ServingError:
        """With what to do about a server that did not do what it was told."""
        if self._config_dir is not None:
            return error
        return ServingError(
            f"{error.sentence}; a server that reads its models.config again undoes what it is "
            "told: pass that file's folder with --config-dir",
            code=error.code,
            transport=error.transport,
        )

    def _client(self, address: str, timeout: float) -> GrpcClient:
        return GrpcClient(address, model=self._model, timeout=timeout, tls=self._tls)

    def _status(self, address: str, version: int) -> VersionStatus | None:
        """What a server says of a version, `None` if it does not know it.

        Raises:
          ServingError: The server does not answer.
        """
        with self._client(address, _CALL_SECONDS) as client:
            try:
                return client.status().get(version)
            except ServingError as error:
                if error.code == "NOT_FOUND":
                    return None
                raise

    def _wait(self, address: str, version: int, before: VersionStatus | None) -> None:
        """Returns when a server has the version available.

        Args:
          address: The server.
          version: The version.
          before: What the server said of it before it was asked to load it. A version that failed
            once is said to have failed until the server looks for it again.

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
                before = before if status == before else None
                has_ended = status is not None and status.error_code != "OK" and state == "END"
                failed = has_ended and before is None
                if failed or time.monotonic() >= deadline:
                    reason = status.error_message if status is not None else ""
                    error = ServingError(
                        f"{address}: expected {self._model} {version} to be AVAILABLE, got "
                        f"{state} {reason}".strip(),
                        code="UNAVAILABLE",
                        transport=client.transport,
                    )
                    is_undone = status is None or "cancelled" in reason
                    raise self._hinted(error) if is_undone else error
                Event().wait(_POLL_SECONDS)

    def _wait_until_gone(self, address: str, versions: set[int]) -> None:
        """Returns when none of the versions is available, or says that one still is.

        Raises:
          ServingError: The server does not answer.
        """
        deadline = time.monotonic() + self._timeout
        with self._client(address, _CALL_SECONDS) as client:
            while True:
                statuses = client.status()
                kept = sorted(
                    number
                    for number in versions.intersection(statuses)
                    if statuses[number].is_available
                )
                if not kept:
                    return
                if time.monotonic() >= deadline:
                    numbers = ", ".join(map(str, kept))
                    self._tell(f"{address}: {self._model} {numbers}, no longer needed, still there")
                    return
                Event().wait(_POLL_SECONDS)


def _replace(path: Path, text: str) -> None:
    """Writes a file that a server polls, which must never read half of it."""
    staging = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        staging.write_text(text, encoding="utf-8")
        os.replace(staging, path)  # noqa: PTH105 - one rename that replaces
    except OSError as error:
        with suppress(OSError):
            staging.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def _hosts(client: GrpcClient, model: str) -> bool:
    """Whether a server hosts another model, which it then has to be told to go on hosting.

    Raises:
      ServingError: The server does not answer.
    """
    try:
        client.status(model=model)
    except ServingError as error:
        if error.code == "NOT_FOUND":
            return False
        raise
    return True


def _was(version: int | None) -> str:
    """The end of a sentence about a label."""
    return "" if version is None else f", was {version}"
