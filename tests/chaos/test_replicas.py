"""Two replicas, of which one after the other dies and comes back: no request is lost."""

from __future__ import annotations

import os
import random
import signal
import threading

from serving_config.grpc_client import GrpcClient

from .load import DEADLINE, Load, ProductCaller
from .questions import stamped_questions
from .tally import Allowed

CLIENTS = 6
KILLS, SHORT_KILLS = 20, 2


def test_a_client_of_two_replicas_loses_nothing(program, start, long_run, tell):
    """Killed at random moments, and started again on the same port."""
    replicas = [start(), start()]
    addresses = [replica.grpc_address for replica in replicas]
    ports = [
        [int(address.rpartition(":")[2]) for address in pair]
        for pair in zip(addresses, (replica.rest_address for replica in replicas), strict=True)
    ]
    clients = []

    def caller():
        clients.append(GrpcClient(addresses, contracts={}, timeout=DEADLINE))
        return ProductCaller(clients[-1])

    allowed = {"stable": Allowed(1), None: Allowed(1)}
    # Slow ones too, so that each kill finds some in flight.
    questions = [*stamped_questions(allowed), *stamped_questions(allowed, "slow")[:4]]
    draw = random.Random(0)
    kills = KILLS if long_run else SHORT_KILLS
    with Load([caller] * CLIENTS, questions) as load:
        for kill in range(kills):
            load.wait_for(50, 10)
            threading.Event().wait(draw.uniform(0, 0.5))
            victim = replicas[kill % 2]
            os.kill(victim.pid, signal.SIGKILL)
            # The other answers alone for a while.
            load.wait_for(100, 10)
            victim.stop()
            if long_run or kill + 1 < kills:
                grpc_port, rest_port = ports[kill % 2]
                replicas[kill % 2] = start(port=grpc_port, rest_api_port=rest_port)
    tally = load.tally
    counts = [client.retries for client in clients]
    retried, attempts = (sum(getattr(c, n) for c in counts) for n in ("retried", "attempts"))
    given_up = sum(count.given_up for count in counts)
    tell(
        f"{program.kind}, {kills} kills of two replicas: {tally}; {attempts} attempts, "
        f"{retried} retried, {given_up} given up"
    )
    assert not tally.failed
    assert not tally.wrong
    assert sum(count.calls for count in counts) == tally.sent
    assert retried > 0
    assert given_up == 0
