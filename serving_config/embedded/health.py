"""`grpc.health.v1.Health` with the stock server's service names."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

_SERVICES = ("", "ModelService", "PredictionService")


class Health(health.HealthServicer):
    """Says that every service is up, until it is told that the host drains."""

    def __init__(self, server: grpc.Server) -> None:
        super().__init__()
        for service in _SERVICES:
            self.set(service, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """See `health.HealthServicer`; adds the stock server's text."""
        reply = super().Check(request, context)
        if context.code() is grpc.StatusCode.NOT_FOUND:
            context.set_details("service name unknown")
        return reply

    def drain(self) -> None:
        """From now on says that nothing is up, so that balancers send nobody any more."""
        self.enter_graceful_shutdown()
