"""Bad requests, made from the contracts: each is refused in its own words and costs nobody else.

Sent as they are, without the client's own checks. After each one a good request is answered, and
a neighbour's good requests, which run all the time, never fail.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from export.case import LARGEST_REFUSED, bytes_of
from export.cases import make_cases
from export.maps import draw_maps
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.rest_client import RestClient
from signatures.contract import (
    SignatureContract,
    TensorContract,
    rules,
    size_rules,
)
from signatures.contract.rules import Rule

from ..families import CONTRACTS, KEYPOINTS, KEYS, example, server_of, write_keypoints

OTHER_DTYPES = {
    "float32": ("float64", "int32"),
    "int64": ("int32", "float32"),
    "uint8": ("int32", "float32"),
    "string": ("float32",),
}
RUNTIME_NAMES = {"float32": "float", "float64": "double"}
OTHER_JSON = {
    "float32": [("a", "String"), (None, "Null")],
    "int64": [("a", "String"), (1.5, "Number"), (1e3, "Number"), (2**63, "Number")],
    "uint8": [("a", "String"), (None, "Null"), (1.5, "Number")],
    "string": [(1, "Number"), (1.5, "Number")],
}
MAPS = draw_maps(1, 9, 11, 2)[0]
CASES = {
    "peak_ops": make_cases(MAPS),
    "keypoints": make_cases(MAPS, KEYPOINTS, np.full((1, 8, 8, 3), 9, np.uint8)),
}


@dataclass(frozen=True)
class Bad:
    """A request that must be refused with a text that matches in full."""

    model: str
    signature: str
    name: str
    transport: str
    inputs: dict
    pattern: str

    @property
    def id(self):
        return f"{self.model}-{self.transport}-{self.signature}-{self.name}"


def wrong_shapes(tensor, value):
    """Names and values of a wrong rank, or of a wrong size where the contract fixes it."""
    yield f"rank_above_{tensor.name}", value[None]
    if tensor.rank:
        yield f"rank_below_{tensor.name}", value[:1].reshape(value.shape[1:])
    for axis, size in enumerate(tensor.shape):
        if isinstance(size, int):
            yield f"width_{axis}_{tensor.name}", np.repeat(value, 2, axis=axis)


def other(value, dtype):
    """The same values, or zeros where there is no such form of them, in another dtype."""
    return np.zeros(value.shape, dtype) if value.dtype == object else value.astype(dtype)


def shape_pattern(tensor, value):
    got = re.escape(f"[{','.join(map(str, value.shape))}]")
    want = ",".join("?" if size is None else str(size) for size in tensor.static_shape)
    return rf"Shape of tensor \S+ {got} is not compatible with expected shape {re.escape(f'[{want}]')}\."


def of_signature(model, key):
    contract = CONTRACTS[model].signature(key)
    good = example(model, key)

    def bad(name, transport, inputs, pattern):
        return Bad(model, key, name, transport, inputs, pattern)

    names = sorted(good)
    for tensor in contract.inputs:
        value = good[tensor.name]
        for dtype in OTHER_DTYPES[tensor.dtype]:
            want = RUNTIME_NAMES.get(tensor.dtype, tensor.dtype)
            yield bad(
                f"dtype_{dtype}_{tensor.name}",
                "gRPC",
                {**good, tensor.name: other(value, dtype)},
                rf"Expects arg\[\d\] to be {want} but {RUNTIME_NAMES.get(dtype, dtype)} is provided",
            )
        for number, (value_of_other_type, kind) in enumerate(OTHER_JSON[tensor.dtype]):
            nested = value.astype(object)
            nested[(0,) * tensor.rank] = value_of_other_type
            want = RUNTIME_NAMES.get(tensor.dtype, tensor.dtype)
            yield bad(
                f"json_type_{number}_{tensor.name}",
                "REST",
                {**good, tensor.name: nested.tolist()},
                rf"JSON Value: .* Type: {kind} is not of expected type: {want}"
                r"|JSON Value: .* is not of expected type: .*",
            )
        for transport in ("gRPC", "REST"):
            for name, wrong in wrong_shapes(tensor, value):
                request = {**good, tensor.name: wrong}
                yield bad(name, transport, request, shape_pattern(tensor, wrong))
        rest = {name: value for name, value in good.items() if name != tensor.name}
        if tensor.default is None:
            text = (
                f"input size does not match signature: {len(rest)}!={len(good)} "
                f"len({{{','.join(sorted(rest))}}}) != len({{{','.join(names)}}}). "
                f"Sent extra: {{}}. Missing but required: {{{tensor.name}}}."
            )
            # With defaults the server counts differently; its words then name the input.
            either = rf"{re.escape(text)}|.*\b{tensor.name}\b.*"
            yield bad(f"missing_{tensor.name}", "gRPC", rest, either)
        missing = re.escape(f"Missing named input: {tensor.name} in 'inputs' object.")
        yield bad(f"missing_{tensor.name}", "REST", rest, missing)
        renamed = {**rest, f"{tensor.name}_": value}
        yield bad(f"misnamed_{tensor.name}", "REST", renamed, missing)
        yield bad(f"misnamed_{tensor.name}", "gRPC", renamed, rf".*\b{tensor.name}_\b.*")
    extra = {**good, "zzz": np.float32(1)}
    pattern = r"input size does not match signature: .*Sent extra: \{zzz\}\..*"
    yield bad("extra_zzz", "gRPC", extra, pattern)
    for case in CASES[model]:
        if case.refused and case.signature == key:
            sentence = re.escape(contract.refusal(case.inputs))
            # An empty tensor of rank 2 or more has no JSON form.
            empty = any(not array.size and array.ndim > 1 for array in case.inputs.values())
            for transport in ("gRPC",) if empty else ("gRPC", "REST"):
                yield bad(case.name, transport, case.inputs, sentence)


BAD = [bad for model, key in KEYS for bad in of_signature(model, key)]


@pytest.fixture(scope="module", params=["embedded", "stock"])
def host(request, published, tmp_path_factory, networks):
    """One server with both."""
    folder = tmp_path_factory.mktemp("both")
    base_paths = {"peak_ops": published.parent, "keypoints": write_keypoints(folder, networks)}
    with server_of(request.param, base_paths, folder) as server:
        yield server


@pytest.fixture(scope="module")
def raw_clients(host):
    """Clients that know no contract, and so send whatever they are given."""
    with (
        GrpcClient(host.grpc_address, contracts={}) as grpc_client,
        RestClient(host.rest_address, contracts={}) as rest_client,
    ):
        yield {"gRPC": grpc_client, "REST": rest_client}


@pytest.fixture(scope="module")
def neighbour(host, tell):
    """Another client's good requests, one after the other, for as long as the module runs."""
    stop, answered, failed = threading.Event(), [], []
    requests = [(model, "serving_default") for model in CONTRACTS]

    def work():
        with GrpcClient(host.grpc_address, contracts=CONTRACTS) as client:
            expected = {}
            while not stop.is_set():
                for model, key in requests:
                    try:
                        got = client.predict(key, example(model, key), model=model)
                        for name, values in expected.setdefault(model, got).items():
                            assert np.array_equal(got[name], values)
                        answered.append(1)
                    except Exception as error:
                        failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield failed
    stop.set()
    thread.join()
    assert not failed
    assert len(answered) > len(BAD) // 4
    tell(f"{len(answered)} good requests beside {len(BAD)} bad ones, 0 failed")


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_refused_in_its_own_words(raw_clients, neighbour, bad):
    client = raw_clients[bad.transport]
    with pytest.raises(ServingError) as error:
        client.predict(bad.signature, bad.inputs, model=bad.model)
    assert error.value.code == "INVALID_ARGUMENT"
    assert re.fullmatch(bad.pattern, error.value.sentence, re.S), error.value.sentence
    outputs = client.predict(bad.signature, example(bad.model, bad.signature), model=bad.model)
    assert all(np.size(value) for value in outputs.values())
    assert not neighbour


def has(model, key, prefix, transport=None):
    return any(
        (bad.model, bad.signature) == (model, key)
        and bad.name.startswith(prefix)
        and transport in (None, bad.transport)
        for bad in BAD
    )


@pytest.mark.parametrize(("model", "key"), KEYS)
def test_every_promise_of_a_contract_is_tried(model, key):
    """Fails when a field of the contract could be dropped without a case noticing."""
    contract = CONTRACTS[model].signature(key)
    accepted = [case for case in CASES[model] if case.signature == key and not case.refused]
    for tensor in contract.inputs:
        for transport in ("gRPC", "REST"):
            assert has(model, key, f"misnamed_{tensor.name}", transport)
            assert has(model, key, f"rank_above_{tensor.name}", transport)
        assert has(model, key, "dtype_", "gRPC")
        assert has(model, key, f"json_type_0_{tensor.name}", "REST")
        for axis, size in enumerate(tensor.shape):
            assert not isinstance(size, int) or has(model, key, f"width_{axis}_{tensor.name}")
        if tensor.default is None:
            assert has(model, key, f"missing_{tensor.name}", "gRPC")
        else:
            assert any(tensor.name not in case.inputs for case in accepted)
    example_inputs = example(model, key)
    for rule in contract.rules:
        for name, inputs in rule.violations(example_inputs):
            if bytes_of(inputs) > LARGEST_REFUSED:
                # `test_guard.py` and `test_replay.py` try it under narrower bounds.
                assert isinstance(rule, size_rules.AtMostNumbers | size_rules.AtMostSamples)
                continue
            assert has(model, key, f"refused_{name}", "gRPC")
            if all(array.size for array in inputs.values()):
                assert has(model, key, f"refused_{name}", "REST")


# What the cases above and the comparison of served with eager outputs enforce, and what only
# documents. A new field must be put in one of them.
ENFORCED = {
    "TensorContract": {"name", "dtype", "shape", "default"},
    "SignatureContract": {"name", "inputs", "outputs", "rules", "tolerance"},
}
DESCRIPTIVE = {
    "TensorContract": {"axes", "units", "meaning", "example"},
    "SignatureContract": {"summary", "batched"},
}


@pytest.mark.parametrize("kind", [TensorContract, SignatureContract])
def test_every_field_is_enforced_or_descriptive(kind):
    names = {field.name for field in dataclasses.fields(kind)}
    enforced, descriptive = ENFORCED[kind.__name__], DESCRIPTIVE[kind.__name__]
    assert enforced | descriptive == names
    assert not enforced & descriptive


def test_every_kind_of_rule_is_used_and_broken():
    used = {
        type(rule)
        for model in CONTRACTS.values()
        for contract in model.signatures
        for rule in contract.rules
    }
    kinds = {
        value
        for module in (rules, size_rules)
        for value in vars(module).values()
        if dataclasses.is_dataclass(value) and hasattr(value, "violations") and value is not Rule
    }
    assert used == kinds
