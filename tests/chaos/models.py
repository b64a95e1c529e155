"""What the chaos runs host: a model that says its version, and the product's own families.

To try a server that runs elsewhere:

    python tests/chaos/models.py FOLDER     # writes the models, prints the flags
    tensorflow_model_server --port=8500 --rest_api_port=8501 FLAGS
    pytest tests/chaos -n0 --long --server 127.0.0.1:8500,127.0.0.1:8501
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.builder import write_saved_model
from export.manifest import FORMAT, MANIFEST, file_digests, file_sizes
from export.served_models import served_models
from export.store import VersionStore
from export.version_labels import labels_in
from export.warmup import default_shapes
from serving_config.models_config import MODELS_CONFIG, models_config_text
from signatures.contract import KeypointOptions, peak_ops_contract
from signatures.keypoints import Keypoints
from signatures.peak_ops import PeakOps

STAMPED, KEYPOINTS, PEAK_OPS = "stamped", "keypoints", "peak_ops"
FACTOR = 2.0
# How long the signature `slow` keeps a thread of the server.
SLOW_MILLISECONDS = 20

_FIXED: dict[str, Any] = {"height": 16, "width": 20, "channels": 3, "max_batch": 8, "max_peaks": 5}
# The versions of `keypoints`, in turn: their answers differ.
KEYPOINT_OPTIONS = (
    KeypointOptions(**_FIXED, refinement="local", output_stride=4.0),
    KeypointOptions(**_FIXED, refinement="integral"),
)


def options_of(version: int) -> KeypointOptions:
    """What a version of `keypoints` was exported with."""
    return KEYPOINT_OPTIONS[version % 2]


def answer_of(version: int, value: float) -> float:
    """What the version of the stamped model answers."""
    return value * FACTOR + version


def _stamped(directory: Path) -> None:
    """Writes a stamped model; its stamp is a small file, read once when it is loaded."""
    module = tf.Module()
    stamp = directory.parent / "stamp.txt"
    stamp.write_text("0\t0\n")
    module.asset = tf.saved_model.Asset(str(stamp))
    module.factor = tf.Variable(FACTOR)
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            module.asset.asset_path, tf.int64, 0, tf.int64, 1, delimiter="\t"
        ),
        -1,
    )

    def answered(x: Any) -> dict[str, Any]:
        x = tf.ensure_shape(x, [None])
        version = module.table.lookup(tf.zeros_like(x, tf.int64))
        return {"y": x * module.factor + tf.cast(version, tf.float32), "version": version}

    def slow(x: Any) -> dict[str, Any]:
        clock = tf.raw_ops.SleepDataset(
            input_dataset=tf.data.Dataset.range(1)._variant_tensor,
            sleep_microseconds=tf.constant(SLOW_MILLISECONDS * 500, tf.int64),
            output_types=[tf.int64],
            output_shapes=[[]],
        )
        add = tf.function(lambda total, element: total + element, autograph=False)
        scalar = tf.TensorSpec([], tf.int64)
        (slept,) = tf.raw_ops.ReduceDataset(
            input_dataset=clock,
            initial_state=[tf.constant(0, tf.int64)],
            other_arguments=[],
            f=add.get_concrete_function(scalar, scalar),
            output_types=[tf.int64],
            output_shapes=[[]],
        )
        with tf.control_dependencies([slept]):
            return answered(tf.identity(x))

    spec = [tf.TensorSpec([None], tf.float32, "x")]
    module.functions = {
        "serving_default": tf.function(answered, input_signature=spec, autograph=False),
        "slow": tf.function(slow, input_signature=spec, autograph=False),
    }
    tf.saved_model.save(module, str(directory), signatures=module.functions)


class Templates:
    """Every model, written once when it is asked for; versions are copies.

    Args:
      folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def _template(self, model: str, turn: int) -> Path:
        """A model as it was written once; `keypoints` has two, in turn."""
        directory = self._folder / f"{model}-{turn}"
        with self._lock:
            if not directory.exists():
                directory.mkdir(parents=True)
                if model == STAMPED:
                    _stamped(directory)
                elif model == KEYPOINTS:
                    _write(Keypoints(KEYPOINT_OPTIONS[turn]), directory)
                else:
                    _write(PeakOps(peak_ops_contract()), directory)
        return directory

    def fill(self, model: str, version: int, directory: Path) -> None:
        """Writes a version into an existing, empty directory."""
        is_stamped = model.startswith(STAMPED)
        template = self._template(
            STAMPED if is_stamped else model, version % 2 if model == KEYPOINTS else 0
        )
        shutil.copytree(template, directory, dirs_exist_ok=True)
        if is_stamped:
            (directory / "assets" / "stamp.txt").write_text(f"0\t{version}\n")
            _write_manifest(directory)

    def publish(self, root: Path, model: str) -> int:
        """Publishes the next version of a model, as the exporter does."""
        store = VersionStore(root, model)
        version = max(store.versions(), default=0) + 1
        store.publish(lambda staging: self.fill(model, version, staging), version)
        return version

    def place(
        self,
        root: Path,
        model: str,
        version: int,
        spoil: Callable[[Path], None] = lambda path: None,
    ) -> Path:
        """Copies a version into the store without the store, and spoils it."""
        directory = VersionStore(root, model).version_path(version)
        directory.mkdir()
        self.fill(model, version, directory)
        spoil(directory)
        return directory


def _write(module: Keypoints | PeakOps, directory: Path) -> None:
    write_saved_model(module, directory, default_shapes(module.contract))


def _write_manifest(directory: Path) -> None:
    """What the exporter notes about a version's files; the model is no family of ours."""
    path = directory / MANIFEST
    path.parent.mkdir()
    sizes, digests = file_sizes(directory), file_digests(directory)
    manifest = {"format": FORMAT, "files": sizes, "digests": digests}
    path.write_text(json.dumps(manifest))


def write_store(
    templates: Templates, root: Path, models: Sequence[str] = (STAMPED, KEYPOINTS, PEAK_OPS)
) -> Path:
    """A store with a first version of every model, each of them `stable`.

    Models whose names begin with `stamped` are stamped ones.
    """
    for model in models:
        templates.publish(root, model)
        labels_in(root, model).move("stable", 1)
    return root


def write_config(root: Path, folder: Path) -> Path:
    """The `models.config` of a store, as `peakserve config` writes it."""
    path = folder / MODELS_CONFIG
    path.write_text(models_config_text(served_models(root)))
    return path


def flags_of(config: Path) -> list[str]:
    """The flags that make a server host the models of a configuration."""
    return [
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models=true",
        "--file_system_poll_wait_seconds=1",
        "--max_num_load_retries=0",
    ]


if __name__ == "__main__":
    parent = Path(sys.argv[1]).resolve()
    store = write_store(Templates(parent / "templates"), parent / "models")
    print(*flags_of(write_config(store, parent)), "--grpc_max_threads=64")
