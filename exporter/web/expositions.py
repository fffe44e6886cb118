"""What scrapers ask for: ready bytes, in the format that they accept."""

from collections.abc import Iterable
from typing import Final

from aiohttp import hdrs, web

from exporter.metrics.exposition import TASKS_PATH, Body
from exporter.metrics.formats import Format, negotiate, wants_gzip
from exporter.web.answers import error_answer, listed_header, stream
from exporter.web.limits import Limits
from exporter.web.scrapes import Scrapes
from exporter.web.view import View

_TASK_METRICS_ARE_OFF: Final = (
    "series about single tasks are switched off; to have them, put `metrics: {per_task: {enabled: true}}` into the "
    "configuration"
)


def routes(view: View, telemetry_path: str, limits: Limits, scrapes: Scrapes) -> Iterable[web.RouteDef]:
    """Return the expositions.

    Args:
        view: Where the bytes are.
        telemetry_path: Where they are served.
        limits: How long a client may take to read them.
        scrapes: Those under way.
    """

    async def metrics(request: web.Request) -> web.StreamResponse:
        exposition_format, gzip = _wanted(request)
        body = view.metrics(exposition_format, gzip=gzip)
        return await _hand_out(request, body, limits.longest_scrape_seconds)

    async def task_metrics(request: web.Request) -> web.StreamResponse:
        exposition_format, gzip = _wanted(request)
        body = view.task_metrics(exposition_format, gzip=gzip)
        if body is None:
            return error_answer(request.path, 404, _TASK_METRICS_ARE_OFF)
        return await _hand_out(request, body, limits.longest_scrape_seconds)

    return (web.get(telemetry_path, scrapes.bounded(metrics)), web.get(TASKS_PATH, scrapes.bounded(task_metrics)))


def _wanted(request: web.Request) -> tuple[Format, bool]:
    """Return in which format a scraper wants metrics, and whether compressed."""
    return negotiate(listed_header(request, hdrs.ACCEPT)), wants_gzip(listed_header(request, hdrs.ACCEPT_ENCODING))


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
