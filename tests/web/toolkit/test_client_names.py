"""Which names of a certificate count."""

import ssl

import pytest
import trustme

from exporter.web.toolkit.client_names import subject_names
from exporter.web.toolkit.tls import TlsSettings, server_context
from tests.support.certificates import client_context, shake_hands


def server(authority: trustme.CA, *allowed: str) -> ssl.SSLContext:
    """Return a server that lets in clients of these names."""
    issued = authority.issue_cert("localhost")
    return server_context(
        TlsSettings(
            certificate_pem=issued.cert_chain_pems[0].bytes(),
            key_pem=issued.private_key_pem.bytes(),
            client_authorities_pem=authority.cert_pem.bytes(),
            client_authentication=ssl.CERT_REQUIRED,
            client_allowed_names=frozenset(allowed),
        )
    )


@pytest.mark.parametrize(
    "name", ["prometheus.example.com", "*.example.com", "192.0.2.7", "2001:db8::7", "ops@example.com"]
)
def test_a_client_with_an_allowed_name_is_let_in(name: str, authority: trustme.CA) -> None:
    """Host names, IP addresses in their short form and addresses of mail count, each as it is written."""
    client = client_context(authority, authority.issue_cert("another.example.net", name))
    shake_hands(server(authority, "someone.example.com", name), client)


@pytest.mark.parametrize(
    "allowed", [(), ("example.com",), ("*.example.com",), ("PROMETHEUS.example.com",), ("prometheus",)]
)
def test_a_client_without_one_is_refused_by_the_handshake(allowed: tuple[str, ...], authority: trustme.CA) -> None:
    """Names are compared whole; there are no patterns, and the common name counts for nothing."""
    issued = authority.issue_cert("prometheus.example.com", common_name="prometheus")
    with pytest.raises(ssl.SSLCertVerificationError, match="no allowed name"):
        shake_hands(server(authority, *allowed), client_context(authority, issued))


def test_all_kinds_of_names_are_read() -> None:
    """URIs too; what is no name is none, and an IPv4 address in IPv6 is the former."""
    certificate = {
        "subject": ((("commonName", "common"),),),
        "subjectAltName": (
            ("DNS", "a.example.com"),
            ("email", "a@example.com"),
            ("URI", "spiffe://example.com/a"),
            ("IP Address", "192.0.2.7"),
            ("IP Address", "2001:DB8:0:0:0:0:0:7"),
            ("IP Address", "0:0:0:0:0:FFFF:C000:207"),
            ("IP Address", "<invalid>"),
            ("Registered ID", "1.2.3"),
            ("DirName", ((("commonName", "x"),),)),
        ),
    }
    assert list(subject_names(certificate)) == [
        "a.example.com",
        "a@example.com",
        "spiffe://example.com/a",
        "192.0.2.7",
        "2001:db8::7",
        "192.0.2.7",
        "<invalid>",
    ]
    assert list(subject_names({})) == []
