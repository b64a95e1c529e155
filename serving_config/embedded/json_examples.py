"""`:classify` and `:regress` over REST: JSON objects to Examples, results to JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_reader import RequestBody
from serving_config.embedded.json_tensors import decoded_base64, is_base64, json_type
from serving_config.embedded.json_text import quoted
from serving_config.embedded.json_writer import INDENT, float_texts
from serving_config.tensor_types import type_of_dtype

_KIND_NAMES = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_INT64 = (-(2**63), 2**63 - 1)
_FLOAT = type_of_dtype(np.dtype(np.float32))

# Generated message classes have no static types.
Message = Any


def examples_input(body: RequestBody) -> Message:
    """The Examples of a body, with their context if there is one.

    Raises:
      StatusError: With the stock server's text.
    """
    given = input_pb2.Input()
    document = body.document
    has_context = "context" in document
    if has_context:
        context = given.example_list_with_context.context
        context.CopyFrom(_example(document["context"]))
    if "examples" not in document:
        raise body.fault("When method is classify, key 'examples' is expected and was not found")
    rows = document["examples"]
    if not isinstance(rows, list):
        raise body.fault("Expecting 'examples' value to be an list/array")
    if not rows:
        raise body.fault("'examples' value is an empty array")
    target = given.example_list_with_context if has_context else given.example_list
    target.examples.extend(_example(row) for row in rows)
    return given


def classify_reply(response: classification_pb2.ClassificationResponse) -> bytes:
    """The body of a reply: per Example a list of `[label, score]`."""
    rows = [
        f"[{', '.join(f'[{quoted(one.label)}, {_number(one.score)}]' for one in row.classes)}]"
        for row in response.result.classifications
    ]
    return _results(rows)


def regress_reply(response: regression_pb2.RegressionResponse) -> bytes:
    """The body of a reply: one number per Example."""
    return _results([_number(row.value) for row in response.result.regressions])


def _results(rows: list[str]) -> bytes:
    return f'{{\n{INDENT}"results": [{", ".join(rows)}\n{INDENT}]\n}}'.encode()


def _number(value: float) -> str:
    return float_texts(np.array([value], np.float32), _FLOAT)[0]


def _example(value: Any) -> Message:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        feature = feature_pb2.Feature()
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)
        example.features.feature[name].CopyFrom(feature)
    return example


def _add(feature: Message, name: str, item: Any) -> None:
    """Adds one value to a feature, whose first value decides its type.

    Raises:
      StatusError: Null, a list, an object, or a value of another type than the first.
    """
    kind, number = _kind_of(name, item)
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        raise invalid_argument(
            f"Unexpected element type in feature: {name} expecting type: {_KIND_NAMES[before]}"
        )
    getattr(feature, kind).value.append(number)


def _kind_of(name: str, item: Any) -> tuple[str, Any]:
    if isinstance(item, bool):
        return "int64_list", int(item)
    if isinstance(item, str):
        return "bytes_list", item.encode()
    if is_base64(item):
        return "bytes_list", decoded_base64(item)
    if isinstance(item, float):
        return "float_list", item
    if isinstance(item, int):
        if not _INT64[0] <= item <= _INT64[1]:
            raise invalid_argument(
                f"Feature: {name} has uint64_t element. Only int64_t is supported."
            )
        return "int64_list", item
    raise StatusError(
        "INVALID_ARGUMENT",
        f"Feature: {name} has element with unexpected JSON type: {json_type(item)}",
    )
