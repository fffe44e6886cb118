"""From `tls_server_config` to a TLS context."""

import ipaddress
import os
import re
import ssl
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from exporter.config.mistakes import Mistakes, Position
from exporter.config.section import one_of
from exporter.config.validation import find
from exporter.config.yaml_nodes import Node
from exporter.core.regular_file import SeenFiles
from exporter.web.webconfig.web_config_model import CIPHER_SUITES, CURVES, VERSIONS, TlsServerConfig


def handshake_that_asks_for(allowed: Collection[str]) -> type[ssl.SSLObject]:
    """Return a class for `sslobject_class` whose handshake fails for clients without an allowed name."""

    class NamedClientConnection(ssl.SSLObject):
        def do_handshake(self) -> None:
            """Perform the handshake as far as possible; raises SSLError if it failed or waits for data."""
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
    """Return an IP address in its short form, unlike Python's `ssl`."""
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
    """Return a context for a server, from PEM; `authorities` vouch for clients, None: the system's, as in Go.

    Raises TlsError if something can't be used.
    """
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
    """Give bytes a path, since OpenSSL reads certificates only from files.

    In memory where possible, so that it works on a read-only file system and leaves no key on disk.
    """
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
    config: TlsServerConfig, node: Node, directory: Path, seen: SeenFiles, mistakes: Mistakes
) -> ssl.SSLContext | None:
    """Return the context that `tls_server_config` asks for; None without TLS, or after adding to `mistakes`."""
    if not config.enabled:
        return None

    def pem(key: str) -> bytes | None:
        """Return the content of a key or its file, a path from `directory`; None if there is none."""
        name = getattr(config, f"{key}_file")
        if not name:
            text = getattr(config, key)
            if not text and key != "client_ca":
                mistakes.add(node.position, f"neither {key} nor {key}_file, expected one of them for TLS")
            return text.encode() if text else None
        path = directory / name
        try:
            return seen.read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no name that a file can have"
            text = f"{key}_file {str(path)!r} can't be read ({reason}), expected a PEM file"
            mistakes.add(_place(node, f"{key}_file"), text)
            return None

    certificate, key, authorities = map(pem, ("cert", "key", "client_ca"))
    if not _can_authenticate_clients(node, config, mistakes) or certificate is None or key is None:
        return None
    try:
        return server_context(config, certificate, key, authorities)
    except TlsError as error:
        named = f"{error.key}_file" if getattr(config, f"{error.key}_file", "") else error.key
        mistakes.add(_place(node, named), str(error))
        return None


def _can_authenticate_clients(node: Node, config: TlsServerConfig, mistakes: Mistakes) -> bool:
    """Whether the type of client authentication is possible; what is wrong with it is added to `mistakes`."""
    name = config.client_auth_type
    place = _place(node, "client_auth_type")
    if name in NOT_POSSIBLE:
        text = f"client_auth_type {name} asks for certificates that nobody verifies, which Python can't do"
        mistakes.add(place, f"{text}, expected {one_of(_POSSIBLE)}")
        return False
    if name not in CLIENT_AUTHENTICATION:
        mistakes.add(place, f"client_auth_type is {name[:40]!r}, expected {one_of(_POSSIBLE)}")
        return False
    authentication = CLIENT_AUTHENTICATION[name]
    if authentication is ssl.CERT_NONE and (config.client_ca or config.client_ca_file):
        asked = f"client_auth_type {name or 'NoClientCert'}"
        text = f"client_ca with {asked}, expected VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        mistakes.add(_place(node, "client_ca_file" if config.client_ca_file else "client_ca"), text)
    if authentication is not ssl.CERT_REQUIRED and config.client_allowed_sans is not None:
        text = (
            f"client_allowed_sans with client_auth_type {name or 'NoClientCert'}, expected RequireAndVerifyClientCert"
        )
        mistakes.add(_place(node, "client_allowed_sans"), text)
    return True


def _place(node: Node, key: str) -> Position:
    """Return the position of a key's value, or of the mapping without it."""
    return (find(node, [key]) or node).position
