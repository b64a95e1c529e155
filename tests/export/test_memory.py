"""What requests cost the server's memory: refusals nothing, accepted ones in proportion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.cases import make_cases
from export.maps import draw_maps
from serving_config.errors import ServingError
from signatures.contract import PEAK_OPS

MEBIBYTE = 2**20
WARM_UP, REQUESTS, ALLOWED = 20, 100, 50 * MEBIBYTE

REFUSED = [case for case in make_cases(draw_maps(1, 9, 11, 2)[0]) if case.refused]


class Memory:
    """The peak resident memory of a process, from Linux' /proc."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        if not self._folder.is_dir():
            pytest.skip("no /proc: the server's memory cannot be watched")

    def reset_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    def read(self, field: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field}")

    @property
    def peak(self) -> int:
        return self.read("VmHWM")

    @property
    def resident(self) -> int:
        return self.read("VmRSS")


@pytest.fixture
def memory(server):
    return Memory(server.pid)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_refusals_cost_no_memory(client, memory, case):
    sentence = PEAK_OPS.signature(case.signature).refusal(case.inputs)

    def refuse():
        with pytest.raises(ServingError) as error:
            client.predict(case.signature, case.inputs)
        assert (error.value.code, error.value.sentence) == ("INVALID_ARGUMENT", sentence)

    for _ in range(WARM_UP):
        refuse()
    memory.reset_peak()
    before = memory.resident
    for _ in range(REQUESTS):
        refuse()
    assert memory.peak - before < ALLOWED
    kernel = client.predict("make_gaussian_kernel", {"size": np.int64(3), "sigma": np.float32(1)})
    assert kernel["kernel"].shape == (3, 3)


@pytest.mark.parametrize("size", [7, 129])
def test_wide_kernels_stay_small_on_many_channels(client, memory, size):
    inputs = {"imgs": np.ones((1, 1, 1, 5000), np.float32), "kernel_size": np.int64(size)}
    client.predict("smooth_imgs", {**inputs, "kernel_size": np.int64(1)})
    memory.reset_peak()
    before = memory.resident
    client.predict("smooth_imgs", inputs)
    assert memory.peak - before < ALLOWED


def test_crops_at_their_bound_cost_at_most_six_times_their_size(grpc_client, memory):
    window = 129
    count = 2**26 // window**2
    imgs = np.ones((1, 200, 200, 1), np.float32)
    peaks = np.full((count, 4), (0, 100, 100, 0), np.float32)
    grpc_client.predict(
        "crop_centered_boxes", {"imgs": imgs, "peaks": peaks[:1], "window_length": np.int64(3)}
    )
    memory.reset_peak()
    before = memory.resident
    inputs = {"imgs": imgs, "peaks": peaks, "window_length": np.int64(window)}
    crops = grpc_client.predict("crop_centered_boxes", inputs)["crops"]
    assert crops.shape == (count, window, window, 1)
    assert (crops == 1).all()
    assert memory.peak - before < 6 * crops.nbytes


@pytest.mark.parametrize("signature", ["find_local_peaks", "find_local_peaks_first"])
def test_a_threshold_that_every_pixel_passes(grpc_client, memory, signature, tell):
    """On maps of five values, which tie everywhere, in proportion to their size."""
    random = np.random.default_rng(0)
    imgs = np.round(random.random((8, 128, 128, 13), np.float32) * 4) / 4
    inputs = {"imgs": imgs, "threshold": np.float32(-1)}
    grpc_client.predict(signature, {**inputs, "imgs": imgs[:1, :8, :8]})
    memory.reset_peak()
    before = memory.resident
    peaks = grpc_client.predict(signature, inputs)["peaks"]
    assert len(peaks) > 1000
    tell(f"{signature}: peak {(memory.peak - before) / imgs.nbytes:.1f} times the maps")
    assert memory.peak - before < 20 * imgs.nbytes
