"""JSON of tensors as the clients write and read it: exact, with NaN and infinities.

Floats are written as the shortest decimal of their float64 value. The shortest decimal of a
float32 would be shorter, but a server that parses to double first could round it twice.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from serving_config.json_words import marked_text, text_with_words
from signatures.contract import UNKNOWN, SignatureContract, TensorContract


def predict_body(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A columnar `:predict` request.

    Raises:
      ValueError: An array's dtype has no JSON form.
    """
    members = b",".join(
        orjson.dumps(name) + b":" + array_text(array) for name, array in inputs.items()
    )
    return b'{"signature_name":%s,"inputs":{%s}}' % (orjson.dumps(signature), members)


def row_body(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A `:predict` request in row form: one object per sample.

    Raises:
      ValueError: The inputs have no common first axis, or a dtype has no JSON form.
    """
    lengths = {array.shape[0] if array.ndim else None for array in inputs.values()}
    if len(lengths) != 1 or None in lengths:
        raise ValueError("the row form needs inputs with one common first axis")
    (count,) = lengths
    rows = b",".join(
        b"{%s}"
        % b",".join(
            orjson.dumps(name) + b":" + array_text(array[index : index + 1])[1:-1]
            for name, array in inputs.items()
        )
        for index in range(count or 0)
    )
    return b'{"signature_name":%s,"instances":[%s]}' % (orjson.dumps(signature), rows)


def columns_of_rows(reply: Any) -> Any:
    """A reply in row form as the columnar reply with the same values.

    Raises:
      ValueError: It is no reply in row form.
    """
    rows = reply.get("predictions") if isinstance(reply, dict) else None
    if not isinstance(rows, list):
        raise ValueError(f"expected an object with a list 'predictions', got {reply!r:.200}")
    if not rows or not isinstance(rows[0], dict):
        return {"outputs": rows}
    try:
        return {"outputs": {name: [row[name] for row in rows] for name in rows[0]}}
    except (KeyError, TypeError) as error:
        raise ValueError(f"rows with different outputs: {error}") from error


def array_text(array: np.ndarray) -> bytes:
    """One array as JSON; NaN and infinities are the bare words that model servers read.

    >>> array_text(np.array([[0.1, -0.0]], np.float32)), array_text(np.array([np.nan, -np.inf]))
    (b'[[0.10000000149011612,-0.0]]', b'[NaN,-Infinity]')
    """
    if array.dtype.kind in "OSU":
        return orjson.dumps(_with_base64(array.tolist()))
    if array.dtype.kind not in "fiub":
        raise ValueError(f"an array of dtype {array.dtype} has no JSON form; use gRPC")
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            return text_with_words(array)
    if not array.ndim:
        return orjson.dumps(array.item())
    return orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)


def _with_base64(value: Any) -> Any:
    """Nested lists with every byte string as the object that servers decode."""
    if isinstance(value, list):
        return [_with_base64(item) for item in value]
    raw = value if isinstance(value, bytes) else str(value).encode()
    return {"b64": base64.b64encode(raw).decode()}


def parsed(body: bytes) -> Any:
    """A JSON text, bare `NaN` and `Infinity` included.

    Raises:
      ValueError: It is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body)
        except RecursionError as error:
            raise ValueError("JSON nested too deeply") from error


def read_outputs(
    body: bytes,
    contract: SignatureContract | None,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    rows: bool = False,
) -> dict[str, np.ndarray]:
    """The arrays of a reply, NaN and infinities included; see `outputs_of`.

    Args:
      body: The reply.
      contract: The signature's contract, if known.
      shapes: The shapes that the contract promises for this request.
      rows: Whether the reply is in row form.

    Raises:
      ValueError: It is no such reply, or its values do not fit the contract.
    """
    columns = columns_of_rows if rows else _as_it_is
    marked = marked_text(body)
    if marked is not None:
        # What is wrong is said below, of the reply as it came.
        with contextlib.suppress(ValueError):
            reply = orjson.loads(marked.text)
            outputs = outputs_of(columns(reply), contract, shapes, marked.restored)
            if marked.is_restored(reply):
                return outputs
    return outputs_of(columns(parsed(body)), contract, shapes)


def _as_it_is(value: Any) -> Any:
    return value


def outputs_of(
    reply: Any,
    contract: SignatureContract | None,
    shapes: Mapping[str, tuple[int, ...]],
    restored: Callable[[np.ndarray], np.ndarray] = _as_it_is,
) -> dict[str, np.ndarray]:
    """The arrays of a columnar reply.

    A reply with a single output does not carry its name, and `[]` does not carry the sizes behind
    the first zero: both come from the contract. Without one a nameless output is called
    `outputs`, and dtypes and shapes are those that the JSON suggests.

    Args:
      reply: The parsed body.
      contract: The signature's contract, if known.
      shapes: The shapes that the contract promises for this request.
      restored: Is asked for what each array of the body means.

    Raises:
      ValueError: The reply is no columnar reply, or its values do not fit the contract.
    """
    if not isinstance(reply, dict) or "outputs" not in reply:
        raise ValueError(f"expected an object with 'outputs', got {reply!r:.200}")
    outputs = reply["outputs"]
    if contract is None:
        named = outputs if isinstance(outputs, dict) else {"outputs": outputs}
        return {name: restored(np.asarray(value)) for name, value in named.items()}
    if len(contract.outputs) == 1 and not isinstance(outputs, dict):
        outputs = {contract.outputs[0].name: outputs}
    wanted = sorted(tensor.name for tensor in contract.outputs)
    if not isinstance(outputs, dict) or sorted(outputs) != wanted:
        got = sorted(outputs) if isinstance(outputs, dict) else type(outputs).__name__
        raise ValueError(f"expected outputs {wanted}, got {got}")
    return {
        tensor.name: _array(outputs[tensor.name], tensor, shapes[tensor.name], restored)
        for tensor in contract.outputs
    }


def _array(
    value: Any,
    tensor: TensorContract,
    shape: tuple[int, ...],
    restored: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """One output with the contract's dtype."""
    expected = np.dtype(tensor.dtype)
    try:
        plain = restored(np.asarray(value))
    except ValueError as error:
        raise ValueError(f"{tensor.name}: rows of unequal length") from error
    if not plain.size and (0 in shape or UNKNOWN in shape):
        return np.zeros([max(size, 0) for size in shape], expected)
    kinds = {"f": "fiu", "b": "b", "O": "U"}.get(expected.kind, "iu")
    if plain.dtype.kind not in kinds:
        raise ValueError(f"{tensor.name}: expected {tensor.dtype}, got {value!r:.80}")
    with np.errstate(over="ignore"):
        return plain.astype(expected)
