"""Content identity: equal content, equal hash; every ingredient counts."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export import builder
from export.builder import export_model, write_saved_model
from export.identity import content_hash
from signatures import PeakOps
from signatures.contract import PEAK_OPS, Bounds, peak_ops_contract
from signatures.guard import body_of
from signatures.local_direction import refine_peaks_local_direction
from signatures.tracing import traced

ROOT = Path(__file__).parents[2]
PROMISES = {"name": "small"}


class Small(tf.Module):
    """One function with a constant, a variable and an asset."""

    def __init__(self, *, weight=2.0, constant=1.0, power=1, vocabulary=None):
        super().__init__()
        self.weight = tf.Variable(weight)
        if vocabulary:
            self.vocabulary = tf.saved_model.Asset(str(vocabulary))

        def body(x):
            return tf.cond(tf.size(x) > 0, lambda: self.weight * x**power + constant, lambda: x)

        self.body = tf.function(body, input_signature=[tf.TensorSpec([None], name="x")])


def saved(folder, module):
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.body})
    return folder


@pytest.fixture(scope="module")
def small_hash(tmp_path_factory):
    return content_hash(saved(tmp_path_factory.mktemp("small"), Small()), PROMISES)


def test_a_second_export_in_one_process_has_the_same_hash(tmp_path, small_hash):
    assert content_hash(saved(tmp_path, Small()), PROMISES) == small_hash
    assert small_hash.startswith("sha256:")
    assert len(small_hash) == len("sha256:") + 64


@pytest.mark.parametrize(
    "change",
    [{"weight": 2.0000002}, {"constant": 1.5}, {"power": 2}],
    ids=lambda change: next(iter(change)),
)
def test_weights_constants_and_bodies_count(tmp_path, small_hash, change):
    assert content_hash(saved(tmp_path, Small(**change)), PROMISES) != small_hash


def test_contracts_and_options_count(tmp_path, small_hash):
    assert content_hash(saved(tmp_path, Small()), {"name": "other"}) != small_hash


def test_assets_count_by_content_and_not_by_place(tmp_path):
    hashes = []
    for folder, text in (("a", "one"), ("b", "one"), ("c", "two")):
        vocabulary = tmp_path / folder / "vocabulary.txt"
        vocabulary.parent.mkdir()
        vocabulary.write_text(text)
        module = Small(vocabulary=vocabulary)
        hashes.append(content_hash(saved(tmp_path / folder / "model", module), PROMISES))
    assert hashes[0] == hashes[1] != hashes[2]


def test_signatures_count(tmp_path, small_hash):
    module = Small()
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.body})
    assert content_hash(tmp_path, PROMISES) != small_hash


@pytest.mark.parametrize("part", ["inputs", "outputs", "defaults"])
def test_what_a_signature_says_counts(tmp_path, small_hash, part):
    path = saved(tmp_path, Small()) / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(path.read_bytes())
    signature = model.meta_graphs[0].signature_def["serving_default"]
    if part == "defaults":
        signature.defaults["x"].dtype = 1
    else:
        next(iter(getattr(signature, part).values())).dtype = 2
    path.write_bytes(model.SerializeToString())
    assert content_hash(tmp_path, PROMISES) != small_hash


HASH = """
import sys
from pathlib import Path
from export.builder import write_saved_model
from signatures import PeakOps
folder = Path(sys.argv[1])
folder.mkdir()
print(write_saved_model(PeakOps(), folder))
"""


def test_processes_folders_and_checkouts_agree(tmp_path):
    """Three processes, three folders, and a checkout at another path."""
    checkout = tmp_path / "elsewhere" / "checkout"
    for package in ("export", "signatures", "serving_config"):
        shutil.copytree(
            ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    hashes = set()
    for number, root in enumerate([ROOT, checkout]):
        done = subprocess.run(
            [sys.executable, "-c", HASH, str(tmp_path / f"model{number}")],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": str(number)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        hashes.add(done.stdout.strip())
    assert len(hashes) == 1
    folder = tmp_path / "here"
    folder.mkdir()
    PeakOps().functions["smooth_imgs"].get_concrete_function()  # moves the counters in names
    assert write_saved_model(PeakOps(), folder) in hashes


@pytest.fixture
def no_replay(monkeypatch):
    """Replay is tested by itself."""
    monkeypatch.setattr(builder, "replay", lambda *_: builder.ReplayCounts(1, 1))


REFINE = "refine_peaks_local_direction"


def small_family(bounds=None):
    """Two signatures of the family, which say as much of identity as all."""
    contract = peak_ops_contract(bounds or Bounds())
    few = [contract.signature(name) for name in ("crop_centered_boxes", REFINE)]
    return PeakOps(dataclasses.replace(contract, signatures=tuple(few)))


def other_body():
    """A module whose refinement is another function."""
    module = small_family()

    def twice(imgs, peaks, delta):
        return body_of(refine_peaks_local_direction)(imgs, peaks, 2 * delta)

    module.functions[REFINE] = traced(PEAK_OPS.signature(REFINE), twice)
    return module


def test_only_new_content_is_published(tmp_path, no_replay, tell):
    def publish(module, **options):
        exported = export_model(tmp_path, module, allow_breaking=True, **options)
        return exported.version, exported.published

    plain, narrow = small_family(), Bounds(max_window=7)
    assert publish(plain) == (1, True)
    assert publish(small_family()) == (1, False)
    assert publish(plain, force=True) == (2, True)
    assert publish(small_family(narrow)) == (3, True)
    assert publish(small_family(narrow)) == (3, False)
    assert publish(other_body()) == (4, True)
    assert publish(plain) == (5, True)
    assert publish(plain, version=9) == (5, False)
    assert publish(plain, version=9, force=True) == (9, True)
    names = sorted(path.name for path in (tmp_path / "peak_ops").iterdir())
    assert names == ["1", "2", "3", "4", "5", "9"]
    tell(f"versions published from 9 exports: {len(names)}")
