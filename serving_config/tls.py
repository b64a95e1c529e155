"""TLS of the gRPC port: `SSLConfig` as protobuf text."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_encoding

SSL_CONFIG = "ssl.config"
_PEM = "-----BEGIN "


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
    text = path.read_text(encoding="utf-8", errors="replace")
    if _PEM not in text:
        raise ValueError(f"{path}: expected a PEM file, which starts with {_PEM}")
    return f'"{text_encoding.CEscape(text, as_utf8=False)}"'
