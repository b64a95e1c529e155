"""What a server says about the signatures of a model: names, dtypes and shapes, no bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving_config.tensor_types import type_of_number
from serving_config.wire import PREDICTION_SERVICE, ModelQuery, parsed, spec_of
from serving_config.wire_messages import new_message

METADATA_METHOD = f"/{PREDICTION_SERVICE}/GetModelMetadata"
SIGNATURE_DEF = "signature_def"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
      dtype: The dtype's name, such as `"float32"`; `"string"` for byte strings.
      shape: One size per axis, `None` where any will do; `None` for any rank.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class SignatureSpec:
    """One signature.

    Attributes:
      inputs: By name.
      outputs: By name.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def metadata_request(query: ModelQuery) -> bytes:
    """The bytes of a GetModelMetadataRequest for the signatures.

    Raises:
      ValueError: Both version and label were given.
    """
    spec = spec_of(query)
    request = new_message(
        "GetModelMetadataRequest", model_spec=spec, metadata_field=[SIGNATURE_DEF]
    )
    return bytes(request.SerializeToString())


def read_metadata_reply(message: bytes) -> dict[str, SignatureSpec]:
    """The signatures of a GetModelMetadataResponse by key.

    Signatures with an input or output that has no NumPy form are left out.

    Raises:
      ValueError: The bytes are no such message.
    """
    response = parsed(new_message("GetModelMetadataResponse"), message)
    signatures = parsed(new_message("SignatureDefMap"), response.metadata[SIGNATURE_DEF].value)
    found = {}
    for key in sorted(signatures.signature_def):
        definition = signatures.signature_def[key]
        try:
            found[key] = SignatureSpec(_specs(definition.inputs), _specs(definition.outputs))
        except ValueError:
            continue
    return found


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: _spec(tensors[name]) for name in sorted(tensors)}


def _spec(tensor: Any) -> TensorSpec:
    kind = type_of_number(tensor.dtype)
    dtype = "string" if kind.is_string else kind.numpy_name
    if tensor.tensor_shape.unknown_rank:
        return TensorSpec(dtype, None)
    sizes = (dim.size for dim in tensor.tensor_shape.dim)
    return TensorSpec(dtype, tuple(None if size < 0 else size for size in sizes))
