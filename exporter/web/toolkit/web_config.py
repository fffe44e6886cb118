"""From the file to what is in force: read strictly, every mistake with its place, nothing that the toolkit refuses."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from exporter.config.files import Files
from exporter.config.mistakes import Mistakes
from exporter.config.validation import find, validate
from exporter.config.value_types import one_of
from exporter.config.yaml_nodes import Mapping as MappingNode
from exporter.config.yaml_nodes import Node, Scalar, compose
from exporter.web.toolkit.go_names import parse_go_duration
from exporter.web.toolkit.headers import HEADERS, sendable
from exporter.web.toolkit.model import RateLimit, TlsServerConfig, WebConfigFile
from exporter.web.toolkit.rate_limit import Rate
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.tls_server_config import read_tls_server_config
from exporter.web.toolkit.users import is_bcrypt_hash


class WebConfig(Struct, frozen=True):
    """What is in force."""

    tls: ssl.SSLContext | None = None
    """None: plain HTTP."""
    asks_for_http2: bool = False
    """In so many words."""
    headers: Mapping[str, str] = {}
    """What every answer carries."""
    users: Mapping[bytes, str] = {}
    """Hashes by name; none: whoever comes is let in."""
    rate: Rate | None = None
    says_no_users: bool = False
    """In so many words: `basic_auth_users: {}`."""
    client_auth_type: str = ""
    """As in the file; empty: not there."""
    client_limits: frozenset[str] = frozenset()
    """Which of `client_ca` and `client_allowed_sans` limit the certificates of clients."""

    def __repr__(self) -> str:
        """Show nothing: it holds hashes of passwords."""
        return "WebConfig(…)"


def read_web_config(path: Path, seen: SeenFiles) -> WebConfig:
    """Return what a file says.

    Args:
        path: The file; relative paths in it start at its directory.
        seen: Is told which files are read, also where there are mistakes.

    Raises:
        ConfigError: With every mistake.
    """
    seen.look_at(path)
    files = Files(path.parent, {})
    mistakes = files.mistakes
    source = files.text(path)
    mistakes.raise_if_any()
    if source is None:
        return WebConfig()
    node = compose(source.text, file=source.file, file_order=0, mistakes=mistakes, may_be_empty=True)
    mistakes.raise_if_any()
    if node is None:
        return WebConfig()
    whole = validate(node, WebConfigFile, mistakes, directory=path.parent)
    _check_headers(node, mistakes)
    _check_users(node, mistakes)
    tls = _tls(node, path.parent, seen, mistakes)
    limit = RateLimit() if whole is None else whole.rate_limit
    rate = _rate(limit, find(node, ["rate_limit", "interval"]), mistakes)
    users = find(node, ["basic_auth_users"])
    mistakes.raise_if_any()
    return WebConfig(
        tls=tls,
        asks_for_http2=whole.http_server_config.http2 is True,
        headers={name: sendable(value) for name, value in whole.http_server_config.headers.items()},
        users={name.encode(): hashed for name, hashed in whole.basic_auth_users.items()},
        rate=rate,
        says_no_users=isinstance(users, MappingNode) and not users.pairs,
        client_auth_type=whole.tls_server_config.client_auth_type,
        client_limits=_client_limits(whole.tls_server_config),
    )


def _tls(root: Node, directory: Path, seen: SeenFiles, mistakes: Mistakes) -> ssl.SSLContext | None:
    """Return what the part about TLS asks for, whatever is wrong elsewhere in the file."""
    node = find(root, ["tls_server_config"])
    if not isinstance(node, MappingNode):
        return None
    config = validate(node, TlsServerConfig, Mistakes(), directory=directory)
    return None if config is None else read_tls_server_config(config, node, directory, seen, mistakes)


def _client_limits(config: TlsServerConfig) -> frozenset[str]:
    limits = {
        "client_ca": bool(config.client_ca or config.client_ca_file),
        "client_allowed_sans": config.client_allowed_sans is not None,
    }
    return frozenset(name for name, is_set in limits.items() if is_set)


def _check_users(root: Node, mistakes: Mistakes) -> None:
    """Note what can be no hash of a password; neither hash nor name is shown."""
    for _, value in _pairs(root, "basic_auth_users"):
        if isinstance(value, Scalar) and not is_bcrypt_hash(value.text):
            text = "no bcrypt hash, expected what `htpasswd -nBC 10 NAME` prints behind the name"
            mistakes.add(value.position, text)


def _check_headers(root: Node, mistakes: Mistakes) -> None:
    """Note headers that can't be set, and values that a header can't have."""
    for key, value in _pairs(root, "http_server_config", "headers"):
        if key.text not in HEADERS:
            text = f"the header {key.text[:40]!r} can't be set, expected {one_of(tuple(HEADERS))}"
            mistakes.add(key.position, text)
            continue
        choices = HEADERS[key.text]
        if choices and isinstance(value, Scalar) and value.text not in choices:
            mistakes.add(value.position, f"{key.text} is {value.text[:40]!r}, expected {one_of(choices)}")


def _pairs(root: Node, *location: str) -> tuple[tuple[Scalar, Node], ...]:
    """Return what is in a table; nothing if it is none."""
    node = find(root, location)
    return node.pairs if isinstance(node, MappingNode) else ()


def _rate(limit: RateLimit, interval: Node | None, mistakes: Mistakes) -> Rate | None:
    """Return how often requests may come; None: there is no limit."""
    try:
        seconds = _interval_seconds(limit.interval, interval)
    except ValueError:
        if interval is not None:
            mistakes.add(interval.position, "interval is no duration, expected one such as 100ms, 1s or 1m30s")
        return None
    return Rate(interval_seconds=seconds, burst=limit.burst) if seconds else None


def _interval_seconds(text: str, node: Node | None) -> float:
    """Read a duration; a whole number without quotes is nanoseconds, since Go holds durations so.

    Raises:
        ValueError: It is none.
    """
    if isinstance(node, Scalar) and node.plain and re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text) / 1e9
    return parse_go_duration(text)
