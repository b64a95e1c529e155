"""One tenant misbehaves beside seven good ones, who notice no more than that it is there."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from .load import GrpcCaller, Load, RestCaller
from .models import KEYPOINTS, PEAK_OPS
from .questions import keypoints_questions
from .tally import Allowed, total

HERE = Path(__file__).parent
GOOD = {"gRPC": 5, "REST": 2}
ROUNDS, SECONDS = 7, 6.0
SHORT_ROUNDS, SHORT_SECONDS = 2, 1.5
# What the good tenants may notice.
MOST = 2.0


class Tenant:
    """The process that misbehaves when it is told to."""

    def __init__(self, *addresses):
        self._process = subprocess.Popen(
            [sys.executable, HERE / "bad_tenant.py", *addresses],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        )
        self._read("ready")

    def _read(self, line):
        assert self._process.stdout.readline().strip() == line

    @contextmanager
    def misbehaving(self):
        self._tell("begin")
        yield
        self._tell("end")
        self._read("quiet")

    def _tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def counts(self):
        out, _ = self._process.communicate(timeout=30)
        return json.loads(out)

    def stop(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def server(target):
    return target([KEYPOINTS, PEAK_OPS], "--grpc_max_threads=64")


@pytest.fixture
def tenant(server):
    tenant = Tenant(server.grpc_address, server.rest_address)
    yield tenant
    tenant.stop()


def phase(server, questions, seconds):
    """Seven good clients for a while; what each transport counted."""
    makers = {
        "gRPC": lambda: GrpcCaller(server.grpc_address),
        "REST": lambda: RestCaller(server.rest_address),
    }
    loads = {
        name: Load([makers[name]] * count, questions, pace=PACE) for name, count in GOOD.items()
    }
    for load in loads.values():
        load.__enter__()
    threading.Event().wait(seconds)
    for load in loads.values():
        load.__exit__()
    return {name: load.tally for name, load in loads.items()}


PACE = float(os.environ.get("PACE", "0"))


def test_seven_good_clients_beside_one_bad(server, tenant, long_run, tell):
    allowed = {"stable": Allowed(1), None: Allowed(1)}
    questions = keypoints_questions(allowed)
    rounds, seconds = (ROUNDS, SECONDS) if long_run else (SHORT_ROUNDS, SHORT_SECONDS)
    # Both know each request by now.
    phase(server, questions, 1.0)
    quiet, noisy = [], []
    for _ in range(rounds):
        quiet.append(phase(server, questions, seconds))
        with tenant.misbehaving():
            threading.Event().wait(0.3)
            noisy.append(phase(server, questions, seconds))
    counts = tenant.counts()
    ratios = {}
    for name in (*GOOD, "all"):
        merged = {
            when: [total(list(part.values())) if name == "all" else part[name] for part in parts]
            for when, parts in (("quiet", quiet), ("noisy", noisy))
        }
        for when, parts in merged.items():
            tell(f"{server.kind}, seven good clients, {name}, {when}: {total(parts)}")
        p99 = {
            when: statistics.median(part.percentile(99) for part in parts)
            for when, parts in merged.items()
        }
        ratios[name] = p99["noisy"] / p99["quiet"]
        tell(
            f"{server.kind}, {name}: p99 {p99['quiet']:.1f} ms quiet, {p99['noisy']:.1f} ms beside "
            f"the bad tenant ({ratios[name]:.2f} times; medians of {rounds} phases)"
        )
    tell(f"{server.kind}, the bad tenant: {sum(counts.values())} acts: {counts}")
    for part in (*quiet, *noisy):
        for tally in part.values():
            assert not tally.failed
            assert not tally.wrong
            assert tally.answered
    # Nothing that is wrong may be answered with success but the empty batch.
    assert not [name for name in counts if name.endswith(": 200")]
    assert all(name.startswith(("empty", "slow")) for name in counts if name.endswith(": OK"))
    if long_run:
        assert ratios["all"] <= MOST
