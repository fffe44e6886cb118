"""The web configuration as it is now: looked at whenever it is used, read again when it has changed."""

import ssl
from pathlib import Path
from typing import Self

import structlog

from exporter.config.mistakes import ConfigError
from exporter.web.toolkit.seen_files import SeenFiles
from exporter.web.toolkit.web_config import WebConfig, read_web_config


class FollowedWebConfig:
    """The last good state of a file and of those that it names.

    A state that can't be used changes nothing: the one before stays in force, and the log says so once. Certificates
    are often replaced one file after the other, and no monitoring should fail in between.

    Args:
        path: The file.

    Raises:
        ConfigError: It can't be used at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = SeenFiles()
        self._config = read_web_config(path, self._seen)

    def current(self) -> WebConfig:
        """Return what is in force now. Costs a look at each file; reads them if one has changed."""
        if self._seen.changed():
            self._read_again()
        return self._config

    def _read_again(self) -> None:
        """Take the files as they are now, if they can be used."""
        log = structlog.get_logger()
        self._seen = SeenFiles()
        try:
            config = read_web_config(self._path, self._seen)
        except ConfigError as error:
            for mistake in error.mistakes:
                log.warning("web configuration refused, the one before stays", mistake=str(mistake))
            return
        if (config.tls is None) != (self._config.tls is None):
            log.warning("web configuration refused, the one before stays", mistake="switching TLS takes a restart")
            return
        self._config = config
        log.info("web configuration loaded again")


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
