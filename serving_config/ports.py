"""Ports of the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack

from serving_config.errors import ServerStartError

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different TCP ports of the loopback interface that nobody uses at this moment."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections that are merely winding down do not keep a server from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free_ports(ports: Mapping[str, int]) -> None:
    """Refuses ports that a server could not listen on, before it is started.

    Args:
      ports: By the option that names it; 0 is none.

    Raises:
      ServerStartError: One is taken, two are the same, or this user may not use one.
    """
    given = [port for port in ports.values() if port]
    for option, port in ports.items():
        if port and (given.count(port) > 1 or not port_is_free(port)):
            raise ServerStartError(
                f"expected a free port, got {port}, which is taken or not for this user; "
                f"name another with {option}"
            )


def require_interface(option: str, host: str) -> None:
    """Refuses an interface that a server could not listen on, before it is started.

    Args:
      option: The option that names it.
      host: A name or an address.

    Raises:
      ServerStartError: It is not known, or is none of this machine's.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError as error:
        raise ServerStartError(
            f"{option}: expected a name or an address of this machine, got {host}: "
            f"{error.strerror}; pass {option} {LOOPBACK}, or {option} 0.0.0.0 for all interfaces"
        ) from error
