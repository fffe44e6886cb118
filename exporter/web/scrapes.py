"""Metrics for scrapers: ready bytes, for a bounded number of scrapes at a time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from aiohttp import hdrs, web

from exporter.metrics.exposition import TASKS_PATH, Body
from exporter.metrics.negotiation import Format, negotiate, wants_gzip
from exporter.web.connections import Limits
from exporter.web.responses import error_answer, listed_header, stream
from exporter.web.view import View

ScrapeHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Scrape(NamedTuple):
    began: float
    request: web.Request


class Scrapes:
    """Scrapes under way, over all metrics paths; `monotonic` returns seconds."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._under_way: dict[object, _Scrape] = {}  # the oldest first

    def bounded(self, handler: ScrapeHandler) -> ScrapeHandler:
        """Return a handler that sends 503 if too many scrapes are under way and none is slow."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if not self._has_room():
                refusal = error_answer(request, 503, f"{self._limits.most_scrapes} scrapes are under way")
                refusal.headers[hdrs.RETRY_AFTER] = "1"
                return refusal
            place = object()
            self._under_way[place] = _Scrape(self._monotonic(), request)
            try:
                return await handler(request)
            finally:
                self._under_way.pop(place, None)

        return answer

    def _has_room(self) -> bool:
        """Whether another scrape may begin; the oldest is cut off for it if it is slow."""
        if len(self._under_way) < self._limits.most_scrapes:
            return True
        place, oldest = next(iter(self._under_way.items()))
        if self._monotonic() - oldest.began < self._limits.slow_scrape_seconds:
            return False
        del self._under_way[place]
        if oldest.request.transport is not None:
            oldest.request.transport.abort()
        return True


_TASK_METRICS_ARE_OFF: Final = (
    "series about single tasks are switched off; to have them, put `metrics: {per_task: {enabled: true}}` into the "
    "configuration"
)


def metrics_routes(view: View, telemetry_path: str, limits: Limits, scrapes: Scrapes) -> Iterable[web.RouteDef]:
    """Return the routes of metrics."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        exposition_format, gzip = _wanted(request)
        body = view.metrics(exposition_format, gzip=gzip)
        return await _hand_out(request, body, limits.longest_scrape_seconds)

    async def task_metrics(request: web.Request) -> web.StreamResponse:
        exposition_format, gzip = _wanted(request)
        body = view.task_metrics(exposition_format, gzip=gzip)
        if body is None:
            return error_answer(request, 404, _TASK_METRICS_ARE_OFF)
        return await _hand_out(request, body, limits.longest_scrape_seconds)

    return (web.get(telemetry_path, scrapes.bounded(metrics)), web.get(TASKS_PATH, scrapes.bounded(task_metrics)))


def _wanted(request: web.Request) -> tuple[Format, bool]:
    """Return the format that a scraper accepts, and whether it accepts gzip."""
    return negotiate(listed_header(request, hdrs.ACCEPT)), wants_gzip(listed_header(request, hdrs.ACCEPT_ENCODING))


async def _hand_out(request: web.Request, body: Body, longest_seconds: float) -> web.StreamResponse:
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: body.content_type,
        hdrs.CONTENT_LENGTH: str(body.length),
        hdrs.VARY: "Accept, Accept-Encoding",
    }
    if body.gzip:
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return await stream(request, headers, body.chunks, longest_seconds=longest_seconds)
