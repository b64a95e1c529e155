"""What servers of a model root are asked to host, and that one process at a time changes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from export.store import StoreError, VersionStore, locked
from export.version_labels import VersionLabels
from serving_config.models_config import ServedModel, model_names


def served_models(model_root: Path, settled: str = "") -> list[ServedModel]:
    """Every model in a model root that has a version, with what its labels ask to be served.

    Args:
      model_root: The folder of all models.
      settled: A model whose rollout ends: it needs no versions but the labelled ones.

    Raises:
      StoreError: A model's labels cannot be read, or there is no model.
    """
    root = model_root.resolve()
    models = []
    for store in _stores(root):
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


def listed_in(path: Path, models: Sequence[ServedModel]) -> list[ServedModel]:
    """The models that a `models.config` lists; all if there is none yet.

    Raises:
      StoreError: It is not one.
    """
    try:
        names = model_names(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return list(models)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: expected the list of a server's models, got {error}; write it again with: "
            "peakserve config"
        ) from error
    return [model for model in models if model.name in names]


def _stores(root: Path) -> Iterator[VersionStore]:
    """The folders that may be models: not `lost+found`, nor what is called as no model can be."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name.startswith(".") or not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
            continue
        with suppress(StoreError):
            yield VersionStore(root, path.name)


@contextmanager
def alone(path: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Holds the lock of a file or folder, and says so where another process has it.

    Args:
      path: A model root: what its servers are told. `MODEL_ROOT/MODEL/.rollout.lock`: where the
        model's labels are.
      tell: Where it is said that there is another.

    Raises:
      StoreError: There is no such file or folder.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(path))
        except BlockingIOError:
            tell(f"another process moves labels in {path.parent}: waiting until it has ended")
            held.enter_context(locked(path, wait=True))
        except OSError as error:
            raise StoreError(f"cannot lock {path}: {error.strerror or error}") from error
        yield
