"""Several servers behind one client: spreading, retries, and what is told of them."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest

from serving_config import AddressError, GrpcClient, RestClient, Retries, ServingError
from serving_config.addresses import target_of

# Longer than anything here takes: what fails at the deadline is what must not happen.
DEADLINE = 20


def until(holds: Callable[[], bool], step: Callable[[], object]) -> bool:
    """Whether something comes true while steps are made."""
    end = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > end:
            return False
        step()
    return True


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def fakes(fake_servers, stack):
    """Two servers."""
    servers = [fake_servers.Fake(), fake_servers.Fake()]
    for server in servers:
        stack.callback(server.stop)
    return servers


@pytest.fixture
def ways(fake_servers, fakes, stack):
    """The ways to two servers."""
    ways = [fake_servers.Way(server.port) for server in fakes]
    for way in ways:
        stack.callback(way.cut)
    return ways


@pytest.fixture
def client_of(stack, fake_servers):
    """Makes clients; and `ask(client)` sends one request."""

    def client_of(addresses):
        return stack.enter_context(GrpcClient(addresses, timeout=DEADLINE))

    return client_of


@pytest.fixture
def ask(fake_servers):
    def ask(client, **more):
        return client.predict("smooth_imgs", {"imgs": fake_servers.IMGS}, **more)

    return ask


def ask_both(ask, client, fakes):
    """Sends requests until both servers have had one."""
    before = [fake.requests for fake in fakes]
    assert until(
        lambda: all(fake.requests > was for fake, was in zip(fakes, before, strict=True)),
        lambda: ask(client),
    )


class TestSpreading:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_both_get_requests_in_turn(self, host, fakes, client_of, ask):
        client = client_of([f"{host}:{fake.port}" for fake in fakes])
        ask_both(ask, client, fakes)
        before = [fake.requests for fake in fakes]
        for _ in range(10):
            ask(client)
        assert [fake.requests - was for fake, was in zip(fakes, before, strict=True)] == [5, 5]

    def test_a_name_that_grpc_looks_up(self, fakes, client_of, ask):
        client = client_of(f"dns:///localhost:{fakes[0].port}")
        ask(client)
        assert fakes[0].requests == 1

    def test_both_families(self, fake_servers, fakes, client_of, ask, stack):
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError:
            pytest.skip("no IPv6 on the loopback interface")
        other = fake_servers.Fake(address="[::1]")
        stack.callback(other.stop)
        client = client_of([fakes[0].address, f"[::1]:{other.port}"])
        ask_both(ask, client, [fakes[0], other])

    def test_a_configuration_is_for_one_server(self, fakes, client_of):
        client = client_of([fake.address for fake in fakes])
        with pytest.raises(AddressError, match="goes to one server.*make a client for each"):
            client.reload_config("model_config_list {}")
        with pytest.raises(AddressError, match="goes to one server"):
            client_of("dns:///localhost:1").reload_config("model_config_list {}")
        assert client.retries.calls == 0


class TestAServerThatDies:
    def test_its_requests_are_answered_by_the_other(self, fakes, ways, client_of, ask):
        client = client_of([way.address for way in ways])
        ask_both(ask, client, fakes)
        doomed = fakes[0]
        doomed.arrived.clear()
        doomed.go_on.clear()
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, client) for _ in range(4)]
            assert doomed.arrived.wait(DEADLINE)
            ways[0].cut()
            assert all("smoothed" in done.result() for done in asked)
        told = client.retries
        assert told.retried >= 1
        assert told.given_up == 0
        assert told.attempts == told.calls + told.retried
        doomed.go_on.set()

    def test_it_gets_requests_again_when_it_is_back(self, fakes, ways, client_of, ask):
        client = client_of([way.address for way in ways])
        ask_both(ask, client, fakes)
        ways[0].cut()
        for _ in range(10):
            ask(client)
        ways[0].open()
        ask_both(ask, client, fakes)
        assert client.retries.given_up == 0

    def test_the_other_dies_when_it_is_back(self, fakes, ways, client_of, ask):
        """What must wait for the one that is back is retried for longer than that takes."""
        client = client_of([way.address for way in ways])
        ask_both(ask, client, fakes)
        for dead in (0, 1, 0, 1):
            ways[dead].cut()
            ask(client)
            ways[dead].open()
        assert client.retries.given_up == 0

    @pytest.mark.parametrize("count", [1, 2])
    def test_all_of_them(self, count, ways, client_of, ask):
        """A sentence, not a wait for the deadline."""
        client = client_of([way.address for way in ways][:count])
        for way in ways:
            way.cut()
        with pytest.raises(ServingError) as caught:
            ask(client)
        assert caught.value.code == "UNAVAILABLE"
        assert re.fullmatch(
            r".*Connection refused.* \(given up after up to 5 attempts\)", caught.value.sentence
        )
        assert "given up" not in caught.value.server_text
        assert client.retries == Retries(calls=1, attempts=0, retried=0, given_up=1)

    def test_a_slow_handshake_is_waited_for(self, fake_servers, fakes, client_of, ask, stack):
        """Connecting may take longer than the smallest back-off."""
        way = fake_servers.Way(fakes[0].port, delay=0.4)
        stack.callback(way.cut)
        assert "smoothed" in ask(client_of(way.address))

    def test_a_machine_that_vanishes_ends_its_connections(self, fakes, client_of, ask):
        """It sends nothing any more: the kernel must be told how long to wait for it."""
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is None:
            pytest.skip("this system has no TCP_USER_TIMEOUT")
        ask(client_of(fakes[0].address))
        timeouts = set()
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - links that lead nowhere
            try:
                with socket.socket(fileno=os.dup(int(name))) as end:
                    if end.getpeername()[1] == fakes[0].port:
                        timeouts.add(end.getsockopt(socket.IPPROTO_TCP, option))
            except OSError:
                continue
        assert timeouts == {10_000}


class TestRetries:
    def test_a_full_server_is_asked_again(self, fakes, client_of, ask):
        client = client_of(fakes[0].address)
        fakes[0].failures = 2
        ask(client)
        assert client.retries == Retries(calls=1, attempts=3, retried=2, given_up=0)

    @pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
    def test_a_server_that_stays_full(self, code, fakes, client_of, ask):
        client = client_of(fakes[0].address)
        fakes[0].failures, fakes[0].code = 100, grpc.StatusCode[code]
        with pytest.raises(ServingError) as caught:
            ask(client)
        assert caught.value.code == code
        assert caught.value.server_text == "not now"
        assert caught.value.sentence == "not now (given up after up to 5 attempts)"
        assert fakes[0].requests == 5
        assert client.retries == Retries(calls=1, attempts=5, retried=4, given_up=1)

    @pytest.mark.parametrize(
        "code", ["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "DATA_LOSS"]
    )
    def test_an_answer_is_not_asked_for_again(self, code, fakes, client_of, ask):
        client = client_of([fake.address for fake in fakes])
        for fake in fakes:
            fake.failures, fake.code = 1, grpc.StatusCode[code]
        with pytest.raises(ServingError) as caught:
            ask(client)
        assert (caught.value.code, caught.value.sentence) == (code, "not now")
        assert sum(fake.requests for fake in fakes) == 1
        assert client.retries == Retries(calls=1, attempts=1, retried=0, given_up=0)

    def test_the_deadline_ends_them(self, fakes, client_of, ask):
        client = client_of(fakes[0].address)
        ask(client)
        fakes[0].failures = 100
        with pytest.raises(ServingError) as caught:
            ask(client, timeout=0.2)
        assert caught.value.code == "DEADLINE_EXCEEDED"

    def test_threads_are_counted_together(self, fakes, client_of, ask):
        client = client_of([fake.address for fake in fakes])
        ask_both(ask, client, fakes)
        calls = client.retries.calls
        for fake in fakes:
            fake.failures = 4
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: ask(client), range(80)))
        assert client.retries == Retries(calls + 80, calls + 88, 8, 0)

    def test_clients_of_one_server_are_counted_apart(self, fakes, client_of, ask):
        clients = [client_of(fakes[0].address) for _ in range(3)]
        fakes[0].failures = 1
        for times, client in enumerate(clients):
            for _ in range(times + 1):
                ask(client)
        clients[0].close()
        assert [client.retries.attempts for client in clients] == [2, 2, 3]
        assert [client.retries.retried for client in clients] == [1, 0, 0]

    def test_clients_made_by_many_threads(self, fakes, client_of, ask):
        started = threading.Barrier(8)

        def count(_):
            started.wait(DEADLINE)
            client = client_of(fakes[0].address)
            ask(client)
            return client.retries.attempts

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(count, range(8))) == [1] * 8


@pytest.mark.parametrize(
    ("addresses", "fault"),
    [
        ("rig", "expected HOST:PORT, got 'rig'"),
        ("rig:0", "expected HOST:PORT, got 'rig:0'"),
        ("rig:99999", "expected HOST:PORT, got 'rig:99999'"),
        ("::1:8500", "expected HOST:PORT, got '::1:8500'"),
        ("http://rig:8500", "expected HOST:PORT, got 'http://rig:8500'"),
        ("a:1,b:2", r"got 'a:1,b:2'; several are a sequence: \['a:1', 'b:2'\]"),
        (["a:1", "dns:///b:2"], "got 'dns:///b:2' beside others"),
        ([], "got an empty sequence"),
        (["127.0.0.1:1", "name.invalid:2"], "name.invalid:2: the name is not known.*dns:///"),
    ],
)
def test_what_is_no_address_is_said(addresses, fault):
    with pytest.raises(AddressError, match=fault):
        GrpcClient(addresses)


def test_rest_has_one_address():
    with pytest.raises(AddressError, match="expected HOST:PORT, got 'a:1,b:2'"):
        RestClient("a:1,b:2")


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("rig:8500", "rig:8500"),
        (["rig:8500"], "rig:8500"),
        (["10.0.0.1:1", "10.0.0.2:2", "10.0.0.1:1"], "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (["[fd00::1]:1", "[fd00::2]:2"], "ipv6:[fd00::1]:1,[fd00::2]:2"),
        (["[fe80::1%eth0]:1", "10.0.0.1:1"], "ipv6:[fe80::1%25eth0]:1,[::ffff:10.0.0.1]:1"),
        ("unix:/run/serving.sock", "unix:/run/serving.sock"),
    ],
)
def test_targets(addresses, target):
    assert target_of(addresses).text == target
