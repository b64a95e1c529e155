"""Where a client's servers are: one address, or several that requests are spread over."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\[\]]+\]|[^\s:/,\[\]]+):(?P<port>[0-9]{1,5})")
# A name whose addresses gRPC looks up itself, and again when they fail.
_DNS = "dns:"
# Targets that gRPC understands as they are.
_SCHEMES = (_DNS, "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:")
_LARGEST_PORT = 65535


class AddressError(ValueError):
    """An address that no server can be reached by."""


@dataclass(frozen=True)
class Target:
    """Where a channel leads.

    Attributes:
      text: The target in gRPC's syntax.
      is_spread: Whether there may be several servers, which requests are spread over.
      hosts: The distinct hosts without ports, as they were given; none for gRPC's own targets.
      authority: What the servers are told they are called, `None` to leave it to gRPC.
    """

    text: str
    is_spread: bool
    hosts: tuple[str, ...] = ()
    authority: str | None = None


def target_of(addresses: str | Sequence[str]) -> Target:
    """The target of one address or several.

    No scheme of gRPC takes several names, so those of a list are looked up here, once, and gRPC
    gets all addresses they have. Servers that come and go under one name are `dns:///NAME:PORT`,
    by itself: gRPC looks that up again when a server fails.

    >>> target_of(["10.0.0.1:8500", "10.0.0.2:8500"]).text
    'ipv4:10.0.0.1:8500,10.0.0.2:8500'
    >>> target_of(["10.0.0.1:8500", "[fd00::2]:8500"]).text
    'ipv6:[::ffff:10.0.0.1]:8500,[fd00::2]:8500'
    >>> target_of("rig:8500").text, target_of("dns:///pods:8500").is_spread
    ('rig:8500', True)

    Args:
      addresses: `HOST:PORT`, a sequence of them, or one target in gRPC's syntax such as
        `dns:///NAME:PORT`.

    Raises:
      AddressError: One is no address, or a name of several is not known.
    """
    given = [addresses] if isinstance(addresses, str) else list(dict.fromkeys(addresses))
    if not given:
        raise AddressError("expected HOST:PORT or a sequence of them, got an empty sequence")
    if len(given) == 1:
        return _single(given[0])
    pairs = [_host_and_port(address) for address in given]
    found = [found for host, port in pairs for found in _looked_up(host, port)]
    return Target(
        _joined(list(dict.fromkeys(found))),
        is_spread=True,
        hosts=tuple(dict.fromkeys(host for host, _ in pairs)),
        # gRPC's own would be the whole list, which is no host's name.
        authority=given[0],
    )


def single_address(address: str) -> str:
    """An address as it is, if it is `HOST:PORT`.

    Raises:
      AddressError: It is not.
    """
    _host_and_port(address)
    return address


def _single(address: str) -> Target:
    if address.startswith(_SCHEMES):
        return Target(address, is_spread=address.startswith(_DNS) or "," in address)
    host, _ = _host_and_port(address)
    return Target(address, is_spread=False, hosts=(host,))


def _host_and_port(address: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(address)
    if match and 0 < int(match["port"]) <= _LARGEST_PORT:
        return match["host"].strip("[]"), int(match["port"])
    if address.startswith(_SCHEMES):
        raise AddressError(
            f"expected HOST:PORT among several addresses, got {address!r} beside others"
        )
    advice = ""
    if "," in address:
        advice = f"; several are a sequence: {[part.strip() for part in address.split(',')]}"
    raise AddressError(f"expected HOST:PORT, got {address!r}{advice}")


def _looked_up(host: str, port: int) -> list[tuple[str, int]]:
    """The IP addresses of a host, itself if it is one.

    Raises:
      AddressError: The name is not known.
    """
    try:
        return [(str(ipaddress.ip_address(host)), port)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AddressError(
            f"{host}:{port}: the name is not known ({error}); name it by its IP address, or pass "
            "one dns:///NAME:PORT for servers that come and go"
        ) from error
    return [(str(address[0]), port) for *_, address in found]


def _joined(addresses: Sequence[tuple[str, int]]) -> str:
    """A target; where both families are there, IPv4 addresses are written as IPv6 ones."""
    parsed = [(ipaddress.ip_address(host), port) for host, port in addresses]
    if all(ip.version == 4 for ip, _ in parsed):
        return "ipv4:" + ",".join(f"{ip}:{port}" for ip, port in parsed)
    # A zone such as fe80::1%eth0 is escaped as in any URI.
    texts = [f"::ffff:{ip}" if ip.version == 4 else str(ip).replace("%", "%25") for ip, _ in parsed]
    return "ipv6:" + ",".join(
        f"[{text}]:{port}" for text, (_, port) in zip(texts, addresses, strict=True)
    )
