"""Certificates for tests, and the files in which servers and clients look for them."""

import ssl
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import trustme

_MOST_FLIGHTS = 10

PASSWORD = "wonder"
HASH = "$2b$04$abcdefghijklmnopqrstuuetGRvO6QNMBbbIoo5tpQkbPXg26U9Qu"
"""Of the password, at the least cost that there is."""


def write_server_files(directory: Path, authority: trustme.CA, *names: str) -> None:
    """Write `ca.pem`, and `server.pem` with `server.key` for a server of these names."""
    authority.cert_pem.write_to_path(directory / "ca.pem")
    write_pair(directory, "server", authority.issue_cert(*(names or ("localhost", "127.0.0.1"))))


def write_pair(directory: Path, name: str, issued: trustme.LeafCert) -> None:
    """Write a certificate to `name.pem` and its key to `name.key`."""
    certificate, *between = issued.cert_chain_pems
    (directory / f"{name}.pem").write_bytes(b"".join(part.bytes() for part in (certificate, *between)))
    issued.private_key_pem.write_to_path(directory / f"{name}.key")


def client_context(authority: trustme.CA, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Return what a client needs to trust a server, and to be trusted by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return context


class Agreed(NamedTuple):
    """What client and server agreed on."""

    version: str | None
    cipher: str
    certificate: bytes | None  # the server's
    protocol: str | None  # what is spoken inside, if the client offered several


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> Agreed:
    """Let both make a connection in memory.

    Raises:
        ssl.SSLError: One of them refuses.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    waiting = list(ends)
    for _ in range(_MOST_FLIGHTS):
        for end in tuple(waiting):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
    assert not waiting
    cipher = ends[0].cipher()
    return Agreed(
        ends[0].version(),
        cipher[0] if cipher else "",
        ends[0].getpeercert(binary_form=True),
        ends[0].selected_alpn_protocol(),
    )
