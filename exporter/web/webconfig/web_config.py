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
from exporter.config.validation import find, validate
from exporter.config.value_types import one_of
from exporter.config.yaml_nodes import Mapping as MappingNode
from exporter.config.yaml_nodes import Node, Scalar, compose
from exporter.threads import Worker
from exporter.web.webconfig.seen_files import SeenFiles
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


class Rate(Struct, frozen=True):
    """How often requests may come."""

    interval_seconds: float
    """One request each; 0 or less: as many as come."""
    burst: int
    """How many at once after a rest; 0 or less: none ever."""


class TokenBucket:
    """Lets requests in at a rate; full at first.

    Args:
        rate: How often.
        monotonic: The seconds of a clock that only goes forward.
    """

    def __init__(self, rate: Rate, monotonic: Callable[[], float]) -> None:
        self.rate = rate
        self._monotonic = monotonic
        self._tokens = float(rate.burst)
        self._filled_at = monotonic()

    def admits(self) -> bool:
        """Whether another request may come in now; if so, it has its token."""
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


_NO_CERTIFICATES: Final = ("", "NoClientCert")


class FollowedWebConfig:
    """The last good state of a file and of those that it names.

    A state that can't be used changes nothing: the one before stays in force, and the log says so once. Certificates
    are often replaced one file after the other, and no monitoring should fail in between. Nor does a state without
    users, or without checks of client certificates, end those of the one before unless it says so: it may be the
    beginning of a file that is being written.

    Args:
        path: The file.
        report: Is told after each attempt to load it whether it succeeded.

    Raises:
        ConfigError: It can't be used at the start.
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
        """Return what is in force."""
        return self._config

    async def look(self) -> None:
        """Read the files again if they have changed since they were read, and not since the last look."""
        before, self._looked_at = self._looked_at, await self._thread.run(self._seen.look_again)
        if self._looked_at != self._seen.looks and self._looked_at == before:
            await self._load(only_if_settled=True)

    async def load_again(self) -> Sequence[str]:
        """Read the files as they are now; return why they are refused, nothing if they are in force."""
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
    """Return why a state may not follow another while the exporter runs."""
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
    """A context whose every new connection is made by the context that is in force then.

    A live context could be changed, but no authority could ever be taken away from it.
    """

    _followed: FollowedWebConfig

    def __new__(cls, followed: FollowedWebConfig) -> Self:
        """Make one that follows."""
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
