"""From images to points in their own pixels: sizes, coordinates, decoding, runs."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import tensorflow as tf

from export.eager import Eager
from export.image_cases import jpeg, picture_mates, png
from signatures.contract import InvalidInputError, KeypointOptions
from signatures.frames import Frames
from signatures.keypoints import Keypoints


def blobs(height, width, places, sigma):
    """Bright blobs uint8 [1, H, W, 3], the place (x, y) of each colour's."""
    y, x = np.mgrid[:height, :width]
    image = np.stack(
        [250 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in places],
        axis=-1,
    )
    return np.rint(image).astype(np.uint8)[None]


def options_for(network_stride, **more):
    more = {"backbone": True, "channels": 3, "window": 9, **more}
    return KeypointOptions(output_stride=network_stride, **more)


@pytest.fixture(scope="module")
def every_nth_pixel(networks):
    return networks.every_nth_pixel


def ask(module, key, samples):
    """One run, eagerly."""
    names = [tensor.name for tensor in module.contract.signature(key).outputs]
    results = module.stages[key].whole(tf.constant(samples))
    return {name: value.numpy() for name, value in zip(names, results, strict=True)}


def ask_traced(module, key, samples):
    """The signature as it is exported."""
    dtype = module.contract.signature(key).inputs[0].dtype
    outputs = module.functions[key](tf.constant(samples, dtype))
    return {name: value.numpy() for name, value in outputs.items()}


PLACES = [(61.3, 40.6), (100.25, 71.9), (33.8, 90.4)]


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(128, 160), (131, 163)], ids=str)
def test_half_pixel_brings_a_blob_back(every_nth_pixel, stride, scale, size):
    sigma = 2.0 * stride / scale
    images = blobs(*size, PLACES, sigma)
    options = options_for(stride, input_scale=scale, pad_to=4, coordinates="half-pixel")
    points = ask(Keypoints(options, every_nth_pixel(stride)), "images", images)["points"]
    np.testing.assert_allclose(points[0], PLACES, atol=0.05)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_pictures_of_other_sizes_come_back_in_their_own_pixels(every_nth_pixel, factor, scale):
    """Under half-pixel, with the picture fitted into the model's image size."""
    options = options_for(
        2, input_scale=scale, coordinates="half-pixel", image_height=128, image_width=160
    )
    module = Keypoints(options, every_nth_pixel(2))
    height, width = round(128 * factor), round(170 * factor)
    places = [(x * factor, y * factor) for x, y in PLACES]
    picture = blobs(height, width, places, 4.0 * factor / scale)[0]
    points = ask(module, "encoded_images", [png(picture)])["points"]
    np.testing.assert_allclose(points[0], places, atol=0.05 * max(1, factor / scale))


def test_scaled_is_stride_over_scale(every_nth_pixel):
    options = options_for(4, input_scale=0.5, refinement="none")
    module = Keypoints(options, every_nth_pixel(4))
    image = np.zeros((1, 64, 80, 3), np.uint8)
    image[0, 24:26, 40:42] = 255
    points = ask(module, "images", image)["points"]
    # Network's input (20, 12), map (5, 3).
    np.testing.assert_array_equal(points, np.full((1, 3, 2), [40, 24], np.float32))
    of_maps = ask(module, "keypoints", module.maps_of("images", image))["points"]
    np.testing.assert_array_equal(of_maps, points)


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "free"])
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_picture_is_answered_as_its_pixels(every_nth_pixel, fixed, kind):
    size = {"image_height": 64, "image_width": 80} if fixed else {}
    module = Keypoints(options_for(2, input_scale=0.5, **size), every_nth_pixel(2))
    image = blobs(64, 80, [(20.3, 30.2), (50, 11), (66, 40.5)], 6)[0]
    content = {"png": png, "jpeg": jpeg}[kind](image)
    pixels = tf.io.decode_image(content) if kind == "png" else _accurate(content)
    wanted = ask(module, "images", pixels.numpy()[None])
    got = ask(module, "encoded_images", [content])
    assert wanted["valid"].all()
    for name, values in wanted.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


def _accurate(content):
    return tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE")


@pytest.mark.parametrize("fixed", [True, False], ids=["fixed", "free"])
def test_a_bad_picture_spoils_its_row_only(every_nth_pixel, fixed):
    size = {"image_height": 48, "image_width": 64} if fixed else {}
    options = options_for(2, refinement="none", max_pixels=64 * 96, **size)
    module = Keypoints(options, every_nth_pixel(2))
    image = blobs(48, 64, [(20.3, 30.2), (50, 11), (30, 40.5)], 4)[0]
    requests = picture_mates(image[None], options.max_pixels)
    good = ask_traced(module, "encoded_images", requests["one"])
    assert good["valid"].all()
    outputs = ask_traced(module, "encoded_images", requests["bad_among_good"])
    assert outputs["valid"].all(axis=1).tolist() == [True, False, True, False]
    np.testing.assert_array_equal(outputs["points"][2], good["points"][0])
    for name in ("no_pictures", "too_large"):
        outputs = ask_traced(module, "encoded_images", requests[name])
        for values in outputs.values():
            assert len(values) == len(requests[name])
            assert not values.any(), name
    assert ask_traced(module, "encoded_images", requests["zero_samples"])["points"].shape == (
        0,
        3,
        2,
    )


def png_of(height, width, rows):
    """A grey PNG whose header says height and width, whatever the rows."""
    whole = bytearray(png(np.zeros((1, 1, 1), np.uint8)))
    whole[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
    return bytes(whole[: whole.index(b"IDAT") - 4]) + rows


def test_a_header_that_announces_too_much_is_not_decoded(every_nth_pixel):
    """With a valid checksum, so that only the announced size is at fault."""
    module = Keypoints(options_for(2, max_pixels=10_000), every_nth_pixel(2))
    for height, width in [(101, 100), (2**31 - 1, 2**31 - 1), (1, 10_001), (0, 5), (2**31, 2)]:
        outputs = ask(module, "encoded_images", [png_of(height, width, b"")])
        assert not outputs["valid"].any(), (height, width)


@pytest.mark.parametrize("sent", [1, 3])
@pytest.mark.parametrize("taken", [1, 3])
def test_colours_of_images_and_network_may_differ(every_nth_pixel, sent, taken):
    options = KeypointOptions(
        backbone=True, channels=taken, grayscale=sent == 1, refinement="none", threshold=0.0
    )
    module = Keypoints(options, every_nth_pixel(1, taken))
    image = np.zeros((1, 8, 8, sent), np.uint8)
    image[0, 3, 5] = [200, 100, 50][:sent]
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    wanted = {(1, 1): [200], (1, 3): [200] * 3, (3, 3): [200, 100, 50], (3, 1): [luma]}
    outputs = ask(module, "images", image)
    np.testing.assert_allclose(outputs["confidences"][0] * 255, wanted[sent, taken], rtol=1e-6)
    encoded = ask(module, "encoded_images", [png(image[0])])
    np.testing.assert_array_equal(encoded["points"], outputs["points"])


def test_more_samples_than_a_run_holds(every_nth_pixel):
    options = options_for(2, image_height=16, image_width=16, max_batch=3, refinement="none")
    module = Keypoints(options, every_nth_pixel(2))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    whole = ask_traced(module, "images", images)
    for index in range(8):
        alone = ask_traced(module, "images", images[index : index + 1])
        for name, values in alone.items():
            np.testing.assert_array_equal(whole[name][index], values[0])


def test_images_are_scaled_padded_and_brought_to_the_networks_range():
    options = KeypointOptions(
        backbone=True, input_scale=0.5, pad_to=8, input_max=2.0, image_height=10, image_width=20
    )
    inputs, _ = Frames(options, 3).inputs(tf.fill([1, 10, 20, 3], tf.constant(255, tf.uint8)))
    assert inputs.shape == (1, 8, 16, 3)
    np.testing.assert_array_equal(inputs[0, :5, :10].numpy(), np.full((5, 10, 3), 2, np.float32))
    assert not inputs[0, 5:].numpy().any()
    assert not inputs[0, :, 10:].numpy().any()


@pytest.mark.parametrize(
    ("shape", "pixels"), [((1, 0, 9, 3), 0), ((1, 11, 10, 3), 110), ((2, 9, 0, 3), 0)], ids=str
)
def test_images_without_pixels_or_with_too_many_are_refused(every_nth_pixel, shape, pixels):
    module = Keypoints(options_for(2, max_pixels=100, refinement="none"), every_nth_pixel(2))
    sentence = f"images: must have 1..100 pixels each; got {pixels}"
    images = np.zeros(shape, np.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        module.functions["images"](images)
    assert sentence in str(error.value).replace("] [", " ")
    assert module.contract.signature("images").refusal({"images": images}) == sentence


def test_a_model_of_images_needs_its_network(every_nth_pixel):
    with pytest.raises(InvalidInputError, match="backbone: expected a network"):
        Keypoints(KeypointOptions(backbone=True))
    with pytest.raises(InvalidInputError, match="backbone: expected a network"):
        Keypoints(KeypointOptions(), every_nth_pixel(2))


def test_undecided_choices_are_those_near_a_tie(every_nth_pixel):
    """Two pixels as bright as one another are undecided, others are not."""
    from export.case import Case

    options = options_for(1, refinement="none", image_height=8, image_width=8)
    network = every_nth_pixel(1)
    image = np.zeros((2, 8, 8, 3), np.uint8)
    image[:, 2, 2] = 200
    image[0, 5, 5, 1] = 200
    image[1, 2, 2, 2] = 51  # 0.2: at the threshold
    contract = Keypoints(options, network).contract
    expected = Eager(contract, network)(Case("images", "", {"images": image}))
    assert expected.undecided.tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize(
    ("fixed", "coordinates"), [(True, "half-pixel"), (False, "scaled")], ids=["fixed", "free"]
)
def test_maps_are_those_that_points_were_found_in(every_nth_pixel, fixed, coordinates):
    """In one answer: points, maps, and the placement by which a map's pixel is the point's."""
    size = {"image_height": 63, "image_width": 81} if fixed else {}
    options = options_for(2, input_scale=0.5, refinement="none", with_maps=True,
                          coordinates=coordinates, max_batch=2, **size)  # fmt: skip
    module = Keypoints(options, every_nth_pixel(2))
    images = np.concatenate([
        blobs(63, 81, [(20.3 + 4 * n, 30.2), (50, 11), (66, 40.5)], 6) for n in range(3)
    ])  # fmt: skip
    # Alone, as many as a batch holds, and more.
    for count in (1, 2, 3):
        got = ask_traced(module, "images_with_maps", images[:count])
        for name, values in ask(module, "images", images[:count]).items():
            np.testing.assert_array_equal(got[name], values, err_msg=name)
        np.testing.assert_array_equal(got["confmaps"], module.maps_of("images", images[:count]))
        *_, width, channels = got["confmaps"].shape
        flat = got["confmaps"].reshape(count, -1, channels).argmax(axis=1)
        pixels = np.stack([flat % width, flat // width], axis=-1)
        factor, shift = got["placement"][:, None, :2], got["placement"][:, None, 2:]
        np.testing.assert_allclose(got["points"], pixels * factor + shift, atol=1e-4)
    assert ask_traced(module, "images_with_maps", images[:0])["placement"].shape == (0, 4)


def test_maps_are_finite():
    from signatures.network import Network

    network = Network(lambda images: 1 / (images - 1) + tf.math.log(images - 0.5), channels=3)
    module = Keypoints(options_for(1, with_maps=True), network)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    got = ask(module, "images_with_maps", ramp)
    raw = module.maps_of("images", ramp).numpy()
    assert not np.isfinite(raw).all()
    np.testing.assert_array_equal(got["confmaps"], np.where(np.isfinite(raw), raw, 0))


def test_maps_need_a_network():
    with pytest.raises(InvalidInputError, match="with_maps: expected a network whose maps are"):
        KeypointOptions(with_maps=True)
