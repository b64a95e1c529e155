"""WHERE a model is hosted: finding and starting a server, and the clients that talk to it.

Names are resolved on first use, so that importing the package stays cheap: the clients pull in
gRPC and httpx only when they are asked for, and nothing but the embedded host needs TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving_config.addresses import AddressError
    from serving_config.errors import InvalidReplyError, ServerStartError, ServingError
    from serving_config.grpc_client import GrpcClient
    from serving_config.process import ModelServer
    from serving_config.programs import ServerProgram, find_server, launch_command
    from serving_config.rest_client import RestClient
    from serving_config.retries import Retries
    from serving_config.status import VersionStatus
    from serving_config.tls import ClientTls, TlsError

_HOME_OF = {
    "AddressError": "addresses",
    "ClientTls": "tls",
    "GrpcClient": "grpc_client",
    "InvalidReplyError": "errors",
    "ModelServer": "process",
    "RestClient": "rest_client",
    "Retries": "retries",
    "ServerProgram": "programs",
    "ServerStartError": "errors",
    "ServingError": "errors",
    "TlsError": "tls",
    "VersionStatus": "status",
    "find_server": "programs",
    "launch_command": "programs",
}

__all__ = [
    "AddressError",
    "ClientTls",
    "GrpcClient",
    "InvalidReplyError",
    "ModelServer",
    "RestClient",
    "Retries",
    "ServerProgram",
    "ServerStartError",
    "ServingError",
    "TlsError",
    "VersionStatus",
    "find_server",
    "launch_command",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    except ModuleNotFoundError as error:
        from signatures.contract import missing_package

        raise missing_package(f"serving_config.{name}", error) or error from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
