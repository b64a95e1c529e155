"""What changes between versions: additive, numeric, breaking; and what may be published."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from export import builder
from export.builder import export_model
from export.cli import main
from export.differences import BreakingChangeError, differences_of
from export.manifest import MANIFEST
from signatures import PeakOps
from signatures.contract import (
    PEAK_OPS,
    Bounds,
    TopdownOptions,
    peak_ops_contract,
    topdown_contract,
)

BASE = json.loads(json.dumps(PEAK_OPS.as_dict()))


def write(folder, model, content="sha256:0"):
    path = folder / MANIFEST
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"format": 1, "content": content, "model": model}))
    return folder


def changed(change):
    model = copy.deepcopy(BASE)
    change({signature["name"]: signature for signature in model["signatures"]}, model)
    return model


def drop_signature(signatures, model):
    model["signatures"] = [s for s in model["signatures"] if s["name"] != "smooth_imgs"]


def add_signature(signatures, model):
    model["signatures"].append({**copy.deepcopy(signatures["smooth_imgs"]), "name": "other"})


def set_input(key, index, **fields):
    return lambda signatures, model: signatures[key]["inputs"][index].update(fields)


def set_output(key, index, **fields):
    return lambda signatures, model: signatures[key]["outputs"][index].update(fields)


def add_output(key):
    def change(signatures, model):
        outputs = signatures[key]["outputs"]
        outputs.append({**outputs[0], "name": "more"})

    return change


def add_input(default):
    def change(signatures, model):
        inputs = signatures["smooth_imgs"]["inputs"]
        inputs.append({**inputs[1], "name": "more", "default": default})

    return change


def set_rule(**fields):
    return lambda signatures, model: signatures["make_gaussian_kernel"]["rules"][0].update(fields)


def drop_rules(signatures, model):
    signatures["make_gaussian_kernel"]["rules"] = []


CASES = {
    "signature_gone": (drop_signature, "breaking", "smooth_imgs: the signature is gone"),
    "signature_added": (add_signature, "additive", "other: a new signature"),
    "default_signature": (
        lambda signatures, model: model.update(default="smooth_imgs"),
        "breaking",
        "serving_default input peaks: the input is gone",
    ),
    "input_renamed": (
        set_input("smooth_imgs", 0, name="images"),
        "breaking",
        "smooth_imgs input imgs: the input is gone",
    ),
    "input_required": (add_input(None), "breaking", "more: a new input without default"),
    "input_with_default": (add_input(3), "additive", "more: a new input with a default"),
    "input_dtype": (
        set_input("smooth_imgs", 0, dtype="float64"),
        "breaking",
        "dtype 'float32', now 'float64'",
    ),
    "input_fixed": (
        set_input("smooth_imgs", 0, shape=["samples", 8, "width", "channels"]),
        "breaking",
        "now [samples, 8, width, channels]",
    ),
    "input_freed": (
        set_input("crop_centered_boxes", 1, shape=["peaks", "columns"]),
        "additive",
        "shape [peaks, 4], now [peaks, columns]",
    ),
    "default_changed": (set_input("smooth_imgs", 1, default=7), "numeric", "default 5, now 7"),
    "default_gone": (set_input("smooth_imgs", 1, default=None), "breaking", "now None"),
    "axis_order": (
        set_output("find_offsets_local_direction", 0, axes="columns dx, dy"),
        "breaking",
        "now 'columns dx, dy'",
    ),
    "units": (set_output("smooth_imgs", 0, units="percent"), "breaking", "now 'percent'"),
    "output_gone": (
        lambda signatures, model: signatures["find_global_peaks"]["outputs"].pop(),
        "breaking",
        "find_global_peaks output values: the output is gone",
    ),
    "one_output_becomes_two": (add_output("smooth_imgs"), "breaking", "a second output: replies"),
    "another_output": (add_output("find_global_peaks"), "additive", "more: a new output"),
    "output_shape": (
        set_output("crop_centered_boxes", 0, shape=["peaks", 3, 3, 1]),
        "additive",
        "now [peaks, 3, 3, 1]",
    ),
    "output_rank": (set_output("smooth_imgs", 0, shape=["samples"]), "breaking", "now [samples]"),
    "bound_narrower": (set_rule(high=7), "breaking", "high 7"),
    "bound_wider": (set_rule(high=1025), "additive", "high 1025"),
    "rule_gone": (drop_rules, "additive", "no longer refused: Within"),
    "tolerance": (
        lambda signatures, model: signatures["smooth_imgs"]["tolerance"].update(limit=9.0),
        "numeric",
        "now 9 ulps",
    ),
    "batched": (
        lambda signatures, model: signatures["smooth_imgs"].update(batched=True),
        "numeric",
        "were answered alone, now joined",
    ),
    "option": (
        lambda signatures, model: model["options"].update(max_sigma=1e5),
        "numeric",
        "max_sigma 1000000.0, now 100000.0",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_change_has_its_kind(tmp_path, name):
    change, kind, text = CASES[name]
    before = write(tmp_path / "1", BASE)
    after = write(tmp_path / "2", changed(change), "sha256:1")
    changes = differences_of(before, after)
    assert [c for c in changes if c.kind == kind and text in str(c)], [str(c) for c in changes]
    worst = "breaking" if kind == "breaking" else kind
    assert ("breaking" in {c.kind for c in changes}) == (worst == "breaking")


EVERY_OUTPUT = {"points", "confidences", "valid", "instance_confidences"}


@pytest.mark.parametrize(
    ("chosen", "signatures", "tensors"),
    [
        ({"max_instances": 4}, {"images", "encoded_images"}, EVERY_OUTPUT),
        ({"channels": 2}, {"images", "encoded_images"}, EVERY_OUTPUT - {"instance_confidences"}),
        # The decoder takes the colours of a file away.
        ({"grayscale": True}, {"images"}, {"images"}),
        ({"centroid_pad_to": 32}, set(), set()),
        ({"crop_size": 16}, set(), set()),
        ({"names": "a,b,c"}, set(), set()),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_versions_of_topdown(tmp_path, chosen, signatures, tensors):
    """What clients send or get breaks them; what only finds other points is numeric."""
    options = {"image_height": 24, "image_width": 32, "crop_size": 12, "channels": 3}
    versions = ("1", options), ("2", {**options, **chosen})
    for version, its in versions:
        contract = topdown_contract(TopdownOptions(**its)).as_dict()
        write(tmp_path / "topdown" / version, contract, f"sha256:{version}")
    changes = differences_of(*(tmp_path / "topdown" / version for version, _ in versions))
    broken = {tuple(c.where.split()[::2]) for c in changes if c.kind == "breaking"}
    served = {*signatures, "serving_default"} if signatures else set()
    assert broken == {(signature, tensor) for signature in served for tensor in tensors}
    (name,) = chosen
    (of_options,) = (c for c in changes if c.where == "options")
    assert str(of_options).count(f"options: {name} ") == 1
    # Names are found in no answer.
    assert of_options.kind == ("additive" if name == "names" else "numeric")
    assert all(c is of_options for c in changes if c.kind == "numeric")
    arguments = ["--model", "topdown", "--model-root", str(tmp_path), "1", "2"]
    told = CliRunner().invoke(main, ["versions", "diff", *arguments])
    assert told.output.splitlines() == list(map(str, changes))
    assert told.exit_code == (1 if signatures else 0)


def test_other_weights_are_numeric_and_equal_versions_have_no_difference(tmp_path):
    before = write(tmp_path / "1", BASE)
    (change,) = differences_of(before, write(tmp_path / "2", BASE, "sha256:1"))
    assert (change.kind, change.where) == ("numeric", "model")
    assert differences_of(before, write(tmp_path / "3", BASE)) == []


def test_a_breaking_version_needs_to_be_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "replay", lambda *_: builder.ReplayCounts(1, 1))
    wide, narrow = PeakOps(), PeakOps(peak_ops_contract(Bounds(max_window=7)))
    assert export_model(tmp_path, wide).version == 1
    with pytest.raises(BreakingChangeError, match="break clients of version 1; publish it all"):
        export_model(tmp_path, narrow)
    assert [path.name for path in (tmp_path / "peak_ops").iterdir()] == ["1"]
    assert export_model(tmp_path, narrow, allow_breaking=True).version == 2
    # The way back only widens.
    assert export_model(tmp_path, wide).version == 3
