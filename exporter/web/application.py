"""The routes put together, and what holds for all of them: safe headers, every answer accounted for."""

import re
from typing import Final

from aiohttp import web

from exporter.clock import Clock
from exporter.config.mistakes import UsageError
from exporter.metrics.exposition import TASKS_PATH
from exporter.web import expositions, probes
from exporter.web.accounting import accounting
from exporter.web.answers import SAFE_HEADERS
from exporter.web.api import routes as api
from exporter.web.lifecycle import lifecycle_routes
from exporter.web.limits import DEFAULT_LIMITS, Limits
from exporter.web.pages import routes as pages
from exporter.web.probes import HEALTHY_PATH, READY_PATH
from exporter.web.request_origin import KnownHosts, checked_origin
from exporter.web.scrapes import Scrapes
from exporter.web.view import View

_RESERVED_PATHS: Final = ("/", "/config", TASKS_PATH)
_RESERVED_PREFIXES: Final = ("/-/", "/api/", "/static/", "/apps/", "/violations", "/rules")


def application(
    view: View,
    clock: Clock,
    *,
    telemetry_path: str = "/metrics",
    enable_lifecycle: bool = False,
    hosts: KnownHosts | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> web.Application:
    """Return the application that answers every request from `view` as it is then.

    Args:
        view: What there is to show.
        clock: From which ages on the pages are counted.
        telemetry_path: Where the metrics are, as `--web.telemetry-path` sets it.
        enable_lifecycle: Whether the configuration can be loaded again over HTTP.
        hosts: The names that pages answer to; None: localhost and IP addresses.
        limits: How many scrapes at a time, how long each, how large a request.

    Raises:
        UsageError: `telemetry_path` is no path, or one that shows something else.
    """
    _check_telemetry_path(telemetry_path)
    origin = checked_origin(hosts or KnownHosts(), {telemetry_path, TASKS_PATH, HEALTHY_PATH, READY_PATH})
    app = web.Application(middlewares=[accounting(view), origin], client_max_size=limits.longest_request_bytes)
    app.on_response_prepare.append(_add_safe_headers)
    app.add_routes(
        [
            *probes.routes(view),
            *expositions.routes(view, telemetry_path, limits, Scrapes(limits, clock.monotonic)),
            *pages.routes(view, clock, telemetry_path=telemetry_path),
            *api.routes(view, clock),
            *lifecycle_routes(view, enabled=enable_lifecycle),
        ]
    )
    return app


def _check_telemetry_path(path: str) -> None:
    """Refuse what could never be reached, and what would hide a page."""
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise UsageError(f"telemetry path {path!r}: expected a path of letters, digits and . _ ~ / - such as /metrics")
    if path in _RESERVED_PATHS or path.startswith(_RESERVED_PREFIXES):
        raise UsageError(f"telemetry path {path!r}: something else is shown there, choose another such as /metrics")


async def _add_safe_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer carries."""
    response.headers.update(SAFE_HEADERS)
