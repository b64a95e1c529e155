"""TLS and mutual TLS: what is right works, and what is not is one sentence within the deadline."""

from __future__ import annotations

import functools
import re
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from export.cli import main
from serving_config import (
    ClientTls,
    GrpcClient,
    ModelServer,
    RestClient,
    ServerStartError,
    ServingError,
    TlsError,
    find_server,
)
from serving_config.embedded.grpc_service import GrpcServer
from serving_config.embedded.ssl_config import server_credentials
from serving_config.ports import free_ports
from serving_config.programs import BINARY_NAME, BINARY_VARIABLE, EMBEDDED_HOST
from serving_config.status import AVAILABLE, VersionStatus
from serving_config.tls import ssl_config_text

# What fails at the deadline is what must not happen.
DEADLINE = 20
MODEL = "peak_ops"


class StatusOnly:
    """A host's core that says that version 1 of everything is available."""

    def statuses(self, query):
        return [(1, VersionStatus(AVAILABLE))]


def client_tls(who: str, files) -> ClientTls | None:
    """What a client of the tables below brings."""
    client, stranger = files.client, files.stranger
    return {
        "plain": None,
        "authority only": ClientTls(files.authority),
        "own certificate": ClientTls(files.authority, client.certificate, client.key),
        "stranger": ClientTls(files.authority, stranger.certificate, stranger.key),
        "wrong authority": ClientTls(files.other_authority, client.certificate, client.key),
        "public authorities": ClientTls(),
        "other name of the server": ClientTls(
            files.authority, client.certificate, client.key, server_name="rig"
        ),
        "wrong name of the server": ClientTls(
            files.authority, client.certificate, client.key, server_name="lab"
        ),
    }[who]


# A stub is the port of an embedded host, without its process.
KINDS = {"server": ("stub", "stock"), "mutual": ("embedded", "stock")}

# Whether the server asks for a certificate too, who asks, and what the client says; empty for an
# answer.
NOT_OURS = "not of the authority that the client trusts: pass the right one"
NO_TLS = "closed the connection: where it speaks TLS, the client must"
NO_CERTIFICATE = "closed the connection: where it asks for a certificate, pass one"
OVER_GRPC = [
    ("server", "plain", NO_TLS),
    ("server", "authority only", ""),
    ("server", "stranger", ""),
    ("server", "wrong authority", NOT_OURS),
    ("server", "other name of the server", ""),
    ("mutual", "own certificate", ""),
    ("mutual", "authority only", NO_CERTIFICATE),
    ("mutual", "stranger", "it may not trust the authority of .*stranger.pem"),
    ("mutual", "public authorities", NOT_OURS),
    ("mutual", "wrong name of the server", "for another name: pass that name"),
]
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
OVER_REST = [
    ("server", "plain", "disconnected without sending"),
    ("server", "authority only", ""),
    ("server", "stranger", ""),
    ("server", "wrong authority", UNTRUSTED),
    ("server", "other name of the server", ""),
    ("mutual", "own certificate", ""),
    ("mutual", "authority only", "certificate required"),
    ("mutual", "stranger", "unknown ca"),
    ("mutual", "public authorities", UNTRUSTED),
    ("mutual", "wrong name of the server", "not valid for 'lab'"),
]


def check(ask, fault):
    """One answer, or one sentence before the deadline."""
    if not fault:
        ask()
        return
    with pytest.raises(ServingError, match=fault) as caught:
        ask()
    assert caught.value.code == "UNAVAILABLE"
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def model_root(model_base_path, tmp_path_factory) -> Path:
    """The tiny model under the name of a family, which commands can name."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(model_base_path / "1", root / MODEL / "1")
    return root


@pytest.fixture(scope="module")
def address_of(files, model_root, tmp_path_factory) -> Iterator[Callable[[str, str], str]]:
    """The address of a server of some kind, which is started once; a skip if it is not here."""
    with ExitStack() as stack:

        @functools.cache
        def started(kind: str, asks: str) -> str | None:
            """The address, or why there is none."""
            folder = tmp_path_factory.mktemp("ssl")
            config = folder / "ssl.config"
            config.write_text(
                ssl_config_text(
                    files.server.key,
                    files.server.certificate,
                    files.authority if asks == "mutual" else None,
                )
            )
            if kind == "stub":
                (port,) = free_ports(1)
                credentials = server_credentials(str(config))
                stub = GrpcServer(
                    StatusOnly(), "127.0.0.1", port, 4, 1 << 20, credentials=credentials
                )
                stub.start()
                stack.callback(stub.stop, 0)
                return f"127.0.0.1:{port}"
            program = EMBEDDED_HOST if kind == "embedded" else find_server()
            if program.kind != kind:
                return f"no stock server: no {BINARY_NAME} on PATH, {BINARY_VARIABLE} not set"
            server = ModelServer(
                MODEL,
                model_root / MODEL,
                program=program,
                extra_flags=[f"--ssl_config_file={config}"],
                folders=[folder],
                tls=client_tls("own certificate", files),
            )
            try:
                stack.enter_context(server)
            except ServerStartError as error:
                if kind == "embedded" or "ended with exit code" not in error.reason:
                    raise
                last = error.log_tail.strip().splitlines()[-1:] or ["(an empty log)"]
                return f"the stock server here cannot speak TLS: {error.reason}: {last[0]}"
            return server.grpc_address

        def address_of(kind: str, asks: str) -> str:
            address = started(kind, asks)
            if not address.startswith("127.0.0.1:"):
                pytest.skip(address)
            return address

        yield address_of


class TestOverGrpc:
    @pytest.mark.parametrize(
        ("kind", "asks", "who", "fault"),
        [
            pytest.param(kind, asks, who, fault, id=f"{kind}-{asks}-{who}")
            for asks, who, fault in OVER_GRPC
            for kind in KINDS[asks]
        ],
    )
    def test_who_is_answered(self, kind, asks, who, fault, address_of, files):
        tls = client_tls(who, files)
        with GrpcClient(address_of(kind, asks), timeout=DEADLINE, tls=tls) as client:
            check(client.status, fault)

    def test_several_addresses(self, address_of, files):
        port = address_of("stub", "server").rpartition(":")[2]
        addresses = [f"127.0.0.1:{port}", f"localhost:{port}"]
        with pytest.raises(TlsError, match="expected one server_name for .* 127.0.0.1, localhost"):
            GrpcClient(addresses, tls=client_tls("authority only", files))
        rig = client_tls("other name of the server", files)
        for target in (addresses, f"dns:///localhost:{port}"):
            with GrpcClient(target, timeout=DEADLINE, tls=rig) as client:
                assert client.status()[1].is_available

    @pytest.mark.parametrize("kind", KINDS["mutual"])
    def test_the_commands(self, kind, address_of, model_root, files):
        options = [
            f"--tls-ca={files.authority}",
            f"--tls-cert={files.client.certificate}",
            f"--tls-key={files.client.key}",
        ]
        address = f"--address={address_of(kind, 'mutual')}"
        promote = ["versions", "promote", "1", f"--model-root={model_root}", address]
        done = CliRunner().invoke(main, [*promote, *options])
        assert done.exit_code == 0, done.output
        assert f"{MODEL} 1 is available" in done.output
        done = CliRunner().invoke(main, ["verify", address, "--version=7", *options])
        assert done.exit_code == 1
        assert f"expected version 7 of {MODEL} to be AVAILABLE, got 1 AVAILABLE" in done.output
        done = CliRunner().invoke(main, promote)
        assert done.exit_code == 1
        assert re.search(NO_TLS, " ".join(done.output.split()))

    def test_only_running_servers_are_asked_over_tls(self, files):
        done = CliRunner().invoke(main, ["verify", f"--tls-ca={files.authority}"])
        assert done.exit_code == 1
        assert "expected --address of a running server with --tls-" in done.output


class TestOverRest:
    """A proxy in front of the model server: its own REST port speaks no TLS."""

    @pytest.fixture(scope="class", params=["server", "mutual"])
    def proxy(self, request, files) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = b'{"model_version_status": []}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                """Nothing: handshakes that fail are what is tested."""

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.server.certificate, files.server.key)
        if request.param == "mutual":
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(files.authority)
        server = Server(("127.0.0.1", 0), Handler)
        # The thread of a connection shakes hands, not the one that accepts.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    @pytest.mark.parametrize(
        ("proxy", "who", "fault"),
        [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in OVER_REST],
        indirect=["proxy"],
    )
    def test_who_is_answered(self, proxy, who, fault, files):
        with RestClient(proxy, timeout=DEADLINE, tls=client_tls(who, files)) as client:
            check(client.status, fault)

    @pytest.mark.parametrize("proxy", ["server"], indirect=True)
    def test_https_in_the_address(self, proxy, files):
        with RestClient(f"https://{proxy}", tls=client_tls("authority only", files)) as client:
            client.status()
        with RestClient(f"https://{proxy}") as client:
            check(client.status, UNTRUSTED)
