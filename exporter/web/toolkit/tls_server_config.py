"""The part of the file about TLS: which files it names, what it asks for, and whether that can be."""

import ssl
from pathlib import Path
from typing import Final

from exporter.config.mistakes import Mistakes, Position
from exporter.config.validation import find
from exporter.config.value_types import one_of
from exporter.config.yaml_nodes import Node
from exporter.web.toolkit.model import TlsServerConfig
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.tls import CLIENT_AUTHENTICATION, NOT_POSSIBLE, TlsError, TlsSettings, server_context

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
