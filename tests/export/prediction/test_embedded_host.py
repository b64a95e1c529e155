"""From a video, pictures and maps to points over a real server, compared with eager."""

from __future__ import annotations

import numpy as np
import pytest

from export.backbone import load_network
from export.builder import write_saved_model
from export.eager import eager_functions
from export.geometry import options_with
from export.network_source import NetworkSource
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST
from signatures.keypoints import Keypoints

from .frames import save_picture, save_video

HEIGHT, WIDTH = 24, 32


@pytest.fixture(scope="module")
def toy(tmp_path_factory, networks):
    """A model whose maps are every second pixel of the image, one for each colour."""
    root = tmp_path_factory.mktemp("toy")
    network = load_network(NetworkSource(networks.save_every_nth_pixel(root / "network", stride=2)))
    chosen = {"image_height": HEIGHT, "image_width": WIDTH, "window": 5, "batching": "none"}
    module = Keypoints(options_with(network, chosen), network)
    directory = root / "keypoints" / "1"
    directory.mkdir(parents=True)
    write_saved_model(module, directory)
    return module, directory.parent


@pytest.fixture(scope="module")
def host(toy):
    with ModelServer("keypoints", toy[1], program=EMBEDDED_HOST) as server:
        yield server


@pytest.fixture(scope="module")
def frames():
    """Blobs that move, on noise; in every fourth frame nothing is green."""
    random = np.random.default_rng(5)
    x, y = np.arange(WIDTH)[:, None], np.arange(HEIGHT)[:, None, None]
    found = []
    for number in range(11):
        at = random.uniform((4, 4), (WIDTH - 4, HEIGHT - 4), (3, 2))
        blobs = np.exp(-((x - at[:, 0]) ** 2 + (y - at[:, 1]) ** 2) / 18)
        blobs[..., 1] *= number % 4 != 3
        found.append(200 * blobs + random.uniform(0, 20, blobs.shape))
    return np.array(found).astype(np.uint8)


@pytest.fixture(scope="module")
def eager(toy, frames):
    """Points, confidences and what is valid, by signature; maps are every second pixel."""
    functions = eager_functions(toy[0].contract, toy[0])
    return {
        "images": functions["images"](images=frames),
        "keypoints": functions["keypoints"](confmaps=maps_of(frames)),
    }


def maps_of(frames):
    return frames[:, ::2, ::2].astype(np.float32) / 255


@pytest.fixture
def write(tmp_path, frames):
    """Writes the frames as one kind of INPUT."""

    def write(kind):
        if kind == "video":
            return save_video(tmp_path / "clip.mkv", frames)
        if kind == "pictures":
            for number, image in enumerate(frames):
                save_picture(tmp_path / f"{number}.png", image)
            return tmp_path
        np.save(tmp_path / "maps.npy", maps_of(frames))
        return tmp_path / "maps.npy"

    return write


@pytest.mark.parametrize("kind", ["video", "pictures", "maps"])
def test_points_equal_eager(kind, write, eager, host, predict, tmp_path):
    given = write(kind)
    out = tmp_path / "points.npz"
    done = predict(given, "--out", out, "--batch", 3, address=host.grpc_address)
    assert done.exit_code == 0, done.stderr
    points, confidences, valid = eager["keypoints" if kind == "maps" else "images"]
    with np.load(out) as found:
        assert found["valid"].tolist() == valid.numpy().tolist()
        assert found["valid"].sum() == 3 * 11 - 2
        wanted = np.where(valid[..., None], points, np.nan)
        np.testing.assert_allclose(found["points"], wanted, atol=1e-3)
        np.testing.assert_allclose(found["confidences"], confidences, atol=1e-5)


def test_what_the_server_says_is_enough_to_refuse(host, predict, tmp_path):
    video = save_video(tmp_path / "clip.mkv", np.zeros((2, 48, 64, 3), np.uint8))
    done = predict(video, address=host.grpc_address)
    assert done.exit_code == 1
    assert (
        f"{video}: expected frames of 24 x 32 pixels (height x width), got 48 x 64" in done.stderr
    )


def test_a_model_that_is_not_there(host, predict, tmp_path, write):
    done = predict(write("maps"), "--model", "nope", address=host.grpc_address)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: metadata over gRPC: NOT_FOUND: ")
