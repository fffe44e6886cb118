"""The web configuration: read strictly, every mistake with its place, and followed when its files change."""

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import structlog
from msgspec import Struct

from exporter.config.files import Files
from exporter.config.mistakes import ConfigError, Mistakes
from exporter.config.section import one_of
from exporter.config.validation import find, validate
from exporter.config.yaml_nodes import Mapping as MappingNode
from exporter.config.yaml_nodes import Node, Scalar, compose
from exporter.core.regular_file import SeenFiles
from exporter.core.threads import Worker
from exporter.web.webconfig.tls import read_tls_server_config
from exporter.web.webconfig.users import is_bcrypt_hash
from exporter.web.webconfig.web_config_model import (
    HEADERS,
    RateLimit,
    TlsServerConfig,
    WebConfigFile,
    parse_go_duration,
    sendable,
)

_GUARDS: Final = {
    "basic_auth_users": "`basic_auth_users: {}` to let everyone in without a password",
    "tls_server_config": "`tls_server_config: {}` to serve plain HTTP",
    **dict.fromkeys(("cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file"), "a value"),
    **dict.fromkeys(("client_auth_type", "client_allowed_sans"), "a value"),
}
"""Keys that keep somebody out, with what to write in place of nothing."""


class RequestRate(Struct, frozen=True):
    """How often requests are admitted."""

    interval_seconds: float  # between two requests; 0 or less: unlimited
    burst: int  # requests without delay after a pause; 0 or less: none ever


class TokenBucket:
    """Admits requests at a rate; full at first. `monotonic` returns seconds."""

    def __init__(self, rate: RequestRate, monotonic: Callable[[], float]) -> None:
        self.rate = rate
        self._monotonic = monotonic
        self._tokens = float(rate.burst)
        self._filled_at = monotonic()

    def admits(self) -> bool:
        """Take a token if there is one, and return whether there was."""
        if self.rate.interval_seconds <= 0:
            return True
        now = self._monotonic()
        self._tokens = min(self.rate.burst, self._tokens + (now - self._filled_at) / self.rate.interval_seconds)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class WebConfig(Struct, frozen=True):
    """A web configuration that was read."""

    tls: ssl.SSLContext | None = None  # None: plain HTTP
    asks_for_http2: bool = False  # explicitly
    headers: Mapping[str, str] = {}
    users: Mapping[bytes, str] = {}  # hashes by name; empty: no authentication
    rate: RequestRate | None = None
    says_no_users: bool = False  # explicitly: `basic_auth_users: {}`
    client_auth_type: str = ""  # empty: not given
    client_limits: frozenset[str] = frozenset()  # which of `client_ca` and `client_allowed_sans` are given

    def __repr__(self) -> str:
        """Hide the hashes."""
        return "WebConfig(…)"


def read_web_config(path: Path, seen: SeenFiles) -> WebConfig:
    """Read a file; relative paths in it start at its directory.

    `seen` gets all files that were read, also if there are mistakes. Raises ConfigError with every mistake.
    """
    seen.look_at(path)
    files = Files(path.parent, {})
    mistakes = files.mistakes
    source = files.text(path)
    mistakes.raise_if_any()
    assert source is not None  # noqa: S101 - without mistakes there is one
    node = compose(source.text, file=source.file, file_order=0, mistakes=mistakes)
    mistakes.raise_if_any()
    assert node is not None  # noqa: S101 - without mistakes there is one
    whole = validate(node, WebConfigFile, mistakes, directory=path.parent)
    _check_headers(node, mistakes)
    _check_users(node, mistakes)
    _check_values(node, mistakes)
    tls = _tls(node, path.parent, seen, mistakes)
    limit = RateLimit() if whole is None else whole.rate_limit
    rate = _rate(limit, find(node, ["rate_limit", "interval"]), mistakes)
    users = find(node, ["basic_auth_users"])
    mistakes.raise_if_any()
    tls_config = whole.tls_server_config
    return WebConfig(
        tls=tls,
        asks_for_http2=whole.http_server_config.http2 is True,
        headers={name: sendable(value) for name, value in whole.http_server_config.headers.items()},
        users={name.encode(): hashed for name, hashed in whole.basic_auth_users.items()},
        rate=rate,
        says_no_users=isinstance(users, MappingNode) and not users.pairs,
        client_auth_type=tls_config.client_auth_type,
        client_limits=frozenset(
            name
            for name, is_set in (
                ("client_ca", tls_config.client_ca or tls_config.client_ca_file),
                ("client_allowed_sans", tls_config.client_allowed_sans is not None),
            )
            if is_set
        ),
    )


def _tls(root: Node, directory: Path, seen: SeenFiles, mistakes: Mistakes) -> ssl.SSLContext | None:
    """Return the TLS context, whatever is wrong elsewhere in the file."""
    node = find(root, ["tls_server_config"])
    if not isinstance(node, MappingNode):
        return None
    config = validate(node, TlsServerConfig, Mistakes(), directory=directory)
    return None if config is None else read_tls_server_config(config, node, directory, seen, mistakes)


def _check_users(root: Node, mistakes: Mistakes) -> None:
    """Find values that are not bcrypt hashes; neither hash nor name is shown."""
    for _, value in _pairs(root, "basic_auth_users"):
        if isinstance(value, Scalar) and not is_bcrypt_hash(value.text):
            text = "no bcrypt hash, expected what `htpasswd -nBC 10 NAME` prints behind the name"
            mistakes.add(value.position, text)


def _check_values(root: Node, mistakes: Mistakes) -> None:
    """Find keys without a value that would let more in if they counted as left out."""
    for key, value in (*_pairs(root), *_pairs(root, "tls_server_config")):
        if key.text in _GUARDS and isinstance(value, Scalar) and value.is_null:
            instead = _GUARDS[key.text]
            mistakes.add(key.position, f"{key.text} has no value: write {instead}, or remove the key")


def _check_headers(root: Node, mistakes: Mistakes) -> None:
    for key, value in _pairs(root, "http_server_config", "headers"):
        if key.text not in HEADERS:
            text = f"the header {key.text[:40]!r} can't be set, expected {one_of(tuple(HEADERS))}"
            mistakes.add(key.position, text)
            continue
        choices = HEADERS[key.text]
        if choices and isinstance(value, Scalar) and value.text not in choices:
            mistakes.add(value.position, f"{key.text} is {value.text[:40]!r}, expected {one_of(choices)}")


def _pairs(root: Node, *location: str) -> tuple[tuple[Scalar, Node], ...]:
    node = find(root, location)
    return node.pairs if isinstance(node, MappingNode) else ()


def _rate(limit: RateLimit, interval: Node | None, mistakes: Mistakes) -> RequestRate | None:
    """Return the rate limit; an interval that is a plain integer is nanoseconds, as in Go."""
    is_plain = isinstance(interval, Scalar) and interval.plain
    try:
        is_number = is_plain and re.fullmatch(r"[-+]?[0-9]{1,18}", limit.interval)
        seconds = int(limit.interval) / 1e9 if is_number else parse_go_duration(limit.interval)
    except ValueError:
        if interval is not None:
            mistakes.add(interval.position, "interval is no duration, expected one such as 100ms, 1s or 1m30s")
        return None
    return RequestRate(interval_seconds=seconds, burst=limit.burst) if seconds else None


_NO_CERTIFICATES: Final = ("", "NoClientCert")


class FollowedWebConfig:
    """The last good state of a web configuration and the files that it names.

    A state that can't be used changes nothing and is logged once: certificates are often replaced one file after the
    other. A state without users, or without checks of client certificates, replaces one with them only if it says so
    explicitly: it may be the beginning of a file that is being written.

    `report` is called after each attempt to load it with whether it succeeded. Raises ConfigError at the start.
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
    if before.users and not (after.users or after.says_no_users):
        return "basic_auth_users is missing: to let everyone in without a password, write `basic_auth_users: {}`"
    if before.client_auth_type not in _NO_CERTIFICATES:
        if not after.client_auth_type:
            return "client_auth_type is missing: to ask for no certificates, write `client_auth_type: NoClientCert`"
        missing = before.client_limits - after.client_limits
        if missing and after.client_auth_type not in _NO_CERTIFICATES:
            return f"{' and '.join(sorted(missing))} is missing: letting in more certificates so takes a restart"
    return None


class FollowingContext(ssl.SSLContext):
    """A context that makes each connection by the context in force at that moment.

    A live context could be changed, but an authority can't be removed from it.
    """

    _followed: FollowedWebConfig

    def __new__(cls, followed: FollowedWebConfig) -> Self:
        """Create one."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._followed = followed
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection; asyncio and uvloop call this once for each."""
        context = self._followed.current().tls
        if context is None:
            raise ssl.SSLError("no TLS")
        return context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)
