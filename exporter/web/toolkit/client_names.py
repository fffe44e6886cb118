"""Which clients may connect, by the names that their certificates carry."""

import ipaddress
import ssl
from collections.abc import Collection, Iterator
from typing import Any


def handshake_that_asks_for(allowed: Collection[str]) -> type[ssl.SSLObject]:
    """Return the kind of connection whose handshake fails for a client without any of the allowed names.

    For the `sslobject_class` of a context that verifies clients.
    """

    class NamedClientConnection(ssl.SSLObject):
        """Fails where verification alone would not."""

        def do_handshake(self) -> None:
            """Perform the handshake as far as what has arrived allows.

            Raises:
                SSLError: It failed, or waits for more.
            """
            super().do_handshake()
            if not set(allowed).intersection(subject_names(self.getpeercert() or {})):
                raise ssl.SSLCertVerificationError("the client's certificate has no allowed name")

    return NamedClientConnection


def subject_names(certificate: dict[str, Any]) -> Iterator[str]:
    """Return the DNS names, addresses of mail, IP addresses and URIs that a certificate is for.

    Args:
        certificate: As `getpeercert` returns it.
    """
    for kind, name in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            yield _address(name)
        elif kind in {"DNS", "email", "URI"}:
            yield name


def _address(text: str) -> str:
    """Return an IP address in its short form; Python's `ssl` gives IPv6 in a long one of its own."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)
