"""Requests of one account: within its budget, tried again where that helps, counted.

This is the one owner of retries: nothing below sends a request twice, nothing above asks again for a failed one
before its next turn.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol

from exporter.aliyun.errors import ApiError
from exporter.aliyun.response import ListPage
from exporter.collector.rate_limiter import Limiter, LimiterReplaced, Priority
from exporter.collector.reading import Window, WindowAnswer
from exporter.core.clock import Clock
from exporter.core.collection_state import State


async def cancel_all(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what still runs and wait until it is gone; what it brought or raised is dropped."""
    futures = list(futures)
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


ATTEMPTS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 5.0
"""A service that asks to wait longer has failed the request; the wait is respected all the same."""


class ListClient(Protocol):
    """One attempt to read from the service; raises ApiError."""

    async def ready(self) -> None:
        """Wait for credentials, so that the wait holds no permit of the budget."""

    async def list_tasks(self, app_id: str, *, page_no: int, page_size: int) -> ListPage:
        """Return one page of the app's list."""

    async def look_up(self, app_id: str, task_id: str) -> ListPage:
        """Return the task, or no row where the service does not know it."""


class RequestEvents(Protocol):
    """What happens beside the answers, to be counted."""

    def waited(self, priority: str, seconds: float) -> None:
        """A request waited for its turn in the budget; priority: update, lookup or sweep."""

    def throttled(self) -> None:
        """The service refused a request because there were too many."""

    def retried(self, reason: State) -> None:
        """A request is sent once more."""


class AccountRequests:
    """All requests of one account go through here."""

    def __init__(
        self, client: ListClient, limiter: Limiter, *, clock: Clock, rng: random.Random, events: RequestEvents
    ) -> None:
        self.client = client  # sends them; another one sends all that are not under way yet
        self.limiter = limiter  # their budget; another one counts from the next request on
        self._clock = clock
        self._rng = rng
        self._events = events
        self._sent: set[asyncio.Future[ListPage]] = set()  # requests under way

    def of_app(self, app_id: str) -> "AppRequests":
        """Return the requests about one app, with a count of their own."""
        return AppRequests(self, app_id, clock=self._clock)

    async def send(self, attempt: Callable[[], Awaitable[ListPage]], priority: Priority) -> WindowAnswer:
        """Send a request when its turn comes, and again where that can help; raises the last attempt's ApiError."""
        attempts = 0
        while True:
            attempts += 1
            try:
                await self.client.ready()
                async with AsyncExitStack() as stack:
                    self._events.waited(priority.label, await stack.enter_async_context(self._permit(priority)))
                    sent_at = self._clock.monotonic()
                    request = asyncio.ensure_future(self._hold(stack.pop_all(), attempt))
                self._sent.add(request)
                request.add_done_callback(self._forget)
                return WindowAnswer(await asyncio.shield(request), sent_at)
            except ApiError as error:
                asked_to_wait_seconds = error.wait_seconds or 0.0
                if not error.retryable or attempts == ATTEMPTS or asked_to_wait_seconds > LONGEST_WAIT_SECONDS:
                    raise
                self._events.retried(error.state)
            pause_seconds = FIRST_PAUSE_SECONDS * 2 ** (attempts - 1) * self._rng.uniform(0.5, 1.0)
            again_at = self._clock.monotonic() + max(pause_seconds, asked_to_wait_seconds)
            while (left := again_at - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)

    def _forget(self, request: asyncio.Future[ListPage]) -> None:
        """Drop a request that ended, and its failure, if its sender was cancelled."""
        self._sent.discard(request)
        if not request.cancelled():
            request.exception()

    async def _hold(self, permit: AsyncExitStack, attempt: Callable[[], Awaitable[ListPage]]) -> ListPage:
        """Send a request and hold its permit to the end, also if its sender is cancelled: it may arrive later."""
        async with permit:
            try:
                return await attempt()
            except ApiError as error:
                if error.state is State.THROTTLED:
                    self._events.throttled()
                    self.limiter.throttled(error.wait_seconds)
                raise

    @asynccontextmanager
    async def _permit(self, priority: Priority) -> AsyncIterator[float]:
        """Hold a permit of the budget that is in force when it is given."""
        while True:
            limiter = self.limiter
            async with AsyncExitStack() as stack:
                try:
                    waited_seconds = await stack.enter_async_context(limiter.permit(priority))
                except LimiterReplaced as replaced:
                    if self.limiter is limiter:  # of an account that is no longer configured
                        self.limiter = replaced.heir
                    continue
                yield waited_seconds
                return


class AppRequests:
    """The requests about one app."""

    def __init__(self, account: AccountRequests, app_id: str, *, clock: Clock) -> None:
        self._account = account
        self._app_id = app_id
        self._clock = clock
        self._not_before = -math.inf
        self._refusal: ApiError | None = None
        self.sent = 0  # HTTP requests so far, retries included

    def window(self, priority: Priority) -> Callable[[Window], Awaitable[WindowAnswer]]:
        """Return what fetches one window of the list at a priority."""
        return partial(self._send, priority)

    def queue_seconds(self, priority: Priority) -> float:
        """How long the requests of a priority that wait now will take to be sent, all apps of the account together."""
        limiter = self._account.limiter
        return limiter.waiting(priority) / limiter.effective_requests_per_second

    async def look_up(self, task_id: str) -> WindowAnswer:
        """Ask for one task by its TaskId."""
        return await self._send(Priority.LOOKUP, task_id)

    async def _send(self, priority: Priority, wanted: Window | str) -> WindowAnswer:
        """Send a request for a window or a task, unless the service asked for a wait before the app's next one.

        A wait beside throttling holds back the whole account, any other only the app whose request failed.
        """
        if self._refusal is not None and self._clock.monotonic() < self._not_before:
            raise self._refusal.with_traceback(None)
        try:
            return await self._account.send(self._attempt(wanted), priority)
        except ApiError as error:
            if error.state is State.SERVER_ERROR and error.wait_seconds is not None:
                self._not_before, self._refusal = self._clock.monotonic() + error.wait_seconds, error
            raise

    def _attempt(self, wanted: Window | str) -> Callable[[], Awaitable[ListPage]]:
        """Return what sends a request once, by the client that is in use then."""

        async def attempt() -> ListPage:
            self.sent += 1
            client = self._account.client
            if isinstance(wanted, str):
                return await client.look_up(self._app_id, wanted)
            return await client.list_tasks(self._app_id, page_no=wanted.page_no, page_size=wanted.page_size)

        return attempt
