"""Networks from files: what is taken, what is found out about them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from export import builder
from export.backbone import BackboneError, load_network
from export.builder import export_model
from export.geometry import options_with
from export.network_source import NetworkSource
from export.proof import subject_of
from export.replay import ReplayError
from signatures.contract import InvalidInputError
from signatures.keypoints import Keypoints

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), np.uint8)


def convolution(shape=(None, None, 3), outputs=1, strides=2):
    """A small Keras network, with as many outputs as asked for."""
    image = keras.Input(shape, name="image")
    maps = [
        keras.layers.Conv2D(2, 3, strides=strides, padding="same", name=f"maps{number}")(image)
        for number in range(outputs)
    ]
    return keras.Model(image, maps if outputs > 1 else maps[0])


def save_function(folder, function, *specs, key="serving_default"):
    module = tf.Module()
    module.serve = tf.function(function, input_signature=list(specs))
    tf.saved_model.save(module, str(folder), signatures={key: module.serve})
    return folder


def spec(*shape, dtype=tf.float32, name="image"):
    return tf.TensorSpec(shape, dtype, name)


def halved(image):
    return {"confmaps": image[:, ::2, ::2]}


@pytest.mark.parametrize("kind", ["network.keras", "network.h5", "saved_model"])
def test_each_kind_of_file_gives_the_networks_maps(tmp_path, kind):
    model = convolution()
    path = tmp_path / kind
    if kind == "saved_model":
        model.export(path, verbose=False)
    else:
        model.save(path)
    network = load_network(NetworkSource(path))
    assert (network.height, network.width, network.channels) == (None, None, 3)
    inputs = np.random.default_rng(1).random((2, 24, 32, 3), np.float32)
    np.testing.assert_array_equal(network.run(inputs), model(inputs, training=False))


@pytest.fixture
def no_replay(monkeypatch):
    """Replay is tested by itself."""
    monkeypatch.setattr(builder, "replay", lambda *_: builder.ReplayCounts(1, 1))


@pytest.mark.parametrize("source", ["saved_model", "keras"])
def test_a_version_carries_its_network(tmp_path, no_replay, source):
    """Exported, loaded from the version alone, and equal to the original."""
    model = convolution()
    path = tmp_path / ("network.keras" if source == "keras" else "network")
    model.save(path) if source == "keras" else model.export(path, verbose=False)
    origin = NetworkSource(path)
    network = load_network(origin)
    options = options_with(
        network, {"image_height": 24, "image_width": 32, "refinement": "local", "threshold": 0.0}
    )
    assert (options.height, options.width, options.channels) == (12, 16, 2)
    assert (options.output_stride, options.input_height, options.input_width) == (2, 24, 32)
    exported = export_model(tmp_path, Keypoints(options, network), source=origin)
    subject = subject_of(exported.directory)
    assert subject.network
    inputs = np.random.default_rng(1).random((2, 24, 32, 3), np.float32)
    np.testing.assert_array_equal(subject.network.run(inputs), model(inputs, training=False))


def test_a_network_that_changed_is_not_published(tmp_path):
    """The replay loads the network's file again, and holds the export against it."""
    path = tmp_path / "network.keras"
    convolution().save(path)
    network = load_network(NetworkSource(path))
    options = options_with(network, {"refinement": "none", "threshold": -9.0})
    convolution().save(path)
    with pytest.raises(ReplayError, match="images over replay"):
        export_model(tmp_path, Keypoints(options, network), source=NetworkSource(path))


def test_equal_networks_have_equal_content(tmp_path, no_replay):
    path = tmp_path / "network.keras"
    convolution().save(path)
    contents = set()
    for _ in range(2):
        network = load_network(NetworkSource(path))
        options = options_with(network, {"refinement": "none", "batching": "none"})
        module = Keypoints(options, network)
        source = NetworkSource(path)
        contents.add(export_model(tmp_path, module, source=source, force=True).content)
    assert len(contents) == 1


def test_a_network_of_bytes_gets_bytes(tmp_path, networks):
    path = networks.save_every_nth_pixel(tmp_path / "net", dtype="uint8")
    network = load_network(NetworkSource(path))
    options = options_with(network, {"input_max": 255.0, "refinement": "none", "threshold": 0.0})
    _, confidences, _ = Keypoints(options, network).stages["images"].whole(tf.constant(IMAGES))
    wanted = IMAGES[:, ::2, ::2].max(axis=(1, 2)) / np.float32(255)
    np.testing.assert_allclose(confidences, wanted, rtol=1e-6)


def test_a_chosen_output_of_several(tmp_path):
    path = tmp_path / "network.keras"
    convolution(outputs=2).save(path)
    with pytest.raises(BackboneError, match="got 2: maps0, maps1; choose one, such as --backbone"):
        load_network(NetworkSource(path))
    with pytest.raises(BackboneError, match="expected an output of maps0, maps1, got 'other'"):
        load_network(NetworkSource(path, "other"))
    assert load_network(NetworkSource(path, "maps1")).run(np.zeros([1, 8, 8, 3])).shape[-1] == 2


@pytest.mark.parametrize(
    ("chosen", "size", "input_size"),
    [
        ({}, (32, 48), (32, 48)),
        ({"input_scale": 0.5}, (64, 96), (32, 48)),
        ({"image_height": 60, "image_width": 90, "input_scale": 0.5}, (60, 90), (32, 48)),
    ],
    ids=["as_it_is", "scaled", "padded"],
)
def test_a_network_of_fixed_size_says_how_large_images_are(chosen, size, input_size):
    network = load_fixed()
    options = options_with(network, chosen)
    assert (options.image_height, options.image_width) == size
    assert (options.input_height, options.input_width) == input_size
    assert options.images_batched_in_graph
    images = tf.zeros([2, *size, 3], tf.uint8)
    points, *_ = Keypoints(options, network).stages["images"].whole(images)
    assert points.shape == (2, 2, 2)


def load_fixed(shape=(32, 48, 3)):
    from signatures.network import Network

    model = convolution(shape)
    return Network(model, channels=3, height=shape[0], width=shape[1], parts=[])


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({"output_stride": 4.0}, "--output-stride 4: expected maps of 16 x 16 from an input of"),
        ({"channels": 5}, "--channels: the network gives 2, got 5; leave it out"),
        ({"image_height": 32, "image_width": 32, "height": 9}, "--height: the network gives 16"),
        ({"refinement": "cubic"}, "refinement: expected one of"),
        ({"batching": "server"}, "pass height, width and channels"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_network_contradicts_is_refused(chosen, text):
    from signatures.network import Network

    network = Network(convolution(), channels=3)
    with pytest.raises((BackboneError, InvalidInputError)) as error:
        options_with(network, chosen)
    assert text in str(error.value)


def test_images_larger_than_a_fixed_network_are_refused():
    chosen = {"image_height": 64, "image_width": 48}
    with pytest.raises(BackboneError, match=r"have 64 x 48; pass --input-scale 0\.5"):
        options_with(load_fixed(), chosen)
    with pytest.raises(BackboneError, match="say how large images are with --image-height"):
        options_with(load_fixed((33, 48, 3)), {"input_scale": 2.0})


def test_a_network_that_needs_padding_is_refused_without():
    """Its skip connection joins maps of different sizes unless the input divides by 8."""
    from signatures.network import Network

    image = keras.Input((None, None, 3))
    low = keras.layers.Conv2D(4, 3, strides=8, padding="same")(image)
    high = keras.layers.UpSampling2D(8)(low)
    model = keras.Model(image, keras.layers.Concatenate()([high, image]))
    network = Network(model, channels=3)
    with pytest.raises(BackboneError, match="does not take 65 x 66 pixels: .*need --pad-to"):
        options_with(network, {})
    assert options_with(network, {"pad_to": 8}).output_stride == 1


TWO_INPUTS = (spec(None, None, None, 3), spec(None, name="other"))
REFUSED = {
    "two_inputs": (
        lambda image, other: {"maps": image + tf.reduce_sum(other)},
        TWO_INPUTS,
        "expected one image input, got 2: image, other",
    ),
    "rank_3": (lambda image: {"maps": image}, (spec(None, None, 3),), "got [?, ?, 3]"),
    "channels_first": (
        lambda image: {"maps": image},
        (spec(None, 3, 64, 64),),
        "channels come first: export it with channels last",
    ),
    "one_sample": (
        halved,
        (spec(1, None, None, 3),),
        "export it with None as its first dimension",
    ),
    "half_fixed": (halved, (spec(None, 32, None, 3),), "both fixed or both free"),
    "integers": (
        lambda image: {"maps": tf.cast(image, tf.float32)},
        (spec(None, None, None, 3, dtype=tf.int32),),
        "expected a float or uint8 input, got int32",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_networks_are_refused_with_what_to_do(tmp_path, name):
    function, specs, text = REFUSED[name]
    path = save_function(tmp_path / "net", function, *specs)
    with pytest.raises(BackboneError) as error:
        load_network(NetworkSource(path))
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda image: {"maps": tf.reduce_max(image, axis=(1, 2))}, "got shape [1, 3]; choose"),
        (lambda image: {"maps": image[:, 3:-3, 3:-3]}, "export it with padding 'same'"),
    ],
    ids=["no_maps", "cropped"],
)
def test_outputs_that_are_no_maps_are_refused(tmp_path, function, text):
    path = save_function(tmp_path / "net", function, spec(None, None, None, 3))
    with pytest.raises(BackboneError) as error:
        options_with(load_network(NetworkSource(path)), {})
    assert text in str(error.value)


def test_files_that_are_no_networks_are_refused(tmp_path):
    def refusal(path: Path) -> str:
        with pytest.raises(BackboneError) as error:
            load_network(NetworkSource(path))
        return str(error.value)

    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "bad.keras").write_text("x")
    (tmp_path / "bad.h5").write_text("x")
    (tmp_path / "versions" / "7").mkdir(parents=True)
    (tmp_path / "versions" / "7" / "saved_model.pb").write_text("x")
    assert "expected a SavedModel's folder, a .keras or an .h5" in refusal(tmp_path / "text.txt")
    assert refusal(tmp_path / "versions").endswith(f"pass {tmp_path / 'versions' / '7'}")
    for name in ("bad.keras", "bad.h5", "versions/7"):
        assert "cannot be loaded: " in refusal(tmp_path / name)
        assert "\n" not in refusal(tmp_path / name)
    assert "expected a file, got none" in refusal(tmp_path / "none.keras")


def test_a_file_of_keras_2_names_the_extra(tmp_path, monkeypatch):
    import sys

    import h5py

    path = tmp_path / "old.h5"
    convolution().save(path)
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "2.15.0"
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(BackboneError, match=r"pip install 'peakserve\[legacy-keras\]'"):
        load_network(NetworkSource(path))


@pytest.mark.parametrize("name", ["old.h5", "old.keras"])
def test_a_file_of_keras_2_is_loaded_with_the_extra(tmp_path, no_replay, name):
    tf_keras = pytest.importorskip("tf_keras", reason="the extra legacy-keras is not installed")
    image = tf_keras.Input((None, None, 3))
    model = tf_keras.Model(image, tf_keras.layers.Conv2D(2, 3, 2, padding="same")(image))
    model.save(tmp_path / name)
    network = load_network(NetworkSource(tmp_path / name))
    inputs = np.random.default_rng(1).random((2, 24, 32, 3), np.float32)
    np.testing.assert_array_equal(network.run(inputs), model(inputs, training=False))
    options = options_with(network, {"refinement": "none", "batching": "none"})
    export_model(tmp_path, Keypoints(options, network), source=NetworkSource(tmp_path / name))
