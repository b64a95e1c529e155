"""Guards: the same sentence eagerly, in a graph, and from NumPy; nothing runs when refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.cases import make_cases
from export.maps import draw_maps
from signatures import InvalidInputError, PeakOps, crop_centered_boxes, smooth_imgs
from signatures.contract import PEAK_OPS, Bounds, peak_ops_contract, sentence_of_assertion
from signatures.contract.size_rules import AtMostNumbers, AtMostSamples
from signatures.guard import guarded
from signatures.peak_ops import FUNCTIONS

CASES = make_cases(draw_maps(1, 9, 11, 2)[0])
REFUSED = [case for case in CASES if case.refused]


@pytest.fixture(scope="module")
def functions():
    return PeakOps().functions


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_every_rule_speaks_the_same_sentence_everywhere(case, functions):
    contract = PEAK_OPS.signature(case.signature)
    sentence = contract.refusal(case.inputs)
    with pytest.raises(InvalidInputError) as eager:
        FUNCTIONS[contract.name](**case.inputs)
    assert str(eager.value) == sentence
    with pytest.raises(tf.errors.InvalidArgumentError) as traced:
        functions[case.signature](**{k: tf.constant(v) for k, v in case.inputs.items()})
    data = traced.value.message.split("assertion failed: ")[1].split("\n")[0]
    assert sentence_of_assertion(data.split(" [[{{")[0].strip()) == sentence


@pytest.mark.parametrize("case", [c for c in CASES if not c.refused], ids=lambda case: case.id)
def test_accepted_cases_keep_every_rule(case):
    contract = PEAK_OPS.signature(case.signature)
    assert contract.refusal(contract.with_defaults(case.inputs)) is None


def test_every_rule_is_broken_by_a_case():
    for contract in PEAK_OPS.signatures:
        names = [c.name for c in REFUSED if c.signature == contract.name]
        assert len(set(names)) == len(names) >= len(contract.rules)


@pytest.mark.parametrize("number", [0.1, 1 / 3, 16777216, 3e-38, 3.4e38, -7.5, 1e6, 123456.7])
def test_numbers_are_written_as_the_runtime_writes_them(number):
    peaks = np.array([[number + 0.5 if number == int(number) else number, 0, 0, 0]], np.float32)
    contract = PEAK_OPS.signature("serving_default")
    inputs = {"imgs": np.zeros((1, 2, 2, 1), np.float32), "peaks": peaks, "delta": np.float32(1)}
    sentence = contract.refusal(inputs)
    with pytest.raises(tf.errors.InvalidArgumentError) as traced:
        PeakOps().functions["serving_default"](**{k: tf.constant(v) for k, v in inputs.items()})
    data = traced.value.message.split("assertion failed: ")[1].split("\n")[0]
    assert sentence_of_assertion(data.split(" [[{{")[0].strip()) == sentence


@pytest.mark.parametrize("subnormal", [1e-45, -1e-45, 1e-40])
def test_subnormals_count_as_zero(subnormal, functions):
    contract = PEAK_OPS.signature("serving_default")
    peaks = np.array([[subnormal, 1, 1, subnormal]], np.float32)
    inputs = {"imgs": np.zeros((1, 2, 2, 1), np.float32), "peaks": peaks, "delta": np.float32(1)}
    assert contract.refusal(inputs) is None
    assert not FUNCTIONS[contract.name](**inputs).numpy()[:, [0, 3]].any()
    functions["serving_default"](**{k: tf.constant(v) for k, v in inputs.items()})
    sigma = np.float32(subnormal)
    with pytest.raises(InvalidInputError, match="got 0$"):
        smooth_imgs(inputs["imgs"], 3, sigma)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"got\] \[0\]"):
        functions["smooth_imgs"](
            imgs=tf.zeros([1, 2, 2, 1]),
            kernel_size=tf.constant(3, tf.int64),
            sigma=tf.constant(sigma),
        )


def test_the_window_speaks_before_a_product_that_wraps():
    with pytest.raises(InvalidInputError, match=r"window_length: must be within 1\.\.129"):
        crop_centered_boxes(np.zeros((1, 1, 1, 1)), np.zeros((4, 4)), 2**62)


def test_bounds_are_fixed_at_export():
    module = PeakOps(peak_ops_contract(Bounds(max_window=5)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"within 1\.\.5; got"):
        module.functions["smooth_imgs"](
            imgs=tf.zeros([1, 2, 2, 1]),
            kernel_size=tf.constant(7, tf.int64),
            sigma=tf.constant(1.0),
        )


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({"max_window": 4}, "max_window: expected an odd number within 1..1025, got 4"),
        ({"max_window": 1027}, "got 1027"),
        ({"max_crop_elements": 0}, "max_crop_elements: expected 1..2147483648, got 0"),
        ({"max_map_elements": 0}, "max_map_elements: expected 1..2147483648, got 0"),
        ({"max_rows": 2**31 + 1}, "max_rows: expected 1..2147483648, got 2147483649"),
        ({"min_sigma": 2.0, "max_sigma": 1.0}, "got 2 and 1"),
        ({"min_sigma": float("nan")}, "got nan and 1e+06"),
    ],
)
def test_impossible_bounds_are_refused(bounds, text):
    with pytest.raises(InvalidInputError) as error:
        Bounds(**bounds)
    assert text in str(error.value)


NARROW = peak_ops_contract(Bounds(max_map_elements=1000, max_rows=9, max_crop_elements=70))


@pytest.mark.parametrize("key", [contract.name for contract in NARROW.signatures])
def test_sizes_are_bounded_in_words(key):
    """Those that a message may only declare, too: one value may stand for all of a tensor."""
    contract = NARROW.signature(key)
    inputs = {tensor.name: np.asarray(tensor.example, tensor.dtype) for tensor in contract.inputs}
    function = PeakOps(NARROW).functions[key]
    function(**{name: tf.constant(value) for name, value in inputs.items()})
    rules = [rule for rule in contract.rules if type(rule) in (AtMostNumbers, AtMostSamples)]
    assert rules or key == "make_gaussian_kernel"
    for rule in rules:
        for name, wrong in rule.violations(inputs):
            sentence = contract.refusal(wrong)
            assert name.startswith(f"{rule.input}_too_many_")
            assert sentence.startswith(f"{rule.input}: more than {rule.limit} ")
            with pytest.raises(tf.errors.InvalidArgumentError) as error:
                function(**{name: tf.constant(value) for name, value in wrong.items()})
            data = error.value.message.split("assertion failed: ")[1].split("\n")[0]
            assert sentence_of_assertion(data.split(" [[{{")[0].strip()) == sentence


def test_a_body_with_other_parameters_is_refused():
    with pytest.raises(TypeError, match="expected parameters"):

        @guarded(PEAK_OPS.signature("smooth_imgs"))
        def smooth_imgs(imgs, kernel_size=3, sigma=1.0):
            return imgs


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: smooth_imgs(np.zeros((4, 4, 1), np.float32)),
            "imgs: expected shape [samples, height, width, channels], got [4, 4, 1]; "
            "a single item needs its leading axis: pass imgs[None]",
        ),
        (
            lambda: crop_centered_boxes(np.zeros((1, 4, 4, 1)), np.zeros((2, 3)), 3),
            "peaks: expected shape [peaks, 4], got [2, 3]",
        ),
        (
            lambda: crop_centered_boxes(np.zeros((1, 4, 4, 1)), np.zeros((2, 4)), 3.0),
            "window_length: expected an integer dtype such as int64, got float64",
        ),
        (
            lambda: crop_centered_boxes(np.zeros((1, 4, 4, 1)), np.zeros((2, 4)), [3]),
            "window_length: expected shape [], got [1]; pass window_length[0]",
        ),
        (
            lambda: smooth_imgs(np.zeros((1, 4, 4, 1), np.complex64)),
            "imgs: expected a real dtype such as float32, got complex64",
        ),
        (
            lambda: smooth_imgs(None),
            "imgs: expected a real dtype such as float32, got objects",
        ),
        (
            lambda: smooth_imgs("maps"),
            "imgs: expected a real dtype such as float32, got string",
        ),
    ],
    ids=["rank", "width", "float_window", "vector_window", "complex", "none", "text"],
)
def test_wrong_shapes_and_dtypes_are_one_sentence(call, sentence):
    with pytest.raises(InvalidInputError) as error:
        call()
    assert str(error.value) == sentence
