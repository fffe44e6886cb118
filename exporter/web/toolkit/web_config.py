"""From the file to what is in force: read strictly, every mistake with its place, nothing that the toolkit refuses."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from exporter.config.draft import Draft
from exporter.config.files import Files
from exporter.config.mistakes import Mistakes
from exporter.config.reader import Reader
from exporter.config.shapes import Shape
from exporter.config.values import one_of
from exporter.config.yaml_nodes import Mapping as MappingNode
from exporter.config.yaml_nodes import Node, Scalar, compose
from exporter.web.toolkit.go_names import parse_go_duration
from exporter.web.toolkit.headers import HEADERS, sendable
from exporter.web.toolkit.model import RateLimit, WebConfigFile
from exporter.web.toolkit.rate_limit import Rate
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.tls_server_config import read_tls_server_config
from exporter.web.toolkit.users import is_bcrypt_hash

_FILE: Final = Shape(kind="mapping", structs=(WebConfigFile,))


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
    draft = Reader(directory=path.parent, environ=None, mistakes=mistakes).read(node, _FILE, "the file")
    config = _checked(draft, path.parent, seen, mistakes) if isinstance(draft, Draft) else WebConfig()
    mistakes.raise_if_any()
    return config


def _checked(draft: Draft, directory: Path, seen: SeenFiles, mistakes: Mistakes) -> WebConfig:
    """Check what follows from several keys; the result counts only if there was no mistake."""
    http = draft.draft("http_server_config")
    if http is not None:
        _check_headers(http, mistakes)
    _check_users(draft, mistakes)
    tls = draft.draft("tls_server_config")
    context = None if tls is None else read_tls_server_config(tls, directory, seen, mistakes)
    limit = draft.draft("rate_limit")
    rate = None if limit is None else _rate(limit, mistakes)
    mistakes.raise_if_any()
    whole = cast("WebConfigFile", draft.build())
    return WebConfig(
        tls=context,
        asks_for_http2=whole.http_server_config.http2 is True,
        headers={name: sendable(value) for name, value in whole.http_server_config.headers.items()},
        users={name.encode(): hashed for name, hashed in whole.basic_auth_users.items()},
        rate=rate,
    )


def _check_users(draft: Draft, mistakes: Mistakes) -> None:
    """Note what can be no hash of a password; neither hash nor name is shown."""
    for _, value in _pairs(draft, "basic_auth_users"):
        if isinstance(value, Scalar) and not is_bcrypt_hash(value.text):
            text = "no bcrypt hash, expected what `htpasswd -nBC 10 NAME` prints behind the name"
            mistakes.add(value.position, text)


def _check_headers(http: Draft, mistakes: Mistakes) -> None:
    """Note headers that can't be set, and values that a header can't have."""
    for key, value in _pairs(http, "headers"):
        if key.text not in HEADERS:
            text = f"the header {key.text[:40]!r} can't be set, expected {one_of(tuple(HEADERS))}"
            mistakes.add(key.position, text)
            continue
        choices = HEADERS[key.text]
        if choices and isinstance(value, Scalar) and value.text not in choices:
            mistakes.add(value.position, f"{key.text} is {value.text[:40]!r}, expected {one_of(choices)}")


def _pairs(draft: Draft, attribute: str) -> tuple[tuple[Scalar, Node], ...]:
    """Return what stands in a table; nothing if it is none."""
    node = draft.nodes.get(attribute)
    return node.pairs if isinstance(node, MappingNode) else ()


def _rate(limit: Draft, mistakes: Mistakes) -> Rate | None:
    """Return how often requests may come; None: as often as they like."""
    read = cast("RateLimit", limit.build()) if limit.complete else RateLimit()
    try:
        seconds = _interval_seconds(read.interval, limit.nodes.get("interval"))
    except ValueError:
        text = "interval is no duration, expected one such as 100ms, 1s or 1m30s"
        mistakes.add(limit.place("interval"), text)
        return None
    return Rate(interval_seconds=seconds, burst=read.burst) if seconds else None


def _interval_seconds(text: str, node: Node | None) -> float:
    """Read a duration; a whole number without quotes is nanoseconds, since Go holds durations so.

    Raises:
        ValueError: It is none.
    """
    if isinstance(node, Scalar) and node.plain and re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return int(text) / 1e9
    return parse_go_duration(text)
