"""The web configuration: read strictly, every mistake with its place, and followed when its files change."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import structlog
from msgspec import Struct
from pydantic import BeforeValidator

from exporter.config.files import Files
from exporter.config.mistakes import ConfigError, Mistakes, Position
from exporter.config.section import Section, about, one_of
from exporter.config.validation import find, place_of, validate
from exporter.config.value_types import AnySwitch, Expected, SkipEmpty, Text, Whole
from exporter.config.yaml_nodes import Mapping as MappingNode
from exporter.config.yaml_nodes import Node, Scalar
from exporter.core.regular_file import SeenFiles
from exporter.core.threads import Worker
from exporter.web.webconfig.tls import TlsServerConfig, read_tls_server_config
from exporter.web.webconfig.users import is_bcrypt_hash

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"([0-9]{1,19}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(ns|us|µs|μs|ms|s|m|h)")
_MOST_NANOSECONDS: Final = 2**63 - 1


def parse_go_duration(text: str) -> float:
    """Return the seconds of a duration such as `1s`, `1.5h`, `1h30m`, `-100ms` or `0`; raises ValueError."""
    unsigned = text[1:] if text[:1] in {"+", "-"} else text
    if unsigned == "0":
        return 0.0
    total, end = Decimal(), 0
    while part := _PART.match(unsigned, end):
        total += Decimal(part[1]) * _NANOSECONDS[part[2]]
        end = part.end()
    if end != len(unsigned) or not unsigned or total > _MOST_NANOSECONDS:
        raise ValueError("no duration")
    return float(total) / 1e9 * (-1 if text[0] == "-" else 1)


def _interval(value: object) -> object:
    """Read a duration; a plain integer is nanoseconds, as in Go."""
    if not isinstance(value, Text):
        return value
    is_number = value.plain and re.fullmatch(r"[-+]?[0-9]{1,18}", value)
    return int(value) / 1e9 if is_number else parse_go_duration(value)


Interval = Annotated[float, BeforeValidator(_interval), Expected("a duration such as 100ms, 1s or 1m30s")]

HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""Allowed values; empty: any."""

_NOT_SENDABLE: Final = re.compile("[\x00-\x08\n-\x1f\x7f]")


def sendable(value: str) -> str:
    """Return a header's value in one line, as Go does."""
    return _NOT_SENDABLE.sub(" ", value).strip()


class HttpServerConfig(Section):
    """`http_server_config`."""

    http2: AnySwitch | None = None
    headers: Annotated[Mapping[str, str], SkipEmpty] = {}


class RateLimit(Section):
    """`rate_limit`: how often requests are admitted."""

    interval_seconds: Annotated[Interval, about("Between two requests; 0 or less: unlimited.", alias="interval")] = 0.0
    burst: Annotated[Whole, about("Requests without delay after a pause; 0 or less: none ever.")] = 0


class WebConfigFile(Section):
    """The whole file."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Annotated[Mapping[str, str], SkipEmpty] = {}  # hashes by name
    rate_limit: RateLimit = RateLimit()

    def __repr__(self) -> str:
        """Hide the hashes."""
        return "WebConfigFile(…)"


_GUARDS: Final = {
    "basic_auth_users": "`basic_auth_users: {}` to let everyone in without a password",
    "tls_server_config": "`tls_server_config: {}` to serve plain HTTP",
    **dict.fromkeys(("cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file"), "a value"),
    **dict.fromkeys(("client_auth_type", "client_allowed_sans"), "a value"),
}
"""Keys that keep somebody out, with what to write in place of nothing."""


class WebConfig(Struct, frozen=True):
    """A web configuration that was read."""

    keys: WebConfigFile
    tls: ssl.SSLContext | None  # None: plain HTTP
    headers: Mapping[str, str]
    users: Mapping[bytes, str]  # hashes by name; empty: no authentication

    @property
    def rate(self) -> RateLimit:
        """How often requests are admitted."""
        return self.keys.rate_limit

    @property
    def client_limits(self) -> Sequence[str]:
        """Which limits of client certificates are given, beside their type."""
        given = self.keys.tls_server_config
        limits = {
            "client_allowed_sans": given.client_allowed_sans is not None,
            "client_ca": given.client_ca or given.client_ca_file,
        }
        return [name for name, is_given in limits.items() if is_given]

    def __repr__(self) -> str:
        """Hide the hashes."""
        return "WebConfig(…)"


def read_web_config(path: Path, seen: SeenFiles) -> WebConfig:
    """Read a file; `seen` gets all files that were read. Raises ConfigError with every mistake."""
    seen.look_at(path)
    files = Files(path.parent, {})
    mistakes = files.mistakes
    node = files.node(path)
    mistakes.raise_if_any()
    assert node is not None  # noqa: S101 - without mistakes there is one
    keys = validate(node, WebConfigFile, mistakes, directory=path.parent)
    for place, text in _problems(node):
        mistakes.add(place, text)
    tls = _tls(node, path.parent, seen, mistakes)
    mistakes.raise_if_any()
    return WebConfig(
        keys=keys,
        tls=tls,
        headers={name: sendable(value) for name, value in keys.http_server_config.headers.items()},
        users={name.encode(): hashed for name, hashed in keys.basic_auth_users.items()},
    )


def _tls(root: Node, directory: Path, seen: SeenFiles, mistakes: Mistakes) -> ssl.SSLContext | None:
    node = find(root, ["tls_server_config"])
    if not isinstance(node, MappingNode):
        return None
    config = validate(node, TlsServerConfig, Mistakes(), directory=directory)
    found: list[tuple[str, str]] = []
    tls = None if config is None else read_tls_server_config(config, directory, seen, found)
    for key, text in found:
        mistakes.add(place_of(node, key), text)
    return tls


def _problems(root: Node) -> Iterator[tuple[Position, str]]:
    """Yield mistakes in headers, in hashes, which are not shown, and in keys whose missing value would let more in."""
    for key, value in _pairs(root, "http_server_config", "headers"):
        choices = HEADERS.get(key.text)
        if choices is None:
            yield key.position, f"the header {key.text[:40]!r} can't be set, expected {one_of(tuple(HEADERS))}"
        elif choices and isinstance(value, Scalar) and value.text not in choices:
            yield value.position, f"{key.text} is {value.text[:40]!r}, expected {one_of(choices)}"
    for _, value in _pairs(root, "basic_auth_users"):
        if isinstance(value, Scalar) and not is_bcrypt_hash(value.text):
            yield value.position, "no bcrypt hash, expected what `htpasswd -nBC 10 NAME` prints behind the name"
    for key, value in (*_pairs(root), *_pairs(root, "tls_server_config")):
        if key.text in _GUARDS and isinstance(value, Scalar) and value.is_null:
            yield key.position, f"{key.text} has no value: write {_GUARDS[key.text]}, or remove the key"


def _pairs(root: Node, *location: str) -> tuple[tuple[Scalar, Node], ...]:
    node = find(root, location)
    return node.pairs if isinstance(node, MappingNode) else ()


_NO_CERTIFICATES: Final = ("", "NoClientCert")


class FollowedWebConfig:
    """The last good state of a web configuration and the files that it names; raises ConfigError at the start.

    A state that can't be used changes nothing and is logged once. One without users, or without checks of client
    certificates, replaces one with them only if it says so: it may be the beginning of a file that is being written.
    `report` is called after each attempt to load it with whether it succeeded.
    """

    def __init__(self, path: Path, report: Callable[[bool], None] = lambda _: None) -> None:
        self._path = path
        self._report = report
        self._thread = Worker("read web configuration")
        self._seen = SeenFiles()
        self._config = read_web_config(path, self._seen)
        self._looked_at = self._seen.looks
        self._report(True)

    def current(self) -> WebConfig:
        """Return the configuration in force."""
        return self._config

    async def look(self) -> None:
        """Reload if the files have changed since they were read, but not since the last look."""
        before, self._looked_at = self._looked_at, await self._thread.run(self._seen.look_again)
        if self._looked_at != self._seen.looks and self._looked_at == before:
            await self._load(only_if_settled=True)

    async def load_again(self) -> Sequence[str]:
        """Reload now; return why the files are refused, nothing if they are in force."""
        return await self._load(only_if_settled=False)

    async def _load(self, *, only_if_settled: bool) -> Sequence[str]:
        seen = SeenFiles()
        mistakes: Sequence[str] = ()
        config = self._config
        try:
            config = await self._thread.run(read_web_config, self._path, seen)
        except ConfigError as error:
            mistakes = [str(mistake) for mistake in error.mistakes]
        else:
            if (reason := _refusal(self._config, config)) is not None:
                mistakes = [reason]
        if only_if_settled and await self._thread.run(seen.look_again) != seen.looks:
            return ()  # written while it was read
        self._seen = seen
        log = structlog.get_logger()
        for mistake in mistakes:
            log.error("web configuration refused, the one before stays", mistake=mistake)
        if not mistakes:
            self._config = config
            log.info("web configuration loaded again")
        self._report(not mistakes)
        return mistakes


def _refusal(before: WebConfig, after: WebConfig) -> str | None:
    """Return why one state may not follow another without a restart."""
    if (before.tls is None) != (after.tls is None):
        return "switching TLS takes a restart"
    if before.users and not (after.users or "basic_auth_users" in after.keys.model_fields_set):
        return "basic_auth_users is missing: to let everyone in without a password, write `basic_auth_users: {}`"
    if before.keys.tls_server_config.client_auth_type not in _NO_CERTIFICATES:
        asked = after.keys.tls_server_config.client_auth_type
        if not asked:
            return "client_auth_type is missing: to ask for no certificates, write `client_auth_type: NoClientCert`"
        missing = [name for name in before.client_limits if name not in after.client_limits]
        if missing and asked not in _NO_CERTIFICATES:
            return f"{' and '.join(missing)} is missing: letting in more certificates so takes a restart"
    return None
