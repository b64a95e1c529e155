"""Certificates of two authorities that do not know each other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import trustme


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


class Files(NamedTuple):
    """PEM files of two authorities that do not know each other."""

    authority: Path
    other_authority: Path
    server: Pair
    client: Pair
    stranger: Pair


def make_files(folder: Path) -> Files:
    """Writes them into a folder."""

    def write(name: str, *blobs: trustme.Blob) -> Path:
        path = folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path

    def pair(name: str, authority: trustme.CA, *names: str) -> Pair:
        issued = authority.issue_cert(*names)
        certificate = write(f"{name}.pem", *issued.cert_chain_pems)
        return Pair(certificate, write(f"{name}.key", issued.private_key_pem))

    ours, other = trustme.CA(), trustme.CA()
    return Files(
        authority=write("authority.pem", ours.cert_pem),
        other_authority=write("other.pem", other.cert_pem),
        server=pair("server", ours, "localhost", "127.0.0.1", "rig"),
        client=pair("client", ours, "client@lab"),
        stranger=pair("stranger", other, "stranger@lab"),
    )
