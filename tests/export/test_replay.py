"""Replay before publishing: a model that differs, or that does not refuse, is not published."""

from __future__ import annotations

import dataclasses

import pytest

from export.builder import export_model, write_saved_model
from export.replay import ReplayError, replay
from export.store import STAGING_PREFIX
from signatures import PeakOps
from signatures.contract import PEAK_OPS, Bounds, peak_ops_contract
from signatures.guard import body_of
from signatures.peak_ops import FUNCTIONS
from signatures.tracing import traced

REFINE = "refine_peaks_local_direction"


SMOOTH = "smooth_imgs"


def twice(imgs, peaks, delta):
    return body_of(FUNCTIONS[REFINE])(imgs, peaks, 2 * delta)


def test_a_model_that_differs_is_not_published(tmp_path):
    """One signature is another function, one has no guard, and the others are as they should be."""
    module = PeakOps()
    module.functions[REFINE] = traced(PEAK_OPS.signature(REFINE), twice)
    unguarded = dataclasses.replace(PEAK_OPS.signature(SMOOTH), rules=())
    module.functions[SMOOTH] = traced(unguarded, body_of(FUNCTIONS[SMOOTH]))
    store = tmp_path / "peak_ops"
    with pytest.raises(ReplayError) as error:
        export_model(tmp_path, module)
    assert str(error.value).startswith("not published: the exported model differs from eager in ")
    lines = error.value.mismatches
    assert {line.partition(" ")[0] for line in lines} == {REFINE, SMOOTH}
    for start in (
        f"{REFINE} over replay, case delta_0.25: output refined_peaks at",
        f"{SMOOTH} over replay, case refused_kernel_size_above: "
        "expected INVALID_ARGUMENT kernel_size: must be within 1..129; got 131, got an answer",
    ):
        assert any(line.startswith(start) for line in lines), lines
    assert [path for path in store.iterdir() if not path.name.startswith(".")] == []
    assert not list(store.glob(f"{STAGING_PREFIX}*"))


def test_a_model_with_narrow_bounds_is_replayed_within_them(tmp_path, tell):
    bounds = Bounds(
        **{"max_window": 3, "max_crop_elements": 10, "min_sigma": 0.5, "max_sigma": 2},
        **{"max_map_elements": 500, "max_rows": 200},
    )
    write_saved_model(PeakOps(peak_ops_contract(bounds)), tmp_path)
    counts = replay(tmp_path)
    assert counts.cases > 9 * 50
    assert counts.elements > 1000
    tell(f"replayed {counts.cases} cases, {counts.elements} numbers")


def test_a_directory_that_is_no_model_is_one_line(tmp_path):
    with pytest.raises(ReplayError, match="expected a version that peakserve exported"):
        replay(tmp_path)
