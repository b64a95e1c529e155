"""Files of TLS that cannot be used: one sentence, from the clients and from the embedded host."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization

from serving_config import ClientTls, GrpcClient, RestClient, TlsError
from serving_config.embedded.failures import StatusError
from serving_config.embedded.grpc_service import GrpcServer
from serving_config.embedded.ssl_config import server_credentials
from serving_config.ports import free_ports
from serving_config.tls import ssl_config_text

# Bytes of a request.
MOST = 1 << 20


class TestFilesOfAClient:
    @pytest.fixture(params=[GrpcClient, RestClient])
    def client_class(self, request):
        return request.param

    def fault(self, client_class, **tls):
        with pytest.raises(TlsError) as caught:
            client_class("127.0.0.1:1", tls=ClientTls(**tls))
        return str(caught.value)

    def test_not_there(self, client_class, tmp_path):
        fault = self.fault(client_class, authority=tmp_path / "no.pem")
        assert fault == f"{tmp_path / 'no.pem'}: No such file or directory"

    @pytest.mark.parametrize("content", [b"", b"\xff\x00", b"-----BEGIN PUBLIC KEY-----"])
    def test_not_pem(self, client_class, content, tmp_path):
        path = tmp_path / "authority.pem"
        path.write_bytes(content)
        fault = self.fault(client_class, authority=path)
        assert fault.startswith(f"{path}: expected a certificate in PEM, with a line -----BEGIN")

    def test_pem_of_nothing(self, client_class, tmp_path):
        path = tmp_path / "authority.pem"
        path.write_text("-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n")
        fault = self.fault(client_class, authority=path)
        assert fault.startswith(f"{path}: expected certificates of an authority, got what OpenSSL")

    def test_exchanged(self, client_class, files):
        fault = self.fault(client_class, certificate=files.client.key, key=files.client.certificate)
        assert "expected a private key in PEM" in fault

    def test_of_another(self, client_class, files):
        pair = {"certificate": files.client.certificate, "key": files.stranger.key}
        fault = self.fault(client_class, **pair)
        assert fault == (
            f"{files.stranger.key}: expected the private key of the certificate in "
            f"{files.client.certificate}, got another"
        )

    def test_with_a_password(self, client_class, files, tmp_path):
        key = serialization.load_pem_private_key(files.client.key.read_bytes(), None)
        path = tmp_path / "locked.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"word"),
            )
        )
        fault = self.fault(client_class, certificate=files.client.certificate, key=path)
        assert fault.startswith(f"{path}: expected the key of {files.client.certificate} without")

    @pytest.mark.parametrize("given", ["certificate", "key"])
    def test_half_of_a_pair(self, given, files):
        with pytest.raises(TlsError, match=f"got the {given} only; pass its"):
            ClientTls(files.authority, **{given: files.client.key})


class TestTheHostsConfig:
    @pytest.mark.parametrize(
        ("text", "code", "fault"),
        [
            ("server_kee: 'x'", "INVALID_ARGUMENT", "Invalid protobuf file: '"),
            ("server_key: 'x'", "INVALID_ARGUMENT", "expected server_key and server_cert"),
            ("", "INVALID_ARGUMENT", "expected server_key and server_cert"),
            (
                "server_key: 'x' server_cert: 'x' client_verify: true",
                "INVALID_ARGUMENT",
                "client_verify needs custom_ca",
            ),
            (None, "NOT_FOUND", "No such file"),
        ],
    )
    def test_what_is_no_configuration(self, text, code, fault, tmp_path):
        path = tmp_path / "ssl.config"
        if text is not None:
            path.write_text(text)
        with pytest.raises(StatusError, match=fault) as caught:
            server_credentials(str(path))
        assert caught.value.code == code

    def test_a_key_that_is_none(self, tmp_path):
        path = tmp_path / "ssl.config"
        path.write_text("server_key: 'x' server_cert: 'y'")
        with pytest.raises(StatusError, match="gRPC cannot use the key and certificates"):
            GrpcServer(
                None,
                "127.0.0.1",
                free_ports(1)[0],
                1,
                MOST,
                credentials=server_credentials(str(path)),
            )

    def test_a_port_that_is_taken(self, files, tmp_path):
        path = tmp_path / "ssl.config"
        path.write_text(ssl_config_text(files.server.key, files.server.certificate))
        credentials = server_credentials(str(path))
        (port,) = free_ports(1)
        first = GrpcServer(None, "127.0.0.1", port, 1, MOST, credentials=credentials)
        first.start()
        with pytest.raises(RuntimeError, match=f"Failed to bind to address 127.0.0.1:{port}"):
            GrpcServer(None, "127.0.0.1", port, 1, MOST, credentials=credentials)
        first.stop(0)
