"""TLS as the file asks for it, where `test_node_exporter.py` does not compare what clients get."""

import ssl
from contextlib import nullcontext
from typing import Any

import pytest
import trustme

from exporter.web.webconfig.tls import CURVES, TlsError, TlsServerConfig, server_context, subject_names
from tests.support.certificates import client_context, shake_hands

REQUIRED = "RequireAndVerifyClientCert"


@pytest.fixture(scope="module")
def issued(authority: trustme.CA) -> trustme.LeafCert:
    """The server's certificate."""
    return authority.issue_cert("localhost")


def context(issued: trustme.LeafCert, authorities: bytes | None = None, **config: Any) -> ssl.SSLContext:
    """Return the context of a server with a certificate."""
    certificate, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
    return server_context(TlsServerConfig(**config), certificate, key, authorities)


def test_who_offers_http2_gets_http1(authority: trustme.CA, issued: trustme.LeafCert) -> None:
    """Clients learn in the handshake that it is HTTP/1.1; one that speaks HTTP/2 alone is not cut off by it."""
    client = client_context(authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(context(issued), client).protocol == "http/1.1"
    client.set_alpn_protocols(["h2"])
    assert shake_hands(context(issued), client).protocol is None


@pytest.mark.parametrize(("server_chooses", "agreed"), [(True, "AES256"), (False, "AES128")])
def test_who_prefers_a_cipher(
    server_chooses: bool, agreed: str, authority: trustme.CA, issued: trustme.LeafCert
) -> None:
    """The order of the server counts, or that of the client."""
    server = context(
        issued,
        cipher_suites=("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        prefer_server_cipher_suites=server_chooses,
    )
    ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    client = client_context(authority)
    client.set_ciphers(ciphers)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert agreed in shake_hands(server, client).cipher


@pytest.mark.parametrize("curve", CURVES)
def test_each_curve_is_used_or_refused(curve: str, authority: trustme.CA, issued: trustme.LeafCert) -> None:
    """What this Python can't set, as Debian 12's can't X25519, is an error of the key; all others are used."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(CURVES[curve])
    except ssl.SSLError:
        with pytest.raises(TlsError, match=f"can't set {curve}"):
            context(issued, curve_preferences=(curve,))
    else:
        shake_hands(context(issued, curve_preferences=(curve, curve)), client_context(authority))


def test_a_curve_that_can_not_be_set_is_refused(issued: trustme.LeafCert, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenSSL without the curve is an error of the key, not of the program."""
    monkeypatch.setitem(CURVES, "X25519", "unheard-of")
    with pytest.raises(TlsError) as refused:
        context(issued, curve_preferences=("X25519",))
    assert refused.value.key == "curve_preferences"


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b"-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----\n",
    ],
)
def test_authorities_that_are_none_vouch_for_nobody(
    junk: bytes, authority: trustme.CA, issued: trustme.LeafCert
) -> None:
    """As in Go, a file without a usable certificate is no mistake, and lets nobody in; it does a good one no harm."""
    server = context(issued, client_auth_type=REQUIRED, authorities=junk)
    client = client_context(authority, authority.issue_cert("client"))
    with pytest.raises(ssl.SSLError):
        shake_hands(server, client)
    pem = b"# mine\n" + junk + authority.cert_pem.bytes().replace(b"\n", b"\r\n") + junk
    shake_hands(context(issued, client_auth_type=REQUIRED, authorities=pem), client)


def server(authority: trustme.CA, *allowed: str) -> ssl.SSLContext:
    """Return a server that lets in clients of these names."""
    pem, issued = authority.cert_pem.bytes(), authority.issue_cert("localhost")
    return context(issued, pem, client_auth_type=REQUIRED, client_allowed_sans=allowed)


NAMES = ("prometheus.example.com", "*.example.com", "192.0.2.7", "2001:db8::7", "ops@example.com")


@pytest.mark.parametrize(
    ("name", "allowed", "is_let_in"),
    [
        *((name, ("someone.example.com", name), True) for name in NAMES),
        (NAMES[0], (), False),
        *((NAMES[0], (other,), False) for other in ("example.com", "*.example.com", NAMES[0].upper(), "prometheus")),
    ],
)
def test_clients_are_let_in_by_their_names(
    name: str, allowed: tuple[str, ...], authority: trustme.CA, *, is_let_in: bool
) -> None:
    """Host names, IP addresses in their short form and addresses of mail count, each as it is written and whole.

    One of several names suffices. There are no patterns, and the common name counts for nothing.
    """
    client = client_context(authority, authority.issue_cert("another.example.net", name, common_name="prometheus"))
    refused = nullcontext() if is_let_in else pytest.raises(ssl.SSLCertVerificationError, match="no allowed name")
    with refused:
        shake_hands(server(authority, *allowed), client)


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


def test_a_configuration_shows_no_key() -> None:
    """A representation, which a traceback might show, holds no key."""
    assert "PRIVATE" not in repr(TlsServerConfig(key="PRIVATE"))
