"""Networks from files: SavedModels, `.keras` and `.h5`, of which one image input goes in."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.network_source import NetworkSource
from signatures.contract import DEFAULT_SIGNATURE
from signatures.network import Network, Networks, TwoNetworks

LEGACY_EXTRA = "legacy-keras"


class BackboneError(ValueError):
    """A network that cannot be used, in one sentence that says what to do."""


@dataclass(frozen=True)
class NetworkFunction:
    """A network as its file describes it, before it is checked.

    Attributes:
      call: One tensor to outputs by name.
      shape: The input's shape, `None` for what is free.
      dtype: The input's dtype.
      outputs: The outputs' names.
      parts: What owns the weights.
    """

    call: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    shape: tuple[int | None, ...] | None
    dtype: tf.DType
    outputs: Sequence[str]
    parts: Sequence[Any]


def load_network(origin: NetworkSource, *, channels: int = 3) -> Network:
    """Loads a network that turns images into confidence maps.

    Args:
      origin: Its file, and which output holds the maps.
      channels: Channels of the input where the network leaves them open.

    Raises:
      BackboneError: There is no such network, or it has other inputs or outputs.
    """
    path = origin.path
    source = read_network(path)
    name = only_output(path, source, origin.output)
    height, width, depth = _input_size(path, source, channels)

    def function(inputs: tf.Tensor) -> tf.Tensor:
        if source.dtype.is_integer:
            inputs = tf.round(inputs)
        return source.call(tf.cast(inputs, source.dtype))[name]

    return Network(function, channels=depth, height=height, width=width, parts=source.parts)


def load_networks(origin: NetworkSource, *, channels: int = 3) -> Networks:
    """Loads the one network, or the two, that a model is made of.

    Args:
      origin: Their files.
      channels: Channels of their inputs where they leave them open.

    Raises:
      BackboneError: A network that cannot be used.
    """
    network = load_network(origin, channels=channels)
    if origin.centroid is None:
        return network
    return TwoNetworks(load_network(NetworkSource(origin.centroid), channels=channels), network)


def networks_of_version(directory: Path) -> Networks:
    """The network, or the two, inside a version that was exported with them.

    Raises:
      BackboneError: The version holds none.
    """
    loaded = tf.saved_model.load(str(directory))

    def network(saved: Any) -> Network:
        (spec,) = saved.run.input_signature
        _, height, width, channels = spec.shape
        return Network(saved.run, channels=channels, height=height, width=width, parts=[loaded])

    try:
        if hasattr(loaded, "centroid_network"):
            return TwoNetworks(network(loaded.centroid_network), network(loaded.instance_network))
        return network(loaded.network)
    except (AttributeError, TypeError, ValueError) as error:
        raise BackboneError(f"{directory}: expected a version with a network") from error


def read_network(path: Path) -> NetworkFunction:
    """A network as its file has it: its input may have any shape.

    Raises:
      BackboneError: There is none, it cannot be loaded, or it has several inputs.
    """
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if path.is_dir():
        inside = sorted(file.parent.name for file in path.glob("*/saved_model.pb"))
        hint = f"; pass {path / inside[-1]}" if inside else ""
        raise BackboneError(
            f"{path}: expected a SavedModel's folder with saved_model.pb, got a folder without "
            f"it{hint}"
        )
    if path.suffix in (".keras", ".h5", ".hdf5"):
        return _keras(path)
    raise BackboneError(
        f"{path}: expected a SavedModel's folder, a .keras or an .h5 file; "
        "save a Keras model with model.save('network.keras')"
    )


def _saved_model(path: Path) -> NetworkFunction:
    try:
        loaded = tf.saved_model.load(str(path))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise BackboneError(f"{path}: cannot be loaded: {_first_line(error)}") from error
    signatures = dict(loaded.signatures)
    key = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in signatures else next(iter(signatures), None)
    if key is None or (key != DEFAULT_SIGNATURE and len(signatures) > 1):
        raise BackboneError(
            f"{path}: expected a signature {DEFAULT_SIGNATURE}, got "
            f"{', '.join(sorted(signatures)) or 'none'}; save the network with "
            f"tf.saved_model.save(module, path, signatures={{'{DEFAULT_SIGNATURE}': function}})"
        )
    function = signatures[key]
    inputs: dict[str, tf.TensorSpec] = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise BackboneError(
            f"{path}: expected one image input, got {len(inputs)}: {', '.join(sorted(inputs))}; "
            "export a signature that takes the image alone"
        )
    ((name, spec),) = inputs.items()
    known = {id(variable.handle) for variable in function.variables}
    others = any(id(tensor) not in known for tensor in function.captured_inputs)
    return NetworkFunction(
        call=lambda image: dict(function(**{name: image})),
        shape=None if spec.shape.rank is None else tuple(spec.shape),
        dtype=spec.dtype,
        outputs=sorted(function.structured_outputs),
        # Tables and the like are reached through the whole object only.
        parts=[loaded] if others else list(function.variables),
    )


def keras_network(path: Path) -> tuple[Any, bool]:
    """The Keras model in a file, and whether it is one of Keras 2.

    Raises:
      BackboneError: It cannot be loaded, has several inputs, or needs a package.
    """
    version = _keras_version(path)
    legacy = version.startswith("2.")
    try:
        if legacy:
            import tf_keras as keras
        else:
            import keras
    except ImportError as error:
        raise BackboneError(
            f"{path}: was saved by Keras {version}; run: pip install 'peakserve[{LEGACY_EXTRA}]'"
        ) from error
    if not legacy and keras.config.backend() != "tensorflow":
        raise BackboneError(
            f"Keras runs on {keras.config.backend()}, expected tensorflow; "
            "unset KERAS_BACKEND or set it to tensorflow"
        )
    try:
        load = keras.models.load_model if legacy else keras.saving.load_model
        model = load(path, compile=False)
    except Exception as error:  # Keras raises whatever its layers raise.
        raise BackboneError(
            f"{path}: cannot be loaded: {_first_line(error)}; a network with layers of its own "
            "loads as a SavedModel: model.export('network')"
        ) from error
    inputs = model.inputs or []
    if len(inputs) != 1:
        raise BackboneError(
            f"{path}: expected one image input, got {len(inputs)}; "
            "make a model that takes the image alone"
        )
    return model, legacy


def _keras(path: Path) -> NetworkFunction:
    model, legacy = keras_network(path)
    names = [str(name) for name in model.output_names]

    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        with warnings.catch_warnings():
            # About a list of one input, which a tensor stands for.
            warnings.simplefilter("ignore", UserWarning)
            results = model(image, training=False)
        if isinstance(results, dict):
            return dict(results)
        return dict(zip(names, tf.nest.flatten(results), strict=True))

    (image_input,) = model.inputs
    # Variables of Keras 3 wrap those of TensorFlow.
    variables = [variable if legacy else variable.value for variable in model.variables]
    return NetworkFunction(
        call=call,
        shape=tuple(image_input.shape),
        dtype=tf.as_dtype(image_input.dtype),
        outputs=names,
        parts=variables,
    )


def _keras_version(path: Path) -> str:
    """The version of Keras that wrote a file, empty if it does not say."""
    if not path.is_file():
        raise BackboneError(f"{path}: expected a file, got none")
    with suppress(OSError, KeyError, ValueError, zipfile.BadZipFile):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        import h5py

        with h5py.File(path) as file:
            version = file.attrs["keras_version"]
            return version.decode() if isinstance(version, bytes) else str(version)
    return ""


def only_output(path: Path, source: NetworkFunction, wanted: str | None) -> str:
    """The output of maps: the wanted one, or the only one.

    Raises:
      BackboneError: There is no such output, or several and none was chosen.
    """
    names = ", ".join(source.outputs)
    if wanted is not None:
        if wanted not in source.outputs:
            raise BackboneError(f"{path}: expected an output of {names}, got {wanted!r}")
        return wanted
    if len(source.outputs) != 1:
        raise BackboneError(
            f"{path}: expected one output of confidence maps, got {len(source.outputs)}: {names}; "
            f"choose one, such as --backbone-output {source.outputs[0]}"
        )
    return source.outputs[0]


def _input_size(
    path: Path, source: NetworkFunction, channels: int
) -> tuple[int | None, int | None, int]:
    """Height, width and channels of the input."""
    shape = source.shape
    if shape is None:
        return None, None, channels
    text = f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
    wanted = "expected an input [samples, height, width, 1 or 3]"
    if len(shape) != 4:
        raise BackboneError(f"{path}: {wanted}, got {text}")
    samples, height, width, depth = shape
    if depth not in (1, 3, None):
        first = "; channels come first: export it with channels last" if height in (1, 3) else ""
        raise BackboneError(f"{path}: {wanted}, got {text}{first}")
    if samples is not None:
        raise BackboneError(
            f"{path}: expected an input of any number of samples, got {text}; "
            "export it with None as its first dimension"
        )
    if (height is None) != (width is None):
        raise BackboneError(
            f"{path}: expected height and width both fixed or both free, got {text}"
        )
    if not (source.dtype.is_floating or source.dtype == tf.uint8):
        raise BackboneError(f"{path}: expected a float or uint8 input, got {source.dtype.name}")
    return height, width, channels if depth is None else depth


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
