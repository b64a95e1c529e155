"""Versions come and go every second, and no client sees more of it than another version."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from export.rollout import Rollout
from export.version_labels import labels_in
from serving_config.grpc_client import GrpcClient

from .load import Load, mixed
from .models import KEYPOINTS, PEAK_OPS, STAMPED, write_store
from .questions import keypoints_questions, peak_ops_questions, stamped_questions
from .tally import Allowed

REQUESTS, SECONDS = 20_000, 60.0
SHORT_REQUESTS, SHORT_SECONDS = 1_000, 3.0
# The stock server looks for versions once a second, and a rollout takes two of its looks: several
# models, so that every second brings all. More of them wait for one another: it begins one load or
# unload in a tenth of a second.
OTHERS = tuple(f"stamped-{number}" for number in range(2, 9))
CLIENTS = 6
# Seconds from one request of a client to its next: the interpreter that asks also moves labels.
PACE = 0.012


class Swaps:
    """One model's life: published, promoted, rolled back, promoted again, and pruned."""

    def __init__(self, templates, root, model, address):
        self._templates = templates
        self._root = root
        self._model = model
        self._labels = labels_in(root, model)
        self._rollout = Rollout(root, model, [address], None, 30.0, lambda line: None)
        self.allowed = {"stable": Allowed(1), None: Allowed(1)}
        self.acts = []

    def _note(self, what):
        self.acts.append((what, time.monotonic()))

    def repeat(self, go_on):
        """One life after the other; at least two, so that something is pruned."""
        turns = 0
        while turns < 2 or go_on():
            self.once()
            turns += 1

    def promote_once(self):
        """The short life of a model that takes seconds to load."""
        before = self._labels.read().labels["stable"]
        new = self._templates.publish(self._root, self._model)
        self._move(lambda: self._rollout.promote("stable", new), before, new)

    def _move(self, act, *versions):
        """Before, any of the versions may answer; then the last of them."""
        for allowed in self.allowed.values():
            allowed.become(*versions)
        act()
        self.allowed["stable"].become(versions[-1])

    def once(self):
        """A version comes, is gone back from, comes again, and an old one goes."""
        before = self._labels.read().labels["stable"]
        new = self._templates.publish(self._root, self._model)
        self._note("published")

        def promote():
            self._rollout.promote("stable", new)

        def roll_back():
            self._rollout.roll_back("stable")

        for act, what, versions in (
            (promote, "promoted", (before, new)),
            (roll_back, "rolled back", (new, before)),
            (promote, "promoted", (before, new)),
        ):
            self._move(act, *versions)
            self._note(what)
        if self._labels.prune(keep=2):
            self._note("pruned")


def test_no_request_fails_while_versions_are_swapped(
    program, templates, root, start, long_run, tell
):
    stamped = (STAMPED, *OTHERS) if long_run else (STAMPED,)
    models = (*stamped, KEYPOINTS)
    write_store(templates, root, (*stamped[1:], KEYPOINTS, PEAK_OPS))
    # Else a model that takes long to load holds up the others' versions.
    server = start("--num_load_threads=4", "--num_unload_threads=4")
    swaps = {model: Swaps(templates, root, model, server.grpc_address) for model in models}
    questions = [
        *chain.from_iterable(
            stamped_questions(swaps[model].allowed, model=model) for model in stamped
        ),
        *keypoints_questions(swaps[KEYPOINTS].allowed),
        *peak_ops_questions(),
    ]
    requests, seconds = (REQUESTS, SECONDS) if long_run else (SHORT_REQUESTS, SHORT_SECONDS)
    clients = mixed(server.grpc_address, server.rest_address, CLIENTS)
    load = Load(clients, questions, pace=PACE if long_run else 0.0)
    begin = time.monotonic()

    def go_on():
        return time.monotonic() < begin + seconds or load.sent < requests

    with load, ThreadPoolExecutor(len(models)) as pool:
        lives = [
            pool.submit(swaps[model].promote_once)
            if model == KEYPOINTS and not long_run
            else pool.submit(swaps[model].repeat, go_on)
            for model in models
        ]
        for life in lives:
            life.result()
        spent = time.monotonic() - begin
    tally = load.tally
    tell(f"{program.kind}, versions swapped for {spent:.0f} s: {tally}")
    acts = Counter(what for swap in swaps.values() for what, _ in swap.acts)
    tell(
        f"{program.kind}: {len(models)} models; "
        + ", ".join(f"{count} {what}" for what, count in acts.items())
        + f"; {len(tally.answered)} kinds of answers, {load.sent / spent:,.0f} requests a second"
    )
    assert tally.sent >= requests
    assert not tally.failed
    assert not tally.wrong
    if long_run:
        moments = [moment for swap in swaps.values() for _, moment in swap.acts]
        tell(f"{program.kind}: something in {busy_seconds(moments, begin)} of {spent:.0f} seconds")
    for act in ("published", "promoted", "rolled back", "pruned"):
        moments = [moment for swap in swaps.values() for what, moment in swap.acts if what == act]
        if long_run:
            tell(f"{program.kind}: {act} in {busy_seconds(moments, begin)} of {spent:.0f} seconds")
        assert moments
    for model in models:
        with GrpcClient(server.grpc_address, model=model) as client:
            states = client.status().items()
        labelled = labels_in(root, model).read().labels["stable"]
        assert labelled in [number for number, status in states if status.is_available]


def busy_seconds(moments, begin):
    """How many seconds saw something happen."""
    return len({int(moment - begin) for moment in moments})
