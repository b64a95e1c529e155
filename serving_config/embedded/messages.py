"""The wire messages that only a server reads or writes; the others are in `serving_config.wire`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    regression_pb2,
)

from serving_config import wire
from serving_config.embedded.model_config import ModelEntry, entries_of
from serving_config.embedded.servable import Servable

METADATA_METHOD = f"/{wire.PREDICTION_SERVICE}/GetModelMetadata"
CLASSIFY_METHOD = f"/{wire.PREDICTION_SERVICE}/Classify"
REGRESS_METHOD = f"/{wire.PREDICTION_SERVICE}/Regress"
MULTI_INFERENCE_METHOD = f"/{wire.PREDICTION_SERVICE}/MultiInference"
RELOAD_METHOD = f"/{wire.MODEL_SERVICE}/HandleReloadConfigRequest"

_SIGNATURE_DEF = "signature_def"

# Generated message classes have no static types.
Message = Any


@dataclass(frozen=True)
class MetadataCall:
    """A GetModelMetadata request; `query` is `None` without a model spec."""

    query: wire.ModelQuery | None
    fields: tuple[str, ...]


def read_metadata_request(message: bytes) -> MetadataCall:
    """The server's view of a GetModelMetadataRequest.

    Raises:
      ValueError: The bytes are no such message.
    """
    request = _parsed(get_model_metadata_pb2.GetModelMetadataRequest(), message)
    return MetadataCall(query_of(request), tuple(request.metadata_field))


def metadata_reply(servable: Servable) -> bytes:
    """The bytes of a GetModelMetadataResponse: the signatures of a version."""
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=_spec(servable))
    response.metadata[_SIGNATURE_DEF].Pack(_signature_map(servable.definitions))
    return response.SerializeToString()


def metadata_body(servable: Servable) -> bytes:
    """The REST form of the same, as the stock server glues it together."""
    spec = _json(_spec(servable))
    signatures = _json(_signature_map(servable.definitions))
    text = f'{{\n"model_spec":{spec},\n"metadata": {{"signature_def": {signatures}}}\n}}\n'
    return text.encode()


def read_classify_request(message: bytes) -> Message:
    """A ClassificationRequest.

    Raises:
      ValueError: The bytes are no such message.
    """
    return _parsed(classification_pb2.ClassificationRequest(), message)


def read_regress_request(message: bytes) -> Message:
    """A RegressionRequest.

    Raises:
      ValueError: The bytes are no such message.
    """
    return _parsed(regression_pb2.RegressionRequest(), message)


def read_multi_inference_request(message: bytes) -> Message:
    """A MultiInferenceRequest.

    Raises:
      ValueError: The bytes are no such message.
    """
    return _parsed(inference_pb2.MultiInferenceRequest(), message)


def read_reload_request(message: bytes) -> list[ModelEntry] | None:
    """The models that a ReloadConfigRequest wants; `None` if it names no list of them.

    Raises:
      ValueError: The bytes are no such message.
      StatusError: One of the models is malformed.
    """
    request = _parsed(model_management_pb2.ReloadConfigRequest(), message)
    if request.config.WhichOneof("config") != "model_config_list":
        return None
    return entries_of(request.config)


def reload_reply() -> bytes:
    """The bytes of a ReloadConfigResponse that says OK."""
    response = model_management_pb2.ReloadConfigResponse()
    response.status.SetInParent()
    return response.SerializeToString()


def query_of(request: Message) -> wire.ModelQuery | None:
    """What a request's model spec means; `None` if it has none."""
    return wire.query_of(request.model_spec) if request.HasField("model_spec") else None


def _spec(servable: Servable) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=servable.name)
    spec.version.value = servable.version
    return spec


def _signature_map(definitions: Mapping[str, Any]) -> Message:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, definition in definitions.items():
        signatures.signature_def[key].CopyFrom(definition)
    return signatures


def _json(message: Message) -> str:
    """A message as the C++ library prints it: one space a level, a line break at the end."""
    plain = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    text = json.dumps(_in_order(plain, message.DESCRIPTOR), indent=1, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e") + "\n"


def _in_order(plain: Any, descriptor: Any) -> Any:
    """The JSON form of a message with its members in the order of the fields' numbers.

    Args:
      plain: What `json_format` made; messages such as wrappers are no dictionaries there.
      descriptor: The message's descriptor, `None` for a value that is no message.
    """
    if isinstance(plain, list):
        return [_in_order(item, descriptor) for item in plain]
    if descriptor is None or not isinstance(plain, dict):
        return plain
    ordered = {}
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        if field.name not in plain:
            continue
        value, inner = plain[field.name], field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            inner = inner.fields_by_name["value"].message_type
            ordered[field.name] = {key: _in_order(item, inner) for key, item in value.items()}
        else:
            ordered[field.name] = _in_order(value, inner)
    return ordered


def _parsed(message: Message, data: bytes) -> Message:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"not a {type(message).__name__}: {error}") from error
    return message
