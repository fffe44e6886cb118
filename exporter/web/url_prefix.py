"""The path below which the server answers, and the one that its links begin with, as in Prometheus."""

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from exporter.config.mistakes import UsageError

_PREFIX: Final = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)*")
_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::[0-9]*)?")


class UrlPrefix(NamedTuple):
    """Paths without a slash at their end; empty: the root.

    A proxy that strips its path needs `links` alone, one that passes it on needs both.
    """

    routes: str = ""
    links: str = ""

    def link_to(self, path: str) -> str:
        """Return the link to a path as the server got it, with or without the prefix."""
        return self.links + path.removeprefix(self.routes)


NO_PREFIX: Final = UrlPrefix()
ROUTE_PREFIX: Final = web.AppKey("route_prefix", str)


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


def path_template(request: web.Request) -> str:
    """Return the template of a request's path below the prefix; `other` if it is unknown."""
    resource = request.match_info.route.resource
    return "other" if resource is None else resource.canonical.removeprefix(request.app.get(ROUTE_PREFIX, ""))
