"""The web application: all routes, safe headers, every response accounted for; metrics, health checks and reload."""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter.collector.past import HistoryError
from exporter.config.mistakes import UsageError
from exporter.core.clock import Clock
from exporter.metrics.exposition import TASKS_PATH, Body
from exporter.web.addresses import NO_PREFIX, KnownHosts, UrlPrefix, checked_origin
from exporter.web.api import api_routes
from exporter.web.http_server import DEFAULT_LIMITS, Limits
from exporter.web.pages.page_routes import page_routes
from exporter.web.pages.rendering import PageError, Renderer, safe_link
from exporter.web.query import BadQueryError, UnknownNameError
from exporter.web.responses import (
    ROUTE_PREFIX,
    SAFE_HEADERS,
    error_answer,
    is_api,
    listed_header,
    negotiate,
    path_template,
    stream,
    text_answer,
    wants_gzip,
    wants_page,
)
from exporter.web.view import View

HEALTHY_PATH: Final = "/-/healthy"
READY_PATH: Final = "/-/ready"
ScrapeHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scrapes:
    """Scrapes under way, over all metrics paths; `monotonic` returns seconds."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._under_way: dict[object, tuple[float, web.Request]] = {}  # since when, and which; the oldest first

    def bounded(self, handler: ScrapeHandler) -> ScrapeHandler:
        """Return a handler that sends 503 if too many scrapes are under way and none is slow."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if not self._has_room():
                refusal = error_answer(request, 503, f"{self._limits.most_scrapes} scrapes are under way")
                refusal.headers[hdrs.RETRY_AFTER] = "1"
                return refusal
            place = object()
            self._under_way[place] = self._monotonic(), request
            try:
                return await handler(request)
            finally:
                self._under_way.pop(place, None)

        return answer

    def _has_room(self) -> bool:
        """Whether another scrape may begin; the oldest is cut off for it if it is slow."""
        if len(self._under_way) < self._limits.most_scrapes:
            return True
        place, (began, oldest) = next(iter(self._under_way.items()))
        if self._monotonic() - began < self._limits.slow_scrape_seconds:
            return False
        del self._under_way[place]
        if oldest.transport is not None:
            oldest.transport.abort()
        return True


_TASK_METRICS_ARE_OFF: Final = (
    "series about single tasks are switched off; to have them, put `metrics: {per_task: {enabled: true}}` into the "
    "configuration"
)
_RELOAD_IS_OFF: Final = (
    "reloading over HTTP is switched off; start with --web.enable-lifecycle to allow it, or send SIGHUP to the process"
)


def operation_routes(
    view: View, telemetry_path: str, limits: Limits, monotonic: Callable[[], float], *, enable_lifecycle: bool
) -> Iterable[web.RouteDef]:
    """Return the routes of metrics, health checks and `/-/reload`."""
    scrapes = Scrapes(limits, monotonic)

    def exposition(body_of: Callable[..., Body | None]) -> ScrapeHandler:
        async def answer(request: web.Request) -> web.StreamResponse:
            gzip = wants_gzip(listed_header(request, hdrs.ACCEPT_ENCODING))
            body = body_of(negotiate(listed_header(request, hdrs.ACCEPT)), gzip=gzip)
            if body is None:
                return error_answer(request, 404, _TASK_METRICS_ARE_OFF)
            headers: dict[str, str] = {
                hdrs.CONTENT_TYPE: body.content_type,
                hdrs.CONTENT_LENGTH: str(body.length),
                hdrs.VARY: "Accept, Accept-Encoding",
            }
            if body.gzip:
                headers[hdrs.CONTENT_ENCODING] = "gzip"
            return await stream(request, headers, body.chunks, longest_seconds=limits.longest_scrape_seconds)

        return scrapes.bounded(answer)

    def probe(name: str, obstacle: Callable[[], str | None]) -> ScrapeHandler:
        async def answer(_request: web.Request) -> web.Response:
            reason = obstacle()
            return text_answer(f"{reason or name}\n", status=200 if reason is None else 503)

        return answer

    async def reload(request: web.Request) -> web.Response:
        if not enable_lifecycle:
            return error_answer(request, 403, _RELOAD_IS_OFF)
        reason = await view.reload()
        if reason is not None:
            return error_answer(request, 500, f"the configuration is refused, the one before stays:\n{reason}")
        return text_answer("the configuration is loaded again\n")

    return (
        web.get(telemetry_path, exposition(view.metrics)),
        web.get(TASKS_PATH, exposition(view.task_metrics)),
        web.get(HEALTHY_PATH, probe("healthy", view.healthy)),
        web.get(READY_PATH, probe("ready", view.ready)),
        web.post("/-/reload", reload),
    )


_CLIENT_WENT_AWAY: Final = 499  # counted but never sent


_STATUS_OF_ERROR: Final = {BadQueryError: 400, UnknownNameError: 404, HistoryError: 503}


def accounting(view: View, renderer: Renderer) -> Middleware:
    """Return a middleware that turns every failure into a response and counts every response."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        template = await _counted_path(request)
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            response = _refusal(request, refused, renderer)
        except (BadQueryError, UnknownNameError, HistoryError, PageError) as error:
            response = _explained(request, error, renderer)
        except ConnectionError:
            view.request_finished(template, _CLIENT_WENT_AWAY)
            raise
        except Exception:  # noqa: BLE001 - whatever it was: the client gets no traceback, the log does
            structlog.get_logger().exception("a request failed inside the exporter", path=template)
            response = error_answer(request, 500, "internal error: see the exporter's log")
        view.request_finished(template, response.status)
        return response

    return answer


async def _counted_path(request: web.Request) -> str:
    if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
        for resource in request.app.router.resources():
            _, methods = await resource.resolve(request)
            if methods:
                return resource.canonical.removeprefix(request.app[ROUTE_PREFIX])
    return path_template(request)


def _refusal(request: web.Request, refused: web.HTTPException, renderer: Renderer) -> web.Response:
    allowed = refused.headers.get(hdrs.ALLOW)
    if request.method == hdrs.METH_OPTIONS and allowed is not None:
        return web.Response(status=204, headers={hdrs.ALLOW: f"{allowed},OPTIONS"})
    message = f"{refused.reason}: {request.method} {request.path}"
    if wants_page(request) and not is_api(request):
        response = renderer.error(PageError(refused.status, refused.reason, message))
    else:
        response = error_answer(request, refused.status, message)
    if allowed is not None:
        response.headers[hdrs.ALLOW] = allowed
    return response


def _explained(request: web.Request, error: Exception, renderer: Renderer) -> web.Response:
    if is_api(request):
        return error_answer(request, _STATUS_OF_ERROR[type(error)], str(error))
    if isinstance(error, HistoryError):
        error = PageError(503, "The past can't be read", str(error))
    elif not isinstance(error, PageError):
        link = request.rel_url.raw_path.removeprefix(request.app[ROUTE_PREFIX])
        error = PageError(400, "This can't be answered", str(error), link, "Without filters")
    return renderer.error(error)


_RESERVED_PATHS: Final = ("/", "/config", TASKS_PATH)
_RESERVED_PREFIXES: Final = (
    *("/-/", "/api/", "/static/", "/apps/"),
    *("/violations", "/changes", "/rules", "/search", "/families"),
)


def application(
    view: View,
    clock: Clock,
    *,
    telemetry_path: str = "/metrics",
    enable_lifecycle: bool = False,
    hosts: KnownHosts | None = None,
    prefix: UrlPrefix = NO_PREFIX,
    grafana_url: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> web.Application:
    """Return the application that serves `view`; `hosts` None: localhost and IP addresses. Raises UsageError."""
    _check_telemetry_path(telemetry_path)
    if grafana_url is not None and not safe_link(grafana_url):
        raise UsageError(f"--web.grafana-url={grafana_url}: expected an address such as https://grafana.example.com/")
    origin = checked_origin(hosts or KnownHosts(), {telemetry_path, TASKS_PATH, HEALTHY_PATH, READY_PATH})
    renderer = Renderer(clock, prefix.links, telemetry_path, (grafana_url or "").rstrip("/"))
    app = web.Application(
        middlewares=[accounting(view, renderer), origin], client_max_size=limits.longest_request_bytes
    )
    app.on_response_prepare.append(_add_safe_headers)
    app[ROUTE_PREFIX] = prefix.routes
    routes = (
        *operation_routes(view, telemetry_path, limits, clock.monotonic, enable_lifecycle=enable_lifecycle),
        *page_routes(view, clock, renderer),
        *api_routes(view, clock, prefix),
    )
    app.add_routes(web.RouteDef(one.method, prefix.routes + one.path, one.handler, one.kwargs) for one in routes)
    if prefix.routes:

        async def redirect(request: web.Request) -> web.StreamResponse:
            base = prefix.routes if request.path == "/" else prefix.links
            return web.Response(status=302, headers={hdrs.LOCATION: f"{base}/"})

        app.add_routes([web.get("/", redirect), web.get(prefix.routes, redirect)])
    return app


def _check_telemetry_path(path: str) -> None:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise UsageError(f"telemetry path {path!r}: expected a path of letters, digits and . _ ~ / - such as /metrics")
    if path in _RESERVED_PATHS or path.startswith(_RESERVED_PREFIXES):
        raise UsageError(f"telemetry path {path!r}: something else is shown there, choose another such as /metrics")


async def _add_safe_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SAFE_HEADERS)
