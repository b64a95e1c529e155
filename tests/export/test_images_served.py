"""Models with a network on a server: images and encoded pictures, over gRPC and REST.

A toy network always; the trained one of `PEAKSERVE_REAL_DATA`, in both forms of its file, where
that is set.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from export.backbone import load_network
from export.builder import export_model, write_saved_model
from export.case import Case
from export.cases import make_cases
from export.comparison import compare
from export.eager import Eager
from export.geometry import options_with
from export.image_cases import draw_images, jpeg, picture_mates
from export.keypoint_cases import as_input
from export.maps import draw_maps
from export.network_source import NetworkSource
from export.verification import verify
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED_HOST, find_server
from serving_config.rest_client import RestClient
from signatures import find_global_peaks, refine_peaks_gaussian
from signatures.keypoints import Keypoints

from ..families import answered_once

TRANSPORTS = ["gRPC", "REST", "REST rows"]


def export(root, path, chosen, *, replayed):
    source = NetworkSource(path)
    network = load_network(source)
    module = Keypoints(options_with(network, chosen), network)
    if replayed:
        return module, export_model(root, module, source=source).directory
    directory = root / "keypoints" / "1"
    directory.mkdir(parents=True)
    write_saved_model(module, directory)
    return module, directory


def start(kind, base_path):
    program = EMBEDDED_HOST if kind == "embedded" else find_server()
    if program.kind != kind:
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    flags = ("--grpc_max_threads=32", "--rest_api_timeout_in_ms=120000")
    return ModelServer("keypoints", base_path, program=program, extra_flags=flags)


def client_of(transport, host, contract, **options):
    about = {"model": "keypoints", "contracts": {"keypoints": contract}, **options}
    if transport == "gRPC":
        return GrpcClient(host.grpc_address, **about)
    return RestClient(host.rest_address, rows=transport == "REST rows", **about)


@pytest.fixture(scope="module")
def toy(tmp_path_factory, networks):
    root = tmp_path_factory.mktemp("toy")
    path = networks.save_every_nth_pixel(root / "network", stride=2)
    chosen = {"image_height": 24, "image_width": 32, "window": 5, "max_batch": 8}
    chosen |= {"coordinates": "half-pixel", "with_maps": True}
    return export(root, path, chosen, replayed=False)


@pytest.fixture(scope="module", params=["embedded", "stock"])
def host(request, toy):
    with start(request.param, toy[1].parent) as server:
        yield server


@pytest.fixture(scope="module")
def eager(toy):
    module, _ = toy
    return answered_once(Eager(module.contract, module.network))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_case_equals_eager(host, toy, eager, transport):
    module, _ = toy
    cases = [
        case
        for case in make_cases(draw_maps(2, 12, 16, 3)[0], module.contract)
        if case.signature in ("images", "encoded_images", "images_with_maps")
    ]
    with client_of(transport, host, module.contract) as client:
        report = verify(cases, [client], eager, module.contract)
    report.raise_if_different()
    assert sum(tally.cases + tally.refusals for tally in report.tallies) == len(cases)


def test_all_signatures_beside_bad_neighbours(host, toy, tell):
    """Seven clients ask every signature at once, an eighth sends what it should not."""
    module, _ = toy
    images = draw_images(6, module.options)
    pictures = np.array([jpeg(image) for image in images], object)
    maps = draw_maps(6, 12, 16, 3)[0]
    samples = {
        "keypoints": maps,
        "quantized": as_input(maps, "uint8"),
        "local_peaks": maps,
        "images": images,
        "encoded_images": pictures,
        "serving_default": maps,
    }
    keys = list(samples)
    expected = Eager(module.contract, module.network)
    wanted = {
        (key, index): ask_eager(expected, module, key, rows[index : index + 1])
        for key, rows in samples.items()
        for index in range(6)
    }
    bad_requests = [
        ("images", images[:1, :8]),
        ("images", images[:1].astype(np.float32)),
        ("images", images[:0]),
        ("encoded_images", picture_mates(images, module.options.max_pixels)["too_large"]),
        ("encoded_images", np.array([[b"x"]], object)),
    ]
    refused, answered, wrong = Counter(), [], []

    def good(number):
        with client_of("gRPC", host, module.contract) as client:
            for turn in range(60):
                index, key = (number + turn) % 6, keys[(number + turn) % len(keys)]
                signature = module.contract.signature(key)
                sent = {signature.inputs[0].name: samples[key][index : index + 1]}
                outputs = client.predict(key, sent)
                answered.append(key)
                for name, values in wanted[key, index].items():
                    tolerance = signature.tolerance.of_output(name)
                    if not compare(values, outputs[name], tolerance).matches:
                        wrong.append((key, name))

    def bad():
        with GrpcClient(host.grpc_address, model="keypoints", contracts={}) as client:
            for turn in range(60):
                key, sent = bad_requests[turn % len(bad_requests)]
                try:
                    outputs = client.predict(key, {key: sent})
                    assert not outputs["valid"].any()
                    refused["answered, nothing valid"] += 1
                except ServingError as error:
                    refused[error.code] += 1

    with ThreadPoolExecutor(8) as pool:
        tasks = [*(pool.submit(good, number) for number in range(7)), pool.submit(bad)]
        for task in tasks:
            task.result(timeout=120)
    assert len(answered) == 420
    assert not wrong
    assert refused == {"INVALID_ARGUMENT": 36, "answered, nothing valid": 24}
    tell(f"{host.kind}: 0 of 420 requests to six signatures failed or wrong beside {dict(refused)}")


def ask_eager(eager, module, key, samples):
    (tensor,) = module.contract.signature(key).inputs
    return eager(Case(key, "", {tensor.name: samples})).outputs


@pytest.mark.parametrize("kind", ["embedded", "stock"])
def test_small_requests_cannot_ask_for_gigabytes(toy, kind, tell):
    """Tiny pictures without number, bombs among them: the server's peak stays where it was."""
    module, directory = toy
    bombs = picture_mates(draw_images(1, module.options), module.options.max_pixels)["too_large"]
    tiny = np.empty(2000, object)
    tiny[:] = [b"\xff\xd8\xff"] * 1000 + list(bombs) * 500
    with start(kind, directory.parent) as server, client_of("gRPC", server, module.contract) as ask:
        ask.predict("encoded_images", {"encoded_images": tiny[:64]})
        before = peak_memory(server.pid)
        outputs = ask.predict("encoded_images", {"encoded_images": tiny})
        grown = peak_memory(server.pid) - before
    assert outputs["valid"].shape == (2000, 3)
    assert not outputs["valid"].any()
    tell(f"{kind}: 2000 bad pictures in one request, peak +{grown:.0f} MB")
    assert grown < 100


def peak_memory(pid):
    """The largest resident size of a process so far, MB."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


@pytest.fixture(scope="module", params=["saved_model", "robot_dynamic.keras"])
def robot(request, real_data, tmp_path_factory, long_run):
    chosen = {"image_height": 320, "image_width": 560, "input_scale": 0.5, "pad_to": 8}
    path = real_data / "robot_backbone" / request.param
    root = tmp_path_factory.mktemp("robot")
    # One of the two forms goes the whole way with `--long`; a replay of it takes most of the time.
    replayed = long_run and request.param == "saved_model"
    exported = export(root, path, {**chosen, "window": 13}, replayed=replayed)
    return *exported, load_network(NetworkSource(path))


@pytest.mark.parametrize("kind", ["embedded", "stock"])
def test_frames_of_a_real_video(real_data, robot, kind, tell):
    """Against the network and the functions run eagerly, one after the other."""
    module, directory, network = robot
    frames = np.load(real_data / "robot_single.npz")["images"]
    inputs = tf.image.resize(tf.cast(frames, tf.float32) / 255, (160, 280))
    maps = network.run(inputs)
    peaks, values = find_global_peaks(maps)
    refined = refine_peaks_gaussian(maps, peaks, 13).numpy()
    wanted = refined[:, [2, 1]].reshape(len(frames), -1, 2) * 8
    confidences = values.numpy().reshape(len(frames), -1)
    largest = {"points": 0.0, "confidences": 0.0}

    def check(outputs, rows):
        assert outputs["valid"].all()
        for name, expected in (("points", wanted), ("confidences", confidences)):
            off = np.abs(outputs[name] - expected[rows]).max()
            largest[name] = max(largest[name], float(off))

    with start(kind, directory.parent) as server:
        for transport in TRANSPORTS:
            with client_of(transport, server, module.contract, timeout=120) as client:
                # An image is ten times as long in JSON.
                size, count = (7, len(frames)) if transport == "gRPC" else (1, 2)
                for first in range(0, count, size):
                    rows = slice(first, first + size)
                    check(client.predict("images", {"images": frames[rows]}), rows)
                pictures = np.array([jpeg(frame) for frame in frames[:4]], object)
                pictures[2] = pictures[2][:1000]
                outputs = client.predict("encoded_images", {"encoded_images": pictures})
                assert outputs["valid"].all(axis=1).tolist() == [True, True, False, True]
                good = [0, 1, 3]
                # JPEG changes pixels a little.
                off = np.abs(outputs["points"][good] - wanted[good]).max()
                assert off < 2.0, off
    tolerance = module.contract.signature("images").tolerance
    assert largest["points"] <= tolerance.limit
    assert largest["confidences"] <= tolerance.of_output("confidences").limit
    tell(f"{kind}: {len(frames)} frames, largest differences {largest}; JPEG {off:.2f} px")


def test_scaled_reproduces_the_labels(real_data):
    """Labels in map pixels, brought to the image as points are."""
    from signatures.contract import KeypointOptions
    from signatures.frames import nominal_placement

    data = np.load(real_data / "robot_single.npz")
    options = KeypointOptions(output_stride=4.0, input_scale=0.5)
    brought = nominal_placement(options)(tf.constant(data["gt_cm"])).numpy()
    np.testing.assert_allclose(brought, data["gt_img"], atol=1e-3)
    assert np.isfinite(brought).sum() >= 8
