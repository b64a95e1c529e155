"""The suite's models: small signatures that show one behaviour of a server each.

`m` has every signature and no `serving_default`, `d` has only `serving_default`, `a` has three
versions of which two are served, with labels, `keypoints` is the product's own. To try a server that runs elsewhere:

    python tests/conformance/models.py FOLDER     # writes the models, prints the flags
    tensorflow_model_server --port=8500 --rest_api_port=8501 FLAGS
    pytest tests/conformance --server 127.0.0.1:8500,127.0.0.1:8501
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import tensorflow as tf

from signatures.contract import KeypointOptions
from signatures.keypoints import Keypoints
from signatures.network import Network

F32, F64, I32, I64 = tf.float32, tf.float64, tf.int32, tf.int64


def points(imgs):
    """`[N, H, W, C] -> [N, C, 3]`: x, y and value of each channel's maximum."""
    shape = tf.shape(imgs)
    samples, height, width, channels = shape[0], shape[1], shape[2], shape[3]
    flat = tf.reshape(imgs, [samples, height * width, channels])
    best = tf.argmax(flat, axis=1, output_type=I32)
    place = tf.stack([best % width, best // width], axis=-1)
    return {"points": tf.concat([tf.cast(place, F32), tf.reduce_max(flat, 1)[..., None]], -1)}


def refine(imgs, peaks, delta):
    """Rows moved by `delta` times the brightest value; any width of row."""
    return {"refined": peaks + delta * tf.reduce_max(imgs)}


def div(x):
    """`1/x` in five types, with what that gives at zero."""
    q = 1 / x
    return {
        "q": q,
        "log": tf.math.log(x),
        "i": tf.cast(q, I64),
        "b": x > 0,
        "s": tf.where(x > 0, tf.constant("positive"), tf.constant("other")),
    }


def scal(a, n):
    """Scalars in, scalar out."""
    return {"y": a * tf.cast(n, F32)}


def two(a, b):
    """Two inputs, two outputs, each of the size of its own input."""
    return {"y": a, "z": 2 * b}


def slow(ms):
    """Sleeps in the graph, and says how long."""
    clock = tf.raw_ops.SleepDataset(
        input_dataset=tf.data.Dataset.range(1)._variant_tensor,
        sleep_microseconds=ms * 500,  # Once per element and once at the end.
        output_types=[I64],
        output_shapes=[[]],
    )
    (slept,) = tf.raw_ops.ReduceDataset(
        input_dataset=clock,
        initial_state=[ms],
        other_arguments=[],
        f=tf.function(
            lambda total, element: total + element, autograph=False
        ).get_concrete_function(tf.TensorSpec([], I64), tf.TensorSpec([], I64)),
        output_types=[I64],
        output_shapes=[[]],
    )
    return {"slept": slept}


def texts(t):
    """Strings: the name of an output says whether JSON carries it as base64."""
    return {"t": tf.identity(t), "t_bytes": tf.identity(t)}


def defaulted(x, k=tf.constant(0.25)):
    """An input with a default value."""
    return {"y": x * k}


def same(x):
    """What came in."""
    return {"y": tf.identity(x)}


def total(x):
    """A vector in, a scalar out."""
    return {"y": tf.reduce_sum(x)}


def uneven(x):
    """Outputs of different sizes."""
    return {"y": tf.identity(x), "z": x[:1]}


def first(x):
    """One row, however many came."""
    return {"y": x[:1]}


def checked(x):
    """Refuses widths other than 3."""
    return {"y": tf.identity(tf.ensure_shape(x, [None, 3]))}


def traced(function: Callable, **inputs: tuple) -> Callable:
    """A `tf.function` with one named input per keyword, given as (shape, dtype)."""
    specs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]
    return tf.function(function, input_signature=specs, autograph=False)


def signatures_of_m() -> dict[str, Callable]:
    """Every signature of the model `m`."""
    imgs = ([None, None, None, None], F32)
    vectors = {
        "floats": F32, "doubles": F64, "ints": I64, "ints32": I32, "bytes8": tf.uint8,
        "ints8": tf.int8, "halves": tf.float16, "brains": tf.bfloat16, "complexes": tf.complex64,
        "flags": tf.bool,
    }  # fmt: skip
    return {
        "points": traced(points, imgs=imgs),
        "refine": traced(refine, imgs=imgs, peaks=([None, 4], F32), delta=([], F32)),
        "div": traced(div, x=([None], F32)),
        "scal": traced(scal, a=([], F32), n=([], I64)),
        "two": traced(two, a=([None, 3], F32), b=([None, 3], F32)),
        "slow": traced(slow, ms=([], I64)),
        "strings": traced(texts, t=([None], tf.string)),
        "defaulted": traced(defaulted, x=([None], F32), k=([], F32)),
        "matrix": traced(same, x=([None, 3], F32)),
        "checked": traced(checked, x=([None, 3], F32)),
        "total": traced(total, x=([None], F32)),
        "uneven": traced(uneven, x=([None], F32)),
        "first": traced(first, x=([None], F32)),
        **{name: traced(same, x=([None], dtype)) for name, dtype in vectors.items()},
    }


def save_factor(directory: Path, factor: float) -> Path:
    """Writes a model with `serving_default` only: `y = x * factor`, the factor a variable."""
    module = tf.Module()
    module.factor = tf.Variable(float(factor))
    module.scale = traced(
        lambda x: {"y": tf.ensure_shape(x, [None]) * module.factor}, x=([None], F32)
    )
    tf.saved_model.save(module, str(directory), signatures={"serving_default": module.scale})
    return directory


def save_all_signatures(directory: Path) -> Path:
    """Writes a version of the model `m`."""
    module = tf.Module()
    module.functions = signatures_of_m()
    tf.saved_model.save(module, str(directory), signatures=module.functions)
    return directory


def save_keypoints(directory: Path) -> Path:
    """Writes the product's own family: maps 3 x 4 x 3 and images 6 x 8, joined in the graph.

    Its network takes every second pixel.
    """
    options = KeypointOptions(
        **{"height": 3, "width": 4, "channels": 3, "image_height": 6, "image_width": 8},
        **{"backbone": True, "output_stride": 2.0, "refinement": "none", "max_batch": 4},
        threshold=0.5,
    )
    module = Keypoints(options, Network(lambda images: images[:, ::2, ::2], channels=3))
    tf.saved_model.save(module, str(directory), signatures=module.functions)
    return directory


def config_entry(name: str, base_path: Path, more: str = "") -> str:
    """One `config` block of a model list."""
    return f'  config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {more}}}\n'


def write_config(path: Path, entries: Iterable[str]) -> Path:
    """A file for `--model_config_file`."""
    path.write_text(f"model_config_list {{\n{''.join(entries)}}}\n")
    return path


def write_models(folder: Path) -> list[str]:
    """Writes all models and their configuration.

    Returns:
      The flags that make a server host them.
    """
    folder = folder.resolve()
    save_all_signatures(folder / "m" / "1")
    save_factor(folder / "d" / "1", 2)
    save_keypoints(folder / "keypoints" / "1")
    for version in (1, 2, 3):
        save_factor(folder / "a" / str(version), version)
    policy = (
        "model_version_policy { specific { versions: 1 versions: 2 } } "
        'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 } '
    )
    config = write_config(
        folder / "models.config",
        [
            config_entry("m", folder / "m"),
            config_entry("d", folder / "d"),
            config_entry("keypoints", folder / "keypoints"),
            config_entry("a", folder / "a", policy),
        ],
    )
    return [
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models=true",
        "--file_system_poll_wait_seconds=1",
    ]


if __name__ == "__main__":
    print(" ".join(write_models(Path(sys.argv[1]))))
