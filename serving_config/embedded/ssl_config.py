"""TLS of the gRPC port: the stock server's SSLConfig text file.

The installed message classes leave this one out; it is declared here.
"""

from __future__ import annotations

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from serving_config.embedded.failures import invalid_argument
from serving_config.embedded.text_files import read_message

_PACKAGE = "peakserve.ssl"


def server_credentials(file: str) -> grpc.ServerCredentials:
    """What an SSLConfig text file makes the gRPC port show and ask for.

    Raises:
      StatusError: It cannot be read, or lacks what TLS needs.
    """
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_declaration())
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.SSLConfig")
    config = read_message(file, message_factory.GetMessageClass(descriptor)())
    if not config.server_key or not config.server_cert:
        raise invalid_argument(f"{file}: expected server_key and server_cert, got one at most")
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{file}: client_verify needs custom_ca, the clients' authority")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _declaration() -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="peakserve/ssl.proto", package=_PACKAGE, syntax="proto3"
    )
    message = file.message_type.add(name="SSLConfig")
    text, yes = field.TYPE_STRING, field.TYPE_BOOL
    for number, (name, kind) in enumerate(
        {"server_key": text, "server_cert": text, "custom_ca": text, "client_verify": yes}.items(),
        start=1,
    ):
        message.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    return file
