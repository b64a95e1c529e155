"""More clients than the server has threads: tried again within the deadline, or said."""

from __future__ import annotations

import pytest

from serving_config.grpc_client import GrpcClient

from .conftest import RUNNING
from .load import Load, ProductCaller
from .models import STAMPED
from .questions import stamped_questions
from .tally import Allowed

THREADS, CLIENTS = 4, 16
# What a server of one's own is asked with: more than the 64 threads of a written configuration.
MANY_CLIENTS = 96


@pytest.mark.parametrize("deadline", [20.0, 0.25], ids=["in time", "hasty"])
def test_more_clients_than_threads(target, deadline, long_run, tell):
    server = target([STAMPED], f"--grpc_max_threads={THREADS}")
    clients = []

    def caller():
        clients.append(GrpcClient(server.grpc_address, contracts={}, timeout=deadline))
        return ProductCaller(clients[-1])

    questions = stamped_questions({"stable": Allowed(1), None: Allowed(1)}, "slow")
    count = MANY_CLIENTS if server.kind == RUNNING else CLIENTS
    with Load([caller] * count, questions) as load:
        load.wait_for(20_000 if long_run else 300, 60.0 if long_run else 3.0)
    tally = load.tally
    counts = [client.retries for client in clients]
    retried = sum(counter.retried for counter in counts)
    given_up = sum(counter.given_up for counter in counts)
    tell(
        f"{server.kind}, {count} clients of {THREADS if server.kind != RUNNING else '?'} threads, "
        f"deadline {deadline:g} s: {tally}; {retried} attempts retried, {given_up} calls given up; "
        f"the longest call took {tally.longest:.2f} s"
    )
    assert not tally.wrong
    assert tally.answered
    assert set(tally.codes()) <= {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
    assert given_up == tally.codes()["RESOURCE_EXHAUSTED"]
    if server.kind != RUNNING:
        assert retried > 0
