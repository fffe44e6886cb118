"""The routes, and what holds for all: GET and HEAD alone, safe headers, every answer accounted for."""

import re
from collections.abc import Iterable
from importlib import resources
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter import __version__
from exporter.clock import Clock
from exporter.metrics.exposition import TASKS_PATH, Body
from exporter.metrics.formats import Format, negotiate, wants_gzip
from exporter.web.answers import (
    SAFE_HEADERS,
    error_answer,
    json_answer,
    made_in_slices,
    probe_answer,
    stream,
    text_answer,
)
from exporter.web.api import apps_document
from exporter.web.changes import changes_document, read_query
from exporter.web.query import BadQueryError
from exporter.web.rules import read_rules_query, rules_document
from exporter.web.status_page import status_page
from exporter.web.view import View
from exporter.web.violations import read_violations_query, violations_page

_RESERVED_PATHS: Final = ("/", "/config", TASKS_PATH)
_RESERVED_PREFIXES: Final = ("/-/", "/api/", "/static/", "/apps/", "/violations")
_TASK_METRICS_ARE_OFF: Final = (
    "series about single tasks are switched off; to have them, put `metrics: {per_task: {enabled: true}}` into the "
    "configuration"
)
_CLIENT_WENT_AWAY: Final = 499
"""Counted, never sent: what other servers too call an answer that nobody waited for."""


def application(
    view: View, clock: Clock, *, telemetry_path: str = "/metrics", longest_scrape_seconds: float = 60.0
) -> web.Application:
    """Return the application that answers every request from `view` as it is then.

    Args:
        view: What there is to show.
        clock: From which ages on the page are counted.
        telemetry_path: Where the metrics are, as `--web.telemetry-path` sets it.
        longest_scrape_seconds: How long a client may take to read the metrics.

    Raises:
        ValueError: `telemetry_path` is no path, or one that shows something else.
    """
    _check_telemetry_path(telemetry_path)
    style = resources.files("exporter.web").joinpath("static", "style.css").read_bytes()

    async def status(_request: web.Request) -> web.Response:
        page = status_page(view.statuses(), now=clock.now(), version=__version__, telemetry_path=telemetry_path)
        return text_answer(page, "text/html")

    async def stylesheet(_request: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: "text/css; charset=utf-8", hdrs.CACHE_CONTROL: "max-age=300"}
        return web.Response(body=style, headers=headers)

    async def healthy(_request: web.Request) -> web.Response:
        return probe_answer("healthy", view.healthy())

    async def ready(_request: web.Request) -> web.Response:
        return probe_answer("ready", view.ready())

    async def config(_request: web.Request) -> web.Response:
        return text_answer(view.redacted_config(), "text/yaml")

    app = web.Application(middlewares=[_accounting(view)])
    app.on_response_prepare.append(_add_safe_headers)
    app.add_routes(
        [
            web.get("/", status),
            web.get("/static/style.css", stylesheet),
            web.get("/-/healthy", healthy),
            web.get("/-/ready", ready),
            web.get("/config", config),
            *_expositions(view, telemetry_path, longest_scrape_seconds),
            *_api(view, clock),
        ]
    )
    return app


def _expositions(view: View, telemetry_path: str, longest_scrape_seconds: float) -> Iterable[web.RouteDef]:
    """Return what scrapers ask for."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        exposition_format, gzip = _wanted(request)
        body = view.metrics(exposition_format, gzip=gzip)
        return await _hand_out(request, body, longest_scrape_seconds)

    async def task_metrics(request: web.Request) -> web.StreamResponse:
        exposition_format, gzip = _wanted(request)
        body = view.task_metrics(exposition_format, gzip=gzip)
        if body is None:
            return error_answer(request.path, 404, _TASK_METRICS_ARE_OFF)
        return await _hand_out(request, body, longest_scrape_seconds)

    return (web.get(telemetry_path, metrics), web.get(TASKS_PATH, task_metrics))


def _api(view: View, clock: Clock) -> Iterable[web.RouteDef]:
    """Return what scripts ask for. A query that can't be answered is a 400 that says why."""

    async def apps(_request: web.Request) -> web.Response:
        return json_answer(apps_document(view.statuses()))

    async def changes(request: web.Request) -> web.Response:
        query = read_query(request.query.items())
        since = view.changes_remembered_since()
        return json_answer(changes_document(view.changes(), query, remembered_since=since))

    async def violations(request: web.Request) -> web.Response:
        query = read_violations_query(request.query.items())
        page = violations_page(view.findings(query.outcome), query)
        items = await made_in_slices(page.items)
        return json_answer({"violations": items, "matching": page.matching, "next_cursor": page.next_cursor})

    async def rules(request: web.Request) -> web.Response:
        query = read_rules_query(request.query.items())
        return json_answer(rules_document(view.rules(), query, now=clock.now()))

    return (
        web.get("/api/v1/apps", apps),
        web.get("/api/v1/changes", changes),
        web.get("/api/v1/violations", violations),
        web.get("/api/v1/rules", rules),
    )


def _check_telemetry_path(path: str) -> None:
    """Refuse what could never be reached, and what would hide a page."""
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise ValueError(f"telemetry path {path!r}: expected a path of letters, digits and . _ ~ / - such as /metrics")
    if path in _RESERVED_PATHS or path.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"telemetry path {path!r}: something else is shown there, choose another such as /metrics")


def _wanted(request: web.Request) -> tuple[Format, bool]:
    """Return in which format a scraper wants metrics, and whether compressed."""
    return negotiate(_header(request, hdrs.ACCEPT)), wants_gzip(_header(request, hdrs.ACCEPT_ENCODING))


async def _hand_out(request: web.Request, body: Body, longest_seconds: float) -> web.StreamResponse:
    """Send ready bytes under the headers that belong to them."""
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: body.content_type,
        hdrs.CONTENT_LENGTH: str(body.length),
        hdrs.VARY: "Accept, Accept-Encoding",
    }
    if body.gzip:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return await stream(request, headers, body.chunks, longest_seconds=longest_seconds)


def _header(request: web.Request, name: str) -> str:
    """Return a header that is a list: it may stand in several lines."""
    return ",".join(request.headers.getall(name, ()))


def _accounting(view: View) -> Middleware:
    """Return a middleware that turns every failure into an answer and reports every answer."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        template = "other" if resource is None else resource.canonical
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            response = _refusal(request, refused)
        except BadQueryError as error:
            response = error_answer(request.path, 400, str(error))
        except ConnectionError:
            view.request_finished(template, _CLIENT_WENT_AWAY)
            raise
        except Exception:  # noqa: BLE001 - whatever it was: the client gets no traceback, the log does
            structlog.get_logger().exception("a request failed inside the exporter", path=template)
            response = error_answer(request.path, 500, "internal error: see the exporter's log")
        view.request_finished(template, response.status)
        return response

    return answer


def _refusal(request: web.Request, refused: web.HTTPException) -> web.Response:
    """Say that a path or a method is not served."""
    response = error_answer(request.path, refused.status, f"{refused.reason}: {request.method} {request.path}")
    if hdrs.ALLOW in refused.headers:
        response.headers[hdrs.ALLOW] = refused.headers[hdrs.ALLOW]
    return response


async def _add_safe_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer carries."""
    response.headers.update(SAFE_HEADERS)
