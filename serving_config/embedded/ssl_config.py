"""TLS of the gRPC port: the stock server's SSLConfig text file."""

from __future__ import annotations

import grpc

from serving_config.embedded.failures import invalid_argument
from serving_config.embedded.text_files import read_message
from serving_config.wire_messages import new_message


def server_credentials(file: str) -> grpc.ServerCredentials:
    """What an SSLConfig text file makes the gRPC port show and ask for.

    Raises:
      StatusError: It cannot be read, or lacks what TLS needs.
    """
    config = read_message(file, new_message("SSLConfig"))
    if not config.server_key or not config.server_cert:
        raise invalid_argument(f"{file}: expected server_key and server_cert, got one at most")
    if config.client_verify and not config.custom_ca:
        raise invalid_argument(f"{file}: client_verify needs custom_ca, the clients' authority")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
