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

from msgspec import Struct

from exporter.config.mistakes import Mistakes, Position
from exporter.config.validation import find
from exporter.config.value_types import one_of
from exporter.config.yaml_nodes import Node
from exporter.web.webconfig.seen_files import SeenFiles
from exporter.web.webconfig.web_config_model import CIPHER_SUITES, CURVES, VERSIONS, TlsServerConfig


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


CLIENT_AUTHENTICATION: Final = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
NOT_POSSIBLE: Final = frozenset({"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"})
"""What the toolkit knows beside that: certificates that nobody verifies, which Python can't ask for."""

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n.*?-----END CERTIFICATE-----", re.DOTALL)
_OLD_VERSIONS: Final = frozenset({"TLS10", "TLS11"})
_TLS_1_3: Final = ("TLS13",)


class TlsError(Exception):
    """What the file asks for can't be done.

    Args:
        key: Which key of `tls_server_config` is at fault.
        text: What is wrong, and what was expected instead.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class TlsSettings(Struct, frozen=True, kw_only=True):
    """What a context is made of; the names are Go's."""

    certificate_pem: bytes
    """The server's certificate, then those between it and its authority."""
    key_pem: bytes
    client_authorities_pem: bytes | None = None
    """None: the system's authorities, as in Go; without a certificate in it: nobody is trusted."""
    client_authentication: ssl.VerifyMode = ssl.CERT_NONE
    client_allowed_names: frozenset[str] | None = None
    """None: whoever the authorities vouch for."""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    """Of versions up to 1.2; none: Python's choice."""
    server_chooses_cipher: bool = True
    curves: tuple[str, ...] = ()
    """None: OpenSSL's choice."""

    def __repr__(self) -> str:
        """Show nothing: it holds a private key."""
        return "TlsSettings(…)"


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a context for connections that clients open.

    Raises:
        TlsError: Certificate and key are no pair or can't be used, or the settings can't be met.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    _set_versions_and_ciphers(context, settings)
    _set_curve(context, settings.curves)
    _load_certificate(context, settings)
    context.verify_mode = settings.client_authentication
    if settings.client_authentication is not ssl.CERT_NONE:
        _trust(context, settings.client_authorities_pem)
    if settings.client_allowed_names is not None:
        context.sslobject_class = handshake_that_asks_for(settings.client_allowed_names)
    return context


def _set_versions_and_ciphers(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Choose what a handshake may agree on."""
    lowest, highest = VERSIONS[settings.min_version], VERSIONS[settings.max_version]
    if lowest > highest:
        raise TlsError("min_version", "min_version is above max_version, expected at most that: nobody could connect")
    chosen = [CIPHER_SUITES[name] for name in settings.cipher_suites if CIPHER_SUITES[name]]
    if settings.cipher_suites and not chosen:
        lowest = VERSIONS["TLS13"]
        if highest < lowest:
            raise TlsError("cipher_suites", "cipher_suites are all of TLS 1.3, expected one of TLS 1.2")
    ciphers = ":".join(chosen) or "DEFAULT"
    if settings.min_version in _OLD_VERSIONS:
        # Their signatures are weaker than what OpenSSL takes by itself.
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    elif chosen:
        context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        # Python warns of old versions; here they are asked for by name.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = lowest
        context.maximum_version = highest
    if settings.server_chooses_cipher:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE


def _set_curve(context: ssl.SSLContext, curves: tuple[str, ...]) -> None:
    """Choose the curve of key exchange."""
    distinct = tuple(dict.fromkeys(curves))
    if len(distinct) > 1:
        raise TlsError("curve_preferences", "curve_preferences are several, expected one: Python can't set more")
    if distinct:
        context.set_ecdh_curve(CURVES[distinct[0]])


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Load what the server shows, and the key that proves it."""
    with _as_file(settings.certificate_pem) as certificate, _as_file(settings.key_pem) as key:
        try:
            context.load_cert_chain(certificate, key, password=_refuse_passphrase)
        except ssl.SSLError as error:
            reason = f" ({error.reason.replace('_', ' ').lower()})" if error.reason else ""
            raise TlsError("cert", f"certificate and key can't be used{reason}, expected a pair in PEM") from None


def _refuse_passphrase() -> NoReturn:
    """Answer OpenSSL, which would else ask whoever sits at the terminal."""
    raise TlsError("key", "the key is encrypted, expected one without a passphrase")


def _trust(context: ssl.SSLContext, authorities_pem: bytes | None) -> None:
    """Choose who vouches for clients; what is in the file but no usable certificate is passed over, as in Go."""
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
    """Give bytes a name for as long as it takes to read them: OpenSSL reads certificates from files alone.

    In memory where there is such a thing, so that a read-only file system is no obstacle and no key is left on a disk.
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
    """Return a context that does what is asked for; None if nothing is, or where a mistake is noted.

    Args:
        config: What `tls_server_config` says.
        node: Where it says so.
        directory: Where relative paths start.
        seen: Reads the files.
        mistakes: Is told what is wrong.
    """
    if not config.enabled:
        return None
    parts = _Parts(node, config, directory, seen, mistakes)
    certificate, key, authorities = parts.pem("cert"), parts.pem("key"), parts.pem("client_ca", required=False)
    authentication = _client_authentication(node, config, mistakes)
    if certificate is None or key is None or authentication is None:
        return None
    names = config.client_allowed_sans
    settings = TlsSettings(
        certificate_pem=certificate,
        key_pem=key,
        client_authorities_pem=authorities,
        client_authentication=authentication,
        client_allowed_names=None if names is None else frozenset(names),
        min_version=config.min_version,
        max_version=config.max_version,
        cipher_suites=config.cipher_suites,
        server_chooses_cipher=config.prefer_server_cipher_suites,
        curves=config.curve_preferences,
    )
    try:
        return server_context(settings)
    except TlsError as error:
        mistakes.add(parts.place(error.key), str(error))
        return None


class _Parts:
    """What stands in the file itself, or in a file that it names."""

    def __init__(
        self, node: Node, config: TlsServerConfig, directory: Path, seen: SeenFiles, mistakes: Mistakes
    ) -> None:
        self._node = node
        self._config = config
        self._directory = directory
        self._seen = seen
        self._mistakes = mistakes

    def pem(self, key: str, *, required: bool = True) -> bytes | None:
        """Return what a key or its file holds; None if neither is given, or with the mistake noted."""
        text, name = getattr(self._config, key), getattr(self._config, f"{key}_file")
        if not name:
            if not text and required:
                self._mistakes.add(self._node.position, f"neither {key} nor {key}_file, expected one of them for TLS")
            return text.encode() if text else None
        path = self._directory / name
        try:
            return self._seen.read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no name that a file can have"
            text = f"{key}_file {str(path)!r} can't be read ({reason}), expected a PEM file"
            self._mistakes.add(_place(self._node, f"{key}_file"), text)
            return None

    def place(self, key: str) -> Position:
        """Return where a key or its file stands, whichever counts."""
        return _place(self._node, f"{key}_file" if getattr(self._config, f"{key}_file", "") else key)


def _client_authentication(node: Node, config: TlsServerConfig, mistakes: Mistakes) -> ssl.VerifyMode | None:
    """Return what is asked of clients; None with the mistake noted."""
    name = config.client_auth_type
    place = _place(node, "client_auth_type")
    if name in NOT_POSSIBLE:
        text = f"client_auth_type {name} asks for certificates that nobody verifies, which Python can't do"
        mistakes.add(place, f"{text}, expected {one_of(_POSSIBLE)}")
        return None
    if name not in CLIENT_AUTHENTICATION:
        mistakes.add(place, f"client_auth_type is {name[:40]!r}, expected {one_of(_POSSIBLE)}")
        return None
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
    return authentication


def _place(node: Node, key: str) -> Position:
    """Return where a key's value is; the mapping's own place where it is left out."""
    return (find(node, [key]) or node).position
