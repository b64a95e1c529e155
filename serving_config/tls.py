"""TLS: the server's `SSLConfig` as protobuf text, and what clients show and accept."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

SSL_CONFIG = "ssl.config"
_PEM = "-----BEGIN "
_CERTIFICATE = "CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"


class TlsError(ValueError):
    """Files or options that make no TLS connection, in one sentence."""


@dataclass(frozen=True)
class ClientTls:
    """What a client needs to speak TLS; without any of it, the public authorities are trusted.

    Attributes:
      authority: Certificates of the authority that signed the server's, PEM.
      certificate: The client's certificate chain, PEM, for servers that ask for one.
      key: The client's private key, PEM.
      server_name: The name in the server's certificate, where it is not the host of the address.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise TlsError(f"expected a client's certificate and its key, got the {given} only; "
                           f"pass its {missing} too")  # fmt: skip

    def context(self) -> ssl.SSLContext:
        """For a client of Python's own TLS.

        Raises:
          TlsError: A file cannot be read, is not PEM, or the key is not the certificate's.
        """
        self.pem()
        if self.authority is None:
            context = ssl.create_default_context()
        else:
            try:
                context = ssl.create_default_context(cafile=self.authority)
            except ssl.SSLError as error:
                raise _unusable(self.authority, "certificates of an authority", error) from error
        if self.certificate is not None and self.key is not None:
            # Without an answer, OpenSSL would ask for a password on the terminal.
            try:
                context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
            except ssl.SSLError as error:
                if error.reason == "KEY_VALUES_MISMATCH":
                    raise TlsError(
                        f"{self.key}: expected the private key of the certificate in "
                        f"{self.certificate}, got another"
                    ) from error
                pair = f"the key of {self.certificate} without a password"
                raise _unusable(self.key, pair, error) from error
        return context

    def pem(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Authority, key and certificate, in the order in which gRPC takes them.

        Raises:
          TlsError: A file cannot be read or is not PEM.
        """
        return (
            _pem(self.authority, _CERTIFICATE),
            _pem(self.key, _KEY),
            _pem(self.certificate, _CERTIFICATE),
        )


# What gRPC says of a connection that did not come about, and what to do.
_NOT_CONNECTED = ("failed to connect", "connections to all backends failing")
_CLOSED = ("Socket closed", "Connection reset")
_HINTS = {
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not of the authority that the client "
    "trusts: pass the right one (authority, --tls-ca)",
    "Hostname Verification": "the server's certificate is for another name: pass that name "
    "(server_name, --tls-server-name)",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS on this port",
}


def hint_of_failure(text: str, tls: ClientTls | None) -> str:
    """What may be wrong with TLS, from what gRPC says of a connection; empty if nothing is.

    >>> hint_of_failure("failed to connect to all addresses; last error: Socket closed", None)
    'the server closed the connection: where it speaks TLS, the client must (tls, --tls-ca)'
    >>> hint_of_failure("failed to connect to all addresses: Connection refused", None)
    ''
    """
    if not text.startswith(_NOT_CONNECTED):
        return ""
    if any(closed in text for closed in _CLOSED):
        if tls is None:
            wanted = "where it speaks TLS, the client must (tls, --tls-ca)"
        elif tls.certificate is None:
            wanted = "where it asks for a certificate, pass one (certificate and key, --tls-cert)"
        else:
            wanted = f"it may not trust the authority of {tls.certificate}"
        return f"the server closed the connection: {wanted}"
    return next((hint for needle, hint in _HINTS.items() if tls and needle in text), "")


def _pem(path: Path | None, kind: str) -> bytes | None:
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror or error}") from error
    if _PEM.encode() not in content or kind.encode() not in content:
        wanted = kind.rstrip("-").lower()
        raise TlsError(f"{path}: expected a {wanted} in PEM, with a line {_PEM}{kind}")
    return content


def _unusable(path: Path, wanted: str, error: ssl.SSLError) -> TlsError:
    return TlsError(
        f"{path}: expected {wanted}, got what OpenSSL cannot use ({error.reason or error})"
    )


def ssl_config_text(key: Path, certificate: Path, authority: Path | None = None) -> str:
    """The file that `--ssl_config_file` names; it holds the private key itself.

    Args:
      key: The server's private key, PEM.
      certificate: The server's certificate chain, PEM.
      authority: Certificates of the authority that clients must be signed by, PEM; without it
        any client is accepted.

    Raises:
      ValueError: A file is not PEM.
      OSError: A file cannot be read.
    """
    lines = [f"server_key: {_quoted(key)}", f"server_cert: {_quoted(certificate)}"]
    if authority is not None:
        lines += [f"custom_ca: {_quoted(authority)}", "client_verify: true"]
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """A PEM file's content as a string of protobuf text."""
    from google.protobuf import text_encoding

    text = path.read_text(encoding="utf-8", errors="replace")
    if _PEM not in text:
        raise ValueError(f"{path}: expected a PEM file, which starts with {_PEM}")
    return f'"{text_encoding.CEscape(text, as_utf8=False)}"'
