"""The web application: all routes, safe headers, and every response accounted for."""

import re
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter.collector.past import HistoryError
from exporter.config.mistakes import UsageError
from exporter.core.clock import Clock
from exporter.metrics.exposition import TASKS_PATH
from exporter.web.api.api_routes import api_routes
from exporter.web.connections import DEFAULT_LIMITS, Limits
from exporter.web.management import HEALTHY_PATH, READY_PATH, lifecycle_routes, probe_routes
from exporter.web.pages.page_routes import page_routes
from exporter.web.pages.rendering import Renderer, safe_link
from exporter.web.query import BadQueryError, UnknownNameError
from exporter.web.request_origin import KnownHosts, checked_origin
from exporter.web.responses import SAFE_HEADERS, error_answer, is_api, wants_page
from exporter.web.scrapes import Scrapes, metrics_routes
from exporter.web.url_prefix import NO_PREFIX, ROUTE_PREFIX, UrlPrefix, path_template
from exporter.web.view import View

_CLIENT_WENT_AWAY: Final = 499  # counted but never sent


def accounting(view: View, renderer: Renderer | None = None) -> Middleware:
    """Return a middleware that turns every failure into a response and counts every response.

    With `renderer`, browsers get unknown paths as a page of the site.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        template = path_template(request)
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            response = _refusal(request, refused, renderer)
        except BadQueryError as error:
            response = error_answer(request, 400, str(error))
        except UnknownNameError as error:
            response = error_answer(request, 404, str(error))
        except HistoryError as error:
            response = error_answer(request, 503, str(error))
        except ConnectionError:
            view.request_finished(template, _CLIENT_WENT_AWAY)
            raise
        except Exception:  # noqa: BLE001 - whatever it was: the client gets no traceback, the log does
            structlog.get_logger().exception("a request failed inside the exporter", path=template)
            response = error_answer(request, 500, "internal error: see the exporter's log")
        view.request_finished(template, response.status)
        return response

    return answer


def _refusal(request: web.Request, refused: web.HTTPException, renderer: Renderer | None) -> web.Response:
    if request.method == hdrs.METH_OPTIONS and hdrs.ALLOW in refused.headers:
        return web.Response(status=204, headers={hdrs.ALLOW: f"{refused.headers[hdrs.ALLOW]},OPTIONS"})
    message = f"{refused.reason}: {request.method} {request.path}"
    if renderer is not None and wants_page(request) and not is_api(request):
        shown = {"title": refused.reason, "message": message, "link": f"{renderer.root}/", "link_text": "To all apps"}
        response = renderer.answer("error", status=refused.status, **shown)
    else:
        response = error_answer(request, refused.status, message)
    if hdrs.ALLOW in refused.headers:
        response.headers[hdrs.ALLOW] = refused.headers[hdrs.ALLOW]
    return response


_RESERVED_PATHS: Final = ("/", "/config", TASKS_PATH)
_RESERVED_PREFIXES: Final = (
    "/-/",
    "/api/",
    "/static/",
    "/apps/",
    "/violations",
    "/changes",
    "/rules",
    "/search",
    "/families",
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
    """Return the application that serves `view`.

    Args:
        view: What there is to show.
        clock: Base of ages on pages.
        telemetry_path: `--web.telemetry-path`.
        enable_lifecycle: Whether `/-/reload` works.
        hosts: Names that pages answer to; None: localhost and IP addresses.
        prefix: Path of all routes, and of links to them.
        grafana_url: `--web.grafana-url`.
        limits: For scrapes and request bodies.

    Raises:
        UsageError: `telemetry_path` is invalid or used by something else, or `grafana_url` is no http or https URL.
    """
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
        *probe_routes(view),
        *metrics_routes(view, telemetry_path, limits, Scrapes(limits, clock.monotonic)),
        *page_routes(view, clock, prefix, renderer),
        *api_routes(view, clock, prefix),
        *lifecycle_routes(view, enabled=enable_lifecycle),
    )
    app.add_routes(web.RouteDef(one.method, prefix.routes + one.path, one.handler, one.kwargs) for one in routes)
    if prefix.routes:
        app.add_routes(
            [web.get("/", _redirect(f"{prefix.routes}/")), web.get(prefix.routes, _redirect(f"{prefix.links}/"))]
        )
    return app


def _redirect(location: str) -> Handler:
    async def redirect(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={hdrs.LOCATION: location})

    return redirect


def _check_telemetry_path(path: str) -> None:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise UsageError(f"telemetry path {path!r}: expected a path of letters, digits and . _ ~ / - such as /metrics")
    if path in _RESERVED_PATHS or path.startswith(_RESERVED_PREFIXES):
        raise UsageError(f"telemetry path {path!r}: something else is shown there, choose another such as /metrics")


async def _add_safe_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SAFE_HEADERS)
