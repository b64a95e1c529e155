"""The requests that every comparison sends."""

from __future__ import annotations

from export.case import LARGEST_REFUSED
from export.cases import make_cases
from export.maps import draw_maps
from signatures.contract import KeypointOptions, keypoints_contract


def test_refused_requests_for_large_images_are_small():
    """4,097 pictures of a video's size were a quarter of a gigabyte, in every comparison."""
    sizes = {"image_height": 320, "image_width": 560, "output_stride": 4.0, "input_scale": 0.5}
    options = KeypointOptions(height=40, width=70, channels=2, backbone=True, **sizes)
    contract = keypoints_contract(options)
    refused = [case for case in make_cases(draw_maps(1, 40, 70, 2)[0], contract) if case.refused]
    for case in refused:
        for array in case.inputs.values():
            count = sum(map(len, array.flat)) if array.dtype == object else array.nbytes
            assert count <= LARGEST_REFUSED, case.id
    small = keypoints_contract(KeypointOptions(backbone=True, channels=2, max_samples=16))
    cases = make_cases(draw_maps(1, 8, 8, 2)[0], small)
    assert {case.signature for case in cases if case.refused} >= {"images", "encoded_images"}
