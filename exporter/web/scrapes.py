"""Scrapes, bounded in number: readers that take their time must not keep a scraper from its answer."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from aiohttp import hdrs, web

from exporter.web.answers import error_answer
from exporter.web.limits import Limits

ScrapeHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Scrape(NamedTuple):
    """One that is under way."""

    began: float
    request: web.Request


class Scrapes:
    """All scrapes that are under way, over all paths of metrics.

    Args:
        limits: How many at a time, and how long one may take while there are as many.
        monotonic: The seconds of a clock that only goes forward.
    """

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._under_way: dict[object, _Scrape] = {}
        """The oldest first."""

    def bounded(self, handler: ScrapeHandler) -> ScrapeHandler:
        """Return a handler that answers 503 where too many scrapes are under way and none of them is slow."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if not self._has_room():
                refusal = error_answer(request.path, 503, f"{self._limits.most_scrapes} scrapes are under way")
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
        """Whether another scrape may begin; one that is slow is cut off for it."""
        if len(self._under_way) < self._limits.most_scrapes:
            return True
        place, oldest = next(iter(self._under_way.items()))
        if self._monotonic() - oldest.began < self._limits.slow_scrape_seconds:
            return False
        del self._under_way[place]
        if oldest.request.transport is not None:
            oldest.request.transport.abort()
        return True
