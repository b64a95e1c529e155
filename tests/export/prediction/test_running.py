"""Requests in flight: order, bounds, a server that goes away, Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from export.prediction.batches import Batch
from export.prediction.outputs import TidyCsv
from export.prediction.running import Window
from export.prediction.sources import Frame
from serving_config.ports import free_ports

from .fake_model import FakeModel
from .frames import csv, maps, number_of, rows

ROOT = Path(__file__).parents[3]
# Longer than anything here takes.
SECONDS = 30


@pytest.fixture
def given(tmp_path):
    """Twelve frames."""
    path = tmp_path / "maps.npy"
    np.save(path, maps(12))
    return path


def command(*arguments):
    return [sys.executable, "-m", "export", "predict", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class TestOrder:
    def test_rows_are_in_order_when_replies_are_not(self, predict, given, model):
        turn = {number: threading.Event() for number in range(0, 8, 2)}
        turn[6].set()
        all_there = threading.Barrier(4)

        def before(batch):
            # The first four are answered when all are there, the last one first.
            number = number_of(batch)
            if number in turn:
                all_there.wait(SECONDS)
                assert turn[number].wait(SECONDS)
                turn.get(number - 2, turn[number]).set()

        model.before = before
        done = predict(given, "--batch", 2, "--in-flight", 4)
        assert done.stdout == csv(rows(range(12)))
        assert model.most == 4

    @pytest.mark.parametrize("in_flight", [1, 2])
    def test_no_more_than_asked_for_are_in_flight(self, in_flight, predict, given, model):
        model.before = lambda batch: time.sleep(0.02)
        done = predict(given, "--batch", 1, "--in-flight", in_flight)
        assert done.stdout == csv(rows(range(12)))
        assert model.most == in_flight
        assert model.sizes == [1] * 12

    def test_no_more_frames_are_read_than_are_in_flight(self):
        read = []

        def batches():
            for number in range(9):
                read.append(number)
                yield Batch(number, (Frame(b"", None),))

        window = Window(lambda batch: batch.first, 3)
        for number, (batch, reply) in enumerate(window.answers(batches())):
            assert batch.first == reply == number
            assert len(read) <= number + 3
        window.close()
        assert len(read) == 9


class TestAServerThatGoesAway:
    """A way to the server that is cut as by a killed process."""

    @pytest.fixture
    def way(self, fake_servers, model):
        way = fake_servers.Way(model.port)
        yield way
        way.cut()

    def test_is_waited_for(self, predict, given, model, way):
        cut = threading.Event()

        def before(batch):
            if number_of(batch) == 4 and not cut.is_set():
                cut.set()
                way.cut()
                # Longer than the client's own retries last.
                threading.Timer(1.5, way.open).start()

        model.before = before
        done = predict(given, "--batch", 2, "--in-flight", 2, address=way.address)
        assert done.exit_code == 0
        assert done.stdout == csv(rows(range(12)))
        lost, back, _ = done.stderr.splitlines()
        assert re.fullmatch(r"no server answers; waiting for one, (60|59) s at most", lost)
        assert back == "a server answers again"

    def test_is_given_up_after_a_time(self, predict, given, model, way, tmp_path):
        out = tmp_path / "points.csv"
        model.before = lambda batch: way.cut() if number_of(batch) == 4 else None
        start = time.monotonic()
        options = ["--batch", 2, "--in-flight", 1, "--retry-for", 2, "--out", out]
        done = predict(given, *options, address=way.address)
        assert 2 < time.monotonic() - start < SECONDS
        assert done.exit_code == 1
        told = done.stderr.splitlines()
        # The client's own attempts come before, and are counted.
        (lost,) = told[:-1]
        assert re.fullmatch(r"no server answers; waiting for one, [12] s at most", lost)
        assert told[-1].startswith("Error: keypoints over gRPC: UNAVAILABLE: ")
        assert told[-1].endswith(f"; the first 4 frames are in {out}")
        assert out.read_text() == csv(rows(range(4)))

    def test_is_waited_for_from_when_it_went_away(self, predict, given, model, way):
        """However long the request lasts that was lost with it."""

        def before(batch):
            if number_of(batch) == 4 and not cut.is_set():
                cut.set()
                time.sleep(1.2)
                way.cut()
                threading.Timer(1.0, way.open).start()

        cut, model.before = threading.Event(), before
        options = ["--batch", 2, "--in-flight", 1, "--retry-for", 1.1]
        done = predict(given, *options, address=way.address)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == csv(rows(range(12)))

    def test_that_never_was_is_said_at_once(self, predict, given):
        start = time.monotonic()
        done = predict(given, address=f"127.0.0.1:{free_ports(1)[0]}")
        assert time.monotonic() - start < 10
        assert done.exit_code == 1
        (told,) = done.stderr.splitlines()
        assert told.startswith("Error: metadata over gRPC: UNAVAILABLE: ")

    def test_another_takes_its_place(self, predict, given, model, way):
        other = FakeModel()
        model.before = lambda batch: way.cut() if number_of(batch) >= 4 else None
        done = predict(
            given, "--batch", 2, "--address", other.address, "--retry-for", 0, address=way.address
        )
        other.stop()
        assert done.stdout == csv(rows(range(12)))
        assert other.sizes


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("ending", ["csv", "json", "npz"])
class TestControlC:
    def test_keeps_what_is_done(self, ending, in_flight, given, model, tmp_path):
        held, go_on = threading.Event(), threading.Event()
        # When the last has come, two batches are written; those after the second are not.
        last = 4 + 2 * (in_flight - 1)

        def before(batch):
            if number_of(batch) == last:
                held.set()
            if number_of(batch) in (4, last):
                go_on.wait(SECONDS)

        model.before = before
        out = tmp_path / f"points.{ending}"
        running = subprocess.Popen(
            command(given, "--address", model.address, "--batch", 2, "--out", out, "--in-flight", in_flight),
            env=ENVIRONMENT, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert held.wait(SECONDS)
            running.send_signal(signal.SIGINT)
            told = running.communicate(timeout=SECONDS)
        finally:
            go_on.set()
            running.kill()
            running.wait()
        assert running.returncode == 130
        assert told == ("", f"interrupted: the first 4 frames are in {out}\n")
        if ending == "csv":
            assert out.read_text() == csv(rows(range(4)))
        elif ending == "json":
            assert [frame["frame"] for frame in json.loads(out.read_text())["frames"]] == [
                0,
                1,
                2,
                3,
            ]
        else:
            with np.load(out) as found:
                assert found["confidences"][:, 1].tolist() == [1, 2, 3, 4]


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="no signals in this thread"
)
def test_control_c_while_rows_are_written(predict, given, tmp_path, monkeypatch):
    """The batch is written to its end, and once only."""
    write = TidyCsv.write

    def interrupted(self, first, reply):
        if first == 4:
            signal.raise_signal(signal.SIGINT)
        write(self, first, reply)

    monkeypatch.setattr(TidyCsv, "write", interrupted)
    out = tmp_path / "points.csv"
    done = predict(given, "--batch", 2, "--in-flight", 1, "--out", out)
    assert (done.exit_code, done.stderr) == (
        130,
        f"interrupted: the first 6 frames are in {out}\n",
    )
    assert out.read_text() == csv(rows(range(6)))


def test_control_c_before_the_first_frame(given, model, tmp_path):
    held, go_on = threading.Event(), threading.Event()
    model.before = lambda batch: (held.set(), go_on.wait(SECONDS))
    out = tmp_path / "points.csv"
    running = subprocess.Popen(
        command(given, "--address", model.address, "--out", out),
        env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert held.wait(SECONDS)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=SECONDS)
    finally:
        go_on.set()
        running.kill()
        running.wait()
    assert running.returncode == 130
    assert told == "interrupted: no frame was finished, and nothing is written\n"
    assert not out.exists()


def test_a_refusal_in_the_middle_keeps_what_is_done(predict, given, model, tmp_path):
    def before(batch):
        if number_of(batch) == 8:
            raise ValueError("refused")

    model.before = before
    out = tmp_path / "points.csv"
    done = predict(given, "--out", out)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: keypoints over gRPC: UNKNOWN: ")
    assert done.stderr.endswith(f"; the first 8 frames are in {out}\n")
    assert out.read_text() == csv(rows(range(8)))


def test_nothing_follows_what_could_not_be_written(predict, given, tmp_path, monkeypatch):
    """Half a batch may be in the file: neither the rest nor what is answered already is added."""
    write, full = TidyCsv.write, [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]

    def full_once(self, first, reply):
        if first == 4 and full:
            raise full.pop()
        write(self, first, reply)

    monkeypatch.setattr(TidyCsv, "write", full_once)
    out = tmp_path / "points.csv"
    done = predict(given, "--batch", 2, "--in-flight", 4, "--out", out)
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: {out}: cannot be written: No space left on device; "
        f"the first 4 frames are in {out}\n"
    )
    assert out.read_text() == csv(rows(range(4)))


def test_a_reply_without_points_is_one_sentence(predict, given, model, monkeypatch):
    from . import fake_model

    wrong = {"points": np.zeros((2, 3), np.float32), "confidences": np.zeros(2, np.float32)}
    monkeypatch.setattr(fake_model, "answer", lambda signature, value: wrong)
    done = predict(given)
    assert done.stderr == (
        "Error: expected a reply with points [4, 2, 2], confidences [4, 2], channels [4, 2], "
        "count [4], got confidences [2], points [2, 3]; name another signature with --signature\n"
    )


class TestProgress:
    def shown(self, given, address, *options):
        """What is written to a terminal that stands behind standard error."""
        near, far = pty.openpty()
        done = subprocess.run(
            command(given, "--address", address, *options), check=False,
            env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=far, timeout=SECONDS,
        )  # fmt: skip
        os.close(far)
        shown = b""
        # At the end of what was written, Linux says EIO.
        try:
            while part := os.read(near, 1 << 16):
                shown += part
        except OSError:
            pass
        os.close(near)
        assert done.returncode == 0, shown
        return shown.decode()

    def test_a_bar_with_speed_on_a_terminal(self, given, model, tmp_path):
        shown = self.shown(given, model.address, "--out", tmp_path / "p.csv")
        assert "12/12" in shown
        assert "frames/s" in shown
        assert "━" in shown

    def test_none_elsewhere(self, predict, given):
        assert re.fullmatch(r"12 frames in [\d.]+ s, [\d.]+ frames/s\n", predict(given).stderr)
