"""On a visible GPU: every promised op has its kernel there, and the answers are those of the CPU.

Run them alone with `pytest -m gpu`. Without a GPU each is a visible skip.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from export.builder import write_saved_model
from export.cases import make_cases
from export.comparison import compare
from export.eager import Eager
from export.maps import draw_maps
from export.replay import LoadedModel
from export.verification import verify
from signatures import PeakOps
from signatures.contract import PEAK_OPS, KeypointOptions
from signatures.guard import body_of
from signatures.keypoints import Keypoints
from signatures.peak_ops import FUNCTIONS

pytestmark = pytest.mark.gpu

MAPS = draw_maps(2, 16, 20, 3)[0]
FIXED = {"height": 16, "width": 20, "channels": 3, "max_batch": 8, "max_peaks": 5}
WITH_NETWORK = {"backbone": True, "output_stride": 2.0, "image_height": 32, "image_width": 40}


@pytest.fixture(autouse=True)
def gpu():
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("no GPU is visible to TensorFlow")


@pytest.fixture
def hard_placement():
    """An op without a kernel on the device that it was put on is an error."""
    tf.config.set_soft_device_placement(False)
    yield
    tf.config.set_soft_device_placement(True)


@pytest.fixture(scope="module")
def modules(networks):
    options = KeypointOptions(**FIXED, **WITH_NETWORK)
    return {"peak_ops": PeakOps(), "keypoints": Keypoints(options, networks.every_nth_pixel(2))}


def eager_on_cpu(module, case):
    with tf.device("/CPU:0"):
        return Eager(module.contract, getattr(module, "network", None))(case)


def accepted(model, module):
    cases = make_cases(MAPS, module.contract)
    return [
        case for case in cases if not case.refused and all(a.size for a in case.inputs.values())
    ]


@pytest.mark.parametrize("model", ["peak_ops", "keypoints"])
def test_every_promised_op_runs_on_the_gpu(modules, hard_placement, model):
    """The bodies, without what decodes pictures, all of whose ops are asked onto the GPU."""
    module = modules[model]
    for case in accepted(model, module):
        contract = module.contract.signature(case.signature)
        if contract.name == "encoded_images":
            continue
        body = (
            body_of(FUNCTIONS[contract.name])
            if model == "peak_ops"
            else module.stages[contract.name].body
        )
        inputs = contract.with_defaults(case.inputs)

        @tf.function(autograph=False)
        def on_gpu(*tensors, body=body):
            with tf.device("/GPU:0"):
                return body(*tensors)

        results = on_gpu(*(tf.constant(value) for value in inputs.values()))
        results = results if isinstance(results, tuple) else (results,)
        expected = eager_on_cpu(module, case).outputs
        tolerance = contract.tolerance
        for tensor, result in zip(contract.outputs, results, strict=True):
            allowed = tolerance.of_output(tensor.name) if tolerance else None
            found = compare(expected[tensor.name], result.numpy(), allowed)
            assert found.matches, (case.id, tensor.name, found)


@pytest.mark.parametrize("model", ["peak_ops", "keypoints"])
def test_the_exported_model_answers_as_the_cpu_does(modules, tmp_path, model, tell):
    """As a server loads it: guard, `cond` and batching in the graph included; from 8 threads."""
    module = modules[model]
    write_saved_model(module, tmp_path)
    loaded = LoadedModel(tmp_path, module.contract)
    cases = make_cases(MAPS, module.contract)
    answers = {case.id: eager_on_cpu(module, case) for case in cases}

    def run(start):
        order = cases[start:] + cases[:start]
        return verify(order, [loaded], lambda case: answers[case.id], module.contract)

    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(run, range(0, len(cases), max(1, len(cases) // 8))))
    for report in reports:
        report.raise_if_different()
    largest = max(tally.difference for report in reports for tally in report.tallies)
    tell(f"{model} on {tf.config.list_physical_devices('GPU')[0].name}: largest {largest:.3g}")


def test_discrete_answers_are_equal_to_the_last_bit():
    """What needs no tolerance on a CPU needs none on a GPU."""
    exact = [signature.name for signature in PEAK_OPS.signatures if not signature.tolerance]
    for name in exact:
        for case in accepted("peak_ops", PeakOps()):
            if case.signature != name:
                continue
            inputs = PEAK_OPS.signature(name).with_defaults(case.inputs)
            tensors = [tf.constant(value) for value in inputs.values()]
            with tf.device("/GPU:0"):
                there = tf.nest.flatten(body_of(FUNCTIONS[name])(*tensors))
            with tf.device("/CPU:0"):
                here = tf.nest.flatten(body_of(FUNCTIONS[name])(*tensors))
            for ours, theirs in zip(here, there, strict=True):
                np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=case.id)
