"""The path before routes and links, hosts that are answered, and who may change things.

A site whose name resolves to this server (DNS rebinding) could read pages as if they were its own: the requested name
has to be known.
"""

import re
import socket
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from threading import Thread
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter.config.mistakes import UsageError
from exporter.web.responses import error_answer, path_template

_PREFIX: Final = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)*")
_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/\s]+))(?::[0-9]*)?")


class UrlPrefix(NamedTuple):
    """Paths without a slash at their end; a proxy that strips its path needs `links` alone."""

    routes: str = ""
    links: str = ""


NO_PREFIX: Final = UrlPrefix()


def url_prefix(external_url: str | None, route_prefix: str | None) -> UrlPrefix:
    """Return the prefix that `--web.external-url` and `--web.route-prefix` ask for; raises UsageError."""
    if external_url is not None:
        authority_of(external_url)
    links = None if external_url is None else urlsplit(external_url).path.rstrip("/")
    if links is not None and not _PREFIX.fullmatch(links):
        raise UsageError(f"--web.external-url={external_url}: expected a path of letters, digits and . _ ~ - /")
    if route_prefix is None:
        return UrlPrefix(links or "", links or "")
    routes = f"/{route_prefix.strip('/')}".rstrip("/")
    if not _PREFIX.fullmatch(routes):
        raise UsageError(f"--web.route-prefix={route_prefix}: expected a path of letters, digits and . _ ~ - /")
    return UrlPrefix(routes, routes if links is None else links)


def authority_of(external_url: str) -> str:
    """Return host and port of `--web.external-url`; raises UsageError unless it is a plain http or https URL."""
    expected = f"--web.external-url={external_url}: expected an address such as https://metrics.example.com/"
    try:
        parts = urlsplit(external_url)
    except ValueError:
        raise UsageError(expected) from None
    is_plain = not (parts.query or parts.fragment) and _AUTHORITY.fullmatch(parts.netloc)
    if parts.scheme not in {"http", "https"} or not is_plain:
        raise UsageError(expected)
    return parts.netloc


_READING_METHODS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_PATTERN: Final = re.compile(r"[^:@/\s]+")
_LONGEST_SHOWN_HOST: Final = 100


class KnownHosts:
    """Names under which browsers may reach the server, as patterns. Raises UsageError if one is invalid."""

    def __init__(
        self, own_names: Collection[str] = (), *, external_url: str | None = None, allowed: Sequence[str] = ()
    ) -> None:
        self.external_authority = None if external_url is None else authority_of(external_url)
        for pattern in allowed:
            if not _PATTERN.fullmatch(pattern):
                raise UsageError(f"--web.allowed-host={pattern}: expected a host name without scheme and port")
        self._names = {"localhost", *map(_normalised, own_names)}
        if self.external_authority is not None:
            self._names.add(_host_of(self.external_authority) or "")
        self._patterns = tuple(map(_normalised, allowed))

    @classmethod
    def of_this_machine(cls, *, external_url: str | None = None, allowed: Sequence[str] = ()) -> "KnownHosts":
        """Return those of this machine; its full name is looked up in the background."""
        hosts = cls([socket.gethostname()], external_url=external_url, allowed=allowed)
        Thread(target=lambda: hosts.add(socket.getfqdn()), name="own-name", daemon=True).start()
        return hosts

    def add(self, name: str) -> None:
        """Add a name."""
        self._names.add(_normalised(name))

    def knows(self, host: str) -> bool:
        """Whether a `Host` header names this server; any IP address does, since no DNS answer was needed for it."""
        name = _host_of(host)
        if name is None:
            return False
        return name in self._names or _is_address(name) or any(fnmatchcase(name, one) for one in self._patterns)


def checked_origin(hosts: KnownHosts, open_paths: Collection[str]) -> Middleware:
    """Refuse unknown hosts, but for the templates `open_paths`, and requests of other sites that change something."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get(hdrs.HOST, "")
        if path_template(request) not in open_paths and not hosts.knows(host):
            return error_answer(request, 403, _unknown(host))
        if request.method not in _READING_METHODS and not is_same_origin(
            request.headers, (host, hosts.external_authority)
        ):
            return error_answer(request, 403, "cross-site request refused: send it from the exporter's own pages")
        return await handler(request)

    return check


def is_same_origin(headers: Mapping[str, str], authorities: Collection[str | None]) -> bool:
    """Whether no other site can have sent a request through a user's browser, by headers that pages can't change.

    `authorities` are host and port of the server, as the request and as the external URL have them.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get(hdrs.ORIGIN)
    if origin is None:
        return True
    try:
        sender = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return sender in {authority.lower() for authority in authorities if authority}


def _unknown(host: str) -> str:
    name = _host_of(host)
    if name is None or not _PATTERN.fullmatch(name):
        return "no usable Host header: expected the name of this server (--web.allowed-host)"
    shown = name if len(name) <= _LONGEST_SHOWN_HOST else "NAME"
    return (
        f"unknown host {name[:_LONGEST_SHOWN_HOST]!r}: to reach the pages by it, start with --web.allowed-host={shown}"
    )


def _host_of(authority: str) -> str | None:
    match = _AUTHORITY.fullmatch(authority)
    return None if match is None else _normalised(match[1] or match[2])


def _normalised(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
