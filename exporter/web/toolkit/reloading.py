"""The web configuration in force: its files are looked at every second, and read again when a change has settled."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import structlog

from exporter.config.mistakes import ConfigError
from exporter.threads import Worker
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.web_config import WebConfig, read_web_config

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
