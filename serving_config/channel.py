"""The gRPC channel of a client: its balancing, retries, reconnecting and limits."""

from __future__ import annotations

import json
from typing import Any

import grpc

from serving_config.addresses import Target
from serving_config.retries import RETRIED_CODES
from serving_config.tls import ClientTls, TlsError

# gRPC makes no more than five attempts, whatever is asked for.
ATTEMPTS = 5
# A request larger than this is not kept for another attempt.
RETRIED_BYTES = 1 << 28
# The pauses of the policy below, each shortened by gRPC's jitter.
LEAST_SECONDS = 0.8 * (0.05 + 0.1 + 0.2 + 0.4)

# Refusals of a stock server beyond its threads are cheap and over within milliseconds. With gRPC's
# own jitter of 20% the pauses add up to 0.6 to 0.9 s, after which a server that is not there is
# said to be so. No `retryThrottling`: its budget is shared by all channels to a server, and the
# requests in flight when one of two servers dies would use it up at once, just when retries are
# what saves them; five attempts and growing pauses bound the load without it. No `waitForReady`:
# it would turn "connection refused" into a wait for the deadline.
_RETRY_POLICY = {
    "maxAttempts": ATTEMPTS,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": [code.name for code in RETRIED_CODES],
}

# A server that comes back is tried again well before the retries of a call end (0.6 s at least),
# so that a call which only it can answer need not fail. The smallest back-off is at once how long
# connecting may take: a TLS handshake with a busy server needs more than milliseconds.
_RECONNECTING = {
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 5000,
    # A name whose servers fail is looked up again after this, by default after 30 s.
    "grpc.dns_min_time_between_resolutions_ms": 5000,
}

# A machine that vanishes closes no connection. What it does not acknowledge within the timeout
# (which gRPC hands to TCP as well) ends the connection, and the calls on it are retried. Pings more
# often than every five minutes are answered with GOAWAY by servers as they are by default; so a
# request that was received before the machine vanished waits for its deadline.
_KEEPALIVE = {"grpc.keepalive_time_ms": 330_000, "grpc.keepalive_timeout_ms": 10_000}


def given_up_note(request_bytes: int, seconds: float) -> str:
    """How a call that failed with a retried code was retried, as far as that can be known.

    gRPC does not tell; but all attempts together last at least as long as the pauses between them.

    >>> given_up_note(100, 0.9)
    'given up after up to 5 attempts'
    >>> given_up_note(100, 0.2)
    'not all of 5 attempts made, as when a reply has begun to arrive'
    >>> given_up_note(1 << 29, 0.9)
    'not sent again: larger than 256 MiB'
    """
    if request_bytes > RETRIED_BYTES:
        return f"not sent again: larger than {RETRIED_BYTES >> 20} MiB"
    if seconds < LEAST_SECONDS:
        return f"not all of {ATTEMPTS} attempts made, as when a reply has begun to arrive"
    return f"given up after up to {ATTEMPTS} attempts"


def channel_options(target: Target) -> list[tuple[str, Any]]:
    """Channel arguments: balancing, bounded retries, unlimited messages, no HTTP proxy.

    Retried is what says that the request was not carried out or its connection was lost:
    UNAVAILABLE and RESOURCE_EXHAUSTED, at most five attempts and never past the call's deadline.
    Once the beginning of a reply has arrived, gRPC does not start again.
    """
    config: dict[str, Any] = {"methodConfig": [{"name": [{}], "retryPolicy": _RETRY_POLICY}]}
    if target.is_spread:
        # A single HOST:PORT keeps gRPC's default, the first of the host's addresses that answers.
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    options = [
        ("grpc.service_config", json.dumps(config)),
        # A name server's opinion must not replace it.
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_retries", 1),
        ("grpc.per_rpc_retry_buffer_size", RETRIED_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", 0),
        # A channel of its own: another one's long back-off after a failure must not be inherited.
        ("grpc.use_local_subchannel_pool", 1),
        *_RECONNECTING.items(),
        *_KEEPALIVE.items(),
        # What `retries` reads: counters, without the history that belongs to them.
        ("grpc.enable_channelz", 1),
        ("grpc.max_channel_trace_event_memory_per_node", 0),
    ]
    return options


def open_channel(target: Target, tls: ClientTls | None = None) -> grpc.Channel:
    """A channel to the servers of a target, in the clear unless `tls` says otherwise.

    Raises:
      TlsError: A file of `tls` cannot be used, or the servers have no common name.
    """
    options = channel_options(target)
    if tls is None:
        if target.authority is not None:
            options.append(("grpc.default_authority", target.authority))
        return grpc.insecure_channel(target.text, options=options)
    # Python's TLS says what is wrong with a file; gRPC says that connecting fails.
    tls.context()
    name = tls.server_name
    if name is None and target.is_spread and target.hosts:
        if len(target.hosts) > 1:
            raise TlsError(
                f"expected one server_name for the certificates of {', '.join(target.hosts)}, got "
                "none: a client of several addresses checks them all against the same name"
            )
        name = target.hosts[0]
    if name is not None:
        options.append(("grpc.ssl_target_name_override", name))
        # gRPC refuses calls to a server by another name than that of its certificate.
        options.append(("grpc.default_authority", name))
    return grpc.secure_channel(
        target.text, grpc.ssl_channel_credentials(*tls.pem()), options=options
    )
