"""Requests of one account: within its budget, counted, and tried again where that helps, here and nowhere else."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol

from exporter.aliyun.errors import ApiError
from exporter.aliyun.response import ListPage
from exporter.collector.rate_limiter import Limiter, LimiterReplaced, NothingSent, Priority
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
        self._waiting_apps: dict[str, tuple[float, ApiError]] = {}
        """Until when the service asked to send nothing about an app, in monotonic seconds, and the answer that did."""

    def of_app(self, app_id: str) -> "AppRequests":
        """Return the requests about one app, with a count of their own."""
        return AppRequests(self, app_id)

    async def send(self, app_id: str, attempt: Callable[[], Awaitable[ListPage]], priority: Priority) -> WindowAnswer:
        """Send a request when its turn comes, and again where that can help; raises the last attempt's ApiError."""
        attempts = 0
        while True:
            attempts += 1
            try:
                await self.client.ready()
                async with AsyncExitStack() as stack:
                    permit = self._permit(app_id, priority)
                    self._events.waited(priority.label, await stack.enter_async_context(permit))
                    sent_at = self._clock.monotonic()
                    request = asyncio.ensure_future(self._hold(stack.pop_all(), app_id, attempt))
                self._sent.add(request)
                request.add_done_callback(self._forget)
                return WindowAnswer(await asyncio.shield(request), sent_at)
            except ApiError as error:
                wait_seconds = error.wait_seconds or 0.0
                if not error.retryable or attempts == ATTEMPTS or wait_seconds > LONGEST_WAIT_SECONDS:
                    raise
                self._events.retried(error.state)
            pause_seconds = FIRST_PAUSE_SECONDS * 2 ** (attempts - 1) * self._rng.uniform(0.5, 1.0)
            await self._sleep_until(self._clock.monotonic() + max(pause_seconds, wait_seconds))

    async def _sleep_until(self, at: float) -> None:
        while (left := at - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    def _forget(self, request: asyncio.Future[ListPage]) -> None:
        """Drop a request that ended, and its failure, if its sender was cancelled."""
        self._sent.discard(request)
        if not request.cancelled():
            request.exception()

    async def _hold(self, permit: AsyncExitStack, app_id: str, attempt: Callable[[], Awaitable[ListPage]]) -> ListPage:
        """Send a request, hold its permit to the end, whatever its sender does, and note what wait its answer names."""
        async with permit:
            try:
                return await attempt()
            except ApiError as error:
                if error.state is State.THROTTLED:
                    self._events.throttled()
                    self.limiter.throttled(error.wait_seconds)
                elif error.retryable and error.wait_seconds:
                    until = self._clock.monotonic() + error.wait_seconds
                    if until > self._waiting_apps.get(app_id, (0.0, error))[0]:
                        self._waiting_apps[app_id] = until, error
                raise

    @asynccontextmanager
    async def _permit(self, app_id: str, priority: Priority) -> AsyncIterator[float]:
        """Hold a permit of the budget in force once no wait holds back the app; raises the answer of a long wait."""
        while True:
            limiter = self.limiter
            try:
                await self._end_of_wait(app_id)
                async with limiter.permit(priority) as waited_seconds:
                    self._check_wait(app_id)  # it may have begun meanwhile
                    yield waited_seconds
                    return
            except NothingSent:
                continue
            except LimiterReplaced as replaced:
                if self.limiter is limiter:  # of an account that is no longer configured
                    self.limiter = replaced.heir

    async def _end_of_wait(self, app_id: str) -> None:
        """Sleep as long as the service asked to send nothing about an app; raise its answer if that is long."""
        until, refusal = self._waiting_apps.get(app_id, (0.0, None))
        if refusal and (refusal.wait_seconds or 0.0) > LONGEST_WAIT_SECONDS and self._clock.monotonic() < until:
            raise refusal.with_traceback(None)
        await self._sleep_until(until)

    def _check_wait(self, app_id: str) -> None:
        if app_id in self._waiting_apps and self._clock.monotonic() < self._waiting_apps[app_id][0]:
            raise NothingSent


class AppRequests:
    """The requests about one app."""

    def __init__(self, account: AccountRequests, app_id: str) -> None:
        self._account = account
        self._app_id = app_id
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
        return await self._account.send(self._app_id, self._attempt(wanted), priority)

    def _attempt(self, wanted: Window | str) -> Callable[[], Awaitable[ListPage]]:
        async def attempt() -> ListPage:
            self.sent += 1
            client = self._account.client
            if isinstance(wanted, str):
                return await client.look_up(self._app_id, wanted)
            return await client.list_tasks(self._app_id, page_no=wanted.page_no, page_size=wanted.page_size)

        return attempt
