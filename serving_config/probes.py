"""How a container finds out whether the server in it is ready.

The stock image has neither an HTTP client nor Python: bash speaks HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from serving_config.models_config import ServedModel


def probe_command(models: Sequence[ServedModel], port: int, rest_port: int) -> list[str]:
    """A command that succeeds when every model has an available version.

    Args:
      models: What is hosted.
      port: The gRPC port.
      rest_port: The REST port. If it is 0, the gRPC port must be open, which a server opens once
        all models that it starts with are available.
    """
    if not rest_port:
        return ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"]
    # The whole state: the error code of a version that failed may be UNAVAILABLE.
    checks = [
        f"exec 3<>/dev/tcp/127.0.0.1/{rest_port} && "
        f"printf 'GET %s HTTP/1.0\\r\\n\\r\\n' '/v1/models/{quote(model.name, safe='')}' >&3 && "
        'grep --quiet \'"state": "AVAILABLE"\' <&3'
        for model in models
    ]
    return ["bash", "-c", " && ".join(checks)]
