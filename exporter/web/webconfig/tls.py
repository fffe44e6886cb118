"""`tls_server_config`: its keys, the names that it takes from Go, and the TLS context that it asks for."""

import ipaddress
import os
import re
import ssl
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

from exporter.config.section import Section, one_of
from exporter.config.value_types import AnySwitch, Choices
from exporter.core.regular_file import SeenFiles

CIPHER_SUITES: Final = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""OpenSSL's names; empty for TLS 1.3, whose suites are always on, in Go as here."""

CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

Version = Annotated[str, Choices(tuple(VERSIONS))]
CipherSuite = Annotated[str, Choices(tuple(CIPHER_SUITES))]
Curve = Annotated[str, Choices(tuple(CURVES))]


class TlsServerConfig(Section):
    """`tls_server_config`. A file takes precedence over a text; an empty text counts as absent."""

    cert: str = ""
    cert_file: str = ""
    key: str = ""
    key_file: str = ""
    client_ca: str = ""
    client_ca_file: str = ""
    client_auth_type: str = ""
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[CipherSuite, ...] = ()
    prefer_server_cipher_suites: AnySwitch = True
    curve_preferences: tuple[Curve, ...] = ()

    def __repr__(self) -> str:
        """Hide the private key."""
        return "TlsServerConfig(…)"

    @property
    def enabled(self) -> bool:
        """Whether TLS is asked for, complete or not."""
        certificates = self.cert or self.cert_file or self.key or self.key_file
        return bool(certificates or self.client_ca or self.client_ca_file or self.client_auth_type)


def handshake_that_asks_for(allowed: Collection[str]) -> type[ssl.SSLObject]:
    """Return a class for `sslobject_class` whose handshake fails for clients without an allowed name."""

    class NamedClientConnection(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            if not set(allowed).intersection(subject_names(self.getpeercert() or {})):
                raise ssl.SSLCertVerificationError("the client's certificate has no allowed name")

    return NamedClientConnection


def subject_names(certificate: dict[str, Any]) -> Iterator[str]:
    """Return the DNS names, mail addresses, IP addresses and URIs of a certificate from `getpeercert`."""
    for kind, name in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            yield _address(name)
        elif kind in {"DNS", "email", "URI"}:
            yield name


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)


CLIENT_AUTHENTICATION: Final = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
NOT_POSSIBLE: Final = frozenset({"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"})
"""Types for certificates that are not verified, which Python can't request."""

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n.*?-----END CERTIFICATE-----", re.DOTALL)
_OLD_VERSIONS: Final = frozenset({"TLS10", "TLS11"})


class TlsError(Exception):
    """The TLS configuration can't be used because of `key`; `text` says what was expected."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def server_context(
    config: TlsServerConfig, certificate: bytes, key: bytes, authorities: bytes | None = None
) -> ssl.SSLContext:
    """Return a server's context from PEM; `authorities` None: the system's. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    _set_versions_and_ciphers(context, config)
    _set_curve(context, config.curve_preferences)
    _load_certificate(context, certificate, key)
    context.verify_mode = CLIENT_AUTHENTICATION[config.client_auth_type]
    if context.verify_mode is not ssl.CERT_NONE:
        _trust(context, authorities)
    if config.client_allowed_sans is not None:
        context.sslobject_class = handshake_that_asks_for(config.client_allowed_sans)
    return context


def _set_versions_and_ciphers(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    lowest, highest = VERSIONS[config.min_version], VERSIONS[config.max_version]
    if lowest > highest:
        raise TlsError("min_version", "min_version is above max_version, expected at most that: nobody could connect")
    chosen = [CIPHER_SUITES[name] for name in config.cipher_suites if CIPHER_SUITES[name]]
    if config.cipher_suites and not chosen:
        lowest = VERSIONS["TLS13"]
        if highest < lowest:
            raise TlsError("cipher_suites", "cipher_suites are all of TLS 1.3, expected one of TLS 1.2")
    ciphers = ":".join(chosen) or "DEFAULT"
    if config.min_version in _OLD_VERSIONS:
        # Their signatures are weaker than what OpenSSL takes by itself.
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    elif chosen:
        context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        # Python warns of old versions; here they are asked for by name.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = lowest
        context.maximum_version = highest
    if config.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE


def _set_curve(context: ssl.SSLContext, curves: tuple[str, ...]) -> None:
    distinct = tuple(dict.fromkeys(curves))
    if len(distinct) > 1:
        raise TlsError("curve_preferences", "curve_preferences are several, expected one: Python can't set more")
    if distinct:
        try:
            context.set_ecdh_curve(CURVES[distinct[0]])
        except (ValueError, ssl.SSLError):
            raise TlsError(
                "curve_preferences", f"this Python can't set {distinct[0]}, expected another one of {', '.join(CURVES)}"
            ) from None


def _load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with _as_file(certificate) as certificate_path, _as_file(key) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, password=_refuse_passphrase)
        except ssl.SSLError as error:
            reason = f" ({error.reason.replace('_', ' ').lower()})" if error.reason else ""
            raise TlsError("cert", f"certificate and key can't be used{reason}, expected a pair in PEM") from None


def _refuse_passphrase() -> NoReturn:
    """Answer OpenSSL, which would otherwise ask on the terminal."""
    raise TlsError("key", "the key is encrypted, expected one without a passphrase")


def _trust(context: ssl.SSLContext, authorities_pem: bytes | None) -> None:
    """Trust authorities; unusable certificates among them are skipped, as in Go."""
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # each of them by itself is trusted, as in Go
    if authorities_pem is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    for certificate in _CERTIFICATE.findall(authorities_pem):
        try:
            context.load_verify_locations(cadata=ssl.PEM_cert_to_DER_cert(certificate.decode("ascii")))
        except (ssl.SSLError, ValueError):
            continue


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give bytes a path for OpenSSL, in memory where possible, so that no key is left on disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "pem")
        path.write_bytes(content)
        yield str(path)


_POSSIBLE: Final = tuple(name for name in CLIENT_AUTHENTICATION if name)


def read_tls_server_config(
    config: TlsServerConfig, directory: Path, seen: SeenFiles, found: list[tuple[str, str]]
) -> ssl.SSLContext | None:
    """Return the context; None without TLS, or where `found` gets mistakes: a key or nothing, and a sentence."""
    if not config.enabled:
        return None

    def pem(key: str) -> bytes | None:
        name = getattr(config, f"{key}_file")
        if not name:
            text = getattr(config, key)
            if not text and key != "client_ca":
                found.append(("", f"neither {key} nor {key}_file, expected one of them for TLS"))
            return text.encode() if text else None
        path = directory / name
        try:
            return seen.read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no name that a file can have"
            found.append((f"{key}_file", f"{key}_file {str(path)!r} can't be read ({reason}), expected a PEM file"))
            return None

    certificate, key, authorities = map(pem, ("cert", "key", "client_ca"))
    found += _client_problems(config)
    if certificate is None or key is None or config.client_auth_type not in CLIENT_AUTHENTICATION:
        return None
    try:
        return server_context(config, certificate, key, authorities)
    except TlsError as error:
        is_file = getattr(config, f"{error.key}_file", "")
        found.append((f"{error.key}_file" if is_file else error.key, str(error)))
        return None


def _client_problems(config: TlsServerConfig) -> Iterator[tuple[str, str]]:
    name = config.client_auth_type
    if name in NOT_POSSIBLE:
        text = f"client_auth_type {name} asks for certificates that nobody verifies, which Python can't do"
        yield "client_auth_type", f"{text}, expected {one_of(_POSSIBLE)}"
    elif name not in CLIENT_AUTHENTICATION:
        yield "client_auth_type", f"client_auth_type is {name[:40]!r}, expected {one_of(_POSSIBLE)}"
    else:
        authentication, asked = CLIENT_AUTHENTICATION[name], f"client_auth_type {name or 'NoClientCert'}"
        if authentication is ssl.CERT_NONE and (config.client_ca or config.client_ca_file):
            key = "client_ca_file" if config.client_ca_file else "client_ca"
            yield key, f"client_ca with {asked}, expected VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        if authentication is not ssl.CERT_REQUIRED and config.client_allowed_sans is not None:
            text = f"client_allowed_sans with {asked}, expected RequireAndVerifyClientCert"
            yield "client_allowed_sans", text
