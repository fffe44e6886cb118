"""What programs request: metrics as ready bytes for a bounded number of scrapes, health checks, and reload."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from aiohttp import hdrs, web

from exporter.metrics.exposition import TASKS_PATH, Body
from exporter.metrics.negotiation import negotiate, wants_gzip
from exporter.web.connections import Limits
from exporter.web.responses import error_answer, listed_header, stream, text_answer
from exporter.web.view import View

HEALTHY_PATH: Final = "/-/healthy"
READY_PATH: Final = "/-/ready"
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
