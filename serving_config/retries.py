"""What a client's channel had to do again, as far as gRPC tells.

gRPC retries inside the channel. Python is not told about single attempts: the metadata that says
so (`grpc-previous-rpc-attempts`) goes to the server only, and the counters of gRPC's OpenTelemetry
plug-in can be turned on for a whole process but not for a channel. What remains is channelz, which
counts calls where they enter a channel and again on each of its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

# Codes of failed attempts that the channel repeats; any other is the answer.
RETRIED_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass(frozen=True)
class Retries:
    """Totals of one client since it was made.

    gRPC gives no account of a single call. An attempt that found no connection at all is not
    counted, so `attempts` and `retried` are lower bounds: exact where every attempt reached a
    server.

    Attributes:
      calls: Calls that were begun.
      attempts: Attempts that were sent to a server.
      retried: Attempts beyond the first of their call.
      given_up: Calls that failed with UNAVAILABLE or RESOURCE_EXHAUSTED in spite of retries.
    """

    calls: int = 0
    attempts: int = 0
    retried: int = 0
    given_up: int = 0


class RetryCount:
    """Opens a channel and counts what happens on it. Usable from several threads.

    Args:
      open_channel: Makes the channel; its options turn channelz on.
      target: The channel's target.
    """

    # Between two listings nobody else of ours may open a channel: it would be taken for this one.
    _opening = threading.Lock()
    _newest_listed = 0

    def __init__(self, open_channel: Callable[[], grpc.Channel], target: str) -> None:
        with RetryCount._opening:
            self._list_new(target)
            self.channel = open_channel()
            found = self._list_new(target)
        # Another library may have opened one to the same target at this very moment.
        self._channel_id = found[0] if len(found) == 1 else None
        self._lock = threading.Lock()
        self._calls = self._given_up = self._retried = 0
        # By connection, which may be gone when the next reading comes.
        self._attempts: dict[int, int] = {}

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._calls += 1

    def give_up(self) -> None:
        """A call failed with a code that is retried."""
        with self._lock:
            self._given_up += 1

    def read(self) -> Retries:
        """The totals of now."""
        with self._lock:
            # A call that has begun and is not sent yet makes the difference too small for now.
            self._read_attempts()
            attempts = sum(self._attempts.values())
            self._retried = max(self._retried, attempts - self._calls)
            return Retries(self._calls, attempts, self._retried, self._given_up)

    def _read_attempts(self) -> None:
        if self._channel_id is None:
            return
        channelz_pb2, servicer = _channelz()
        request = channelz_pb2.GetChannelRequest(channel_id=self._channel_id)
        reply = servicer.GetChannel(request, _NobodyAsked())
        for reference in reply.channel.subchannel_ref if reply is not None else ():
            number = reference.subchannel_id
            query = channelz_pb2.GetSubchannelRequest(subchannel_id=number)
            answer = servicer.GetSubchannel(query, _NobodyAsked())
            if answer is not None:
                self._attempts[number] = answer.subchannel.data.calls_started

    @classmethod
    def _list_new(cls, target: str) -> list[int]:
        """The channels to a target that were not listed before; all are listed afterwards."""
        found: list[int] = []
        channelz_pb2, servicer = _channelz()
        while True:
            request = channelz_pb2.GetTopChannelsRequest(start_channel_id=cls._newest_listed + 1)
            reply = servicer.GetTopChannels(request, _NobodyAsked())
            if reply is None:
                return found
            for channel in reply.channel:
                cls._newest_listed = max(cls._newest_listed, channel.ref.channel_id)
                if channel.data.target.endswith(target):
                    found.append(channel.ref.channel_id)
            if reply.end or not reply.channel:
                return found


def _channelz() -> tuple[Any, Any]:
    """The messages and the service; imported when a channel is made, so that importing is fast."""
    from grpc_channelz.v1 import channelz_pb2
    from grpc_channelz.v1.channelz import ChannelzServicer

    return channelz_pb2, ChannelzServicer


class _NobodyAsked:
    """Where the channelz service writes its failures when it is asked in the same process."""

    def set_code(self, code: Any) -> None:
        """See `grpc.ServicerContext`."""

    def set_details(self, details: str) -> None:
        """See `grpc.ServicerContext`."""
