"""Strict readers of protobuf text whose messages the installed packages do not carry.

The fields are those of the public definitions (`session_bundle_config.proto`,
`monitoring_config.proto`, `ssl_config.proto`); a misspelt field is an error.
"""

from __future__ import annotations

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

_F = descriptor_pb2.FieldDescriptorProto
_INT64 = ".google.protobuf.Int64Value"
_STRING = ".google.protobuf.StringValue"

# Message to fields: name, number, type, or the name of a message type.
MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, _INT64),
        ("batch_timeout_micros", 2, _INT64),
        ("max_enqueued_batches", 3, _INT64),
        ("num_batch_threads", 4, _INT64),
        ("thread_pool_name", 5, _STRING),
        ("allowed_batch_sizes", 6, "repeated int64"),
        ("pad_variable_length_inputs", 7, _F.TYPE_BOOL),
    ],
    "PrometheusConfig": [("enable", 1, _F.TYPE_BOOL), ("path", 2, _F.TYPE_STRING)],
    "MonitoringConfig": [("prometheus_config", 1, ".strict.PrometheusConfig")],
    "SSLConfig": [
        ("server_key", 1, _F.TYPE_STRING),
        ("server_cert", 2, _F.TYPE_STRING),
        ("custom_ca", 3, _F.TYPE_STRING),
        ("client_verify", 4, _F.TYPE_BOOL),
    ],
}


def _pool():
    file = descriptor_pb2.FileDescriptorProto(
        name="strict.proto", package="strict", syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number, label=_F.LABEL_OPTIONAL)
            if kind == "repeated int64":
                field.label, field.type = _F.LABEL_REPEATED, _F.TYPE_INT64
            elif isinstance(kind, str):
                field.type, field.type_name = _F.TYPE_MESSAGE, kind
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return pool


_POOL = _pool()


def parse(name: str, text: str):
    """The message of a text; `text_format.ParseError` for what it does not know."""
    kind = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"strict.{name}"))
    return text_format.Parse(text, kind())
