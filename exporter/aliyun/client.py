"""The client: one signed request for each call, and what its answer says about clock and credentials."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec

from exporter.aliyun import errors as failures
from exporter.aliyun.credentials import Credentials, CredentialsSource
from exporter.aliyun.errors import ApiError, parse_http_date
from exporter.aliyun.response import ListPage, read_page
from exporter.aliyun.signing import canonical_query, signed_headers
from exporter.aliyun.transport import LARGE_BODY_BYTES, HttpAnswer, Transport
from exporter.core.clock import Clock
from exporter.core.collection_state import State

ACTION: Final = "ListRtcMPUTaskDetail"
VERSION: Final = "2016-11-01"

CLOCK_TOLERANCE_SECONDS: Final = 60.0
"""Another correction of the clock gains nothing below this: the service itself allows 15 minutes."""


class RequestObserver(Protocol):
    """Receives facts that requests bring."""

    def request_finished(self, outcome: State, seconds: float, /) -> None:
        """One HTTP attempt ended with `outcome` after `seconds`."""

    def clock_skew(self, seconds: float, /) -> None:
        """The service's clock is `seconds` ahead of this machine's (behind: negative), to about a second."""


class Client:
    """Reads the task lists of one account. Each call makes one HTTP attempt: its caller owns limits and retries."""

    def __init__(
        self,
        transport: Transport,
        *,
        credentials: CredentialsSource,
        clock: Clock,
        nonce: Callable[[], str],
        observer: RequestObserver,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._nonce = nonce
        self._observer = observer
        self._decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder")
        self._clock_offset_seconds = 0.0
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def ready(self) -> None:
        """Wait for a key that is good now, so that the next request need not; raises ApiError if there is none."""
        with self._in_use():
            await self._credentials.get()

    def reread_credentials(self) -> None:
        """Fetch the key again at the next request, and choose its source again."""
        self._credentials.reread()

    async def list_tasks(self, app_id: str, *, page_no: int, page_size: int) -> ListPage:
        """Read one page of an app's list: `page_no` from 1, `page_size` up to 100. Raises ApiError."""
        return await self._request({"AppId": app_id, "PageNo": str(page_no), "PageSize": str(page_size)})

    async def look_up(self, app_id: str, task_id: str) -> ListPage:
        """Read one task; the page has no rows where there is none. Raises as `list_tasks` does."""
        page = await self._request({"AppId": app_id, "TaskId": task_id}, may_be_unknown=True)
        return page._replace(rows=[msgspec.Raw(bytes(row)) for row in page.rows[:2]])

    async def close(self) -> None:
        """Close the session and stop renewing credentials."""
        self._decoder.shutdown(wait=False, cancel_futures=True)
        await self._credentials.close()
        await self._transport.close()

    async def close_when_idle(self) -> None:
        """Do as `close`, once no request is running."""
        await self._idle.wait()
        await self.close()

    async def _request(self, parameters: Mapping[str, str], *, may_be_unknown: bool = False) -> ListPage:
        with self._in_use():
            credentials = await self._credentials.get()
            started = self._clock.monotonic()
            try:
                page = await self._attempt(credentials, parameters)
            except ApiError as error:
                if not (may_be_unknown and failures.is_about_the_task(error)):
                    self._observer.request_finished(error.state, self._clock.monotonic() - started)
                    raise
                page = ListPage([])
            self._observer.request_finished(State.OK, self._clock.monotonic() - started)
            return page

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _attempt(self, credentials: Credentials, parameters: Mapping[str, str]) -> ListPage:
        offset_seconds = self._clock_offset_seconds
        query = canonical_query(parameters)
        headers = signed_headers(
            action=ACTION,
            version=VERSION,
            host=self._transport.endpoint.authority,
            query=query,
            credentials=credentials,
            timestamp=self._clock.now() + offset_seconds,
            nonce=self._nonce(),
        )
        async with self._transport.post(query, headers) as answer:
            skew_seconds = _skew_seconds(answer)
            if skew_seconds is not None:
                self._observer.clock_skew(skew_seconds)
            body = answer.body
            if answer.status == 200:
                page = await self._decoded(body)
                if not page.error:
                    return page
                body = page.error
            error = failures.answer_failure(answer.status, answer.headers, body, now=self._clock.now())
        if failures.is_about_the_clock(error):
            raise self._clock_refused(error, offset_seconds, skew_seconds)
        if failures.is_about_the_key(error) and self._credentials.refused(credentials):
            error.retryable = True
        raise error

    async def _decoded(self, body: bytes) -> ListPage:
        if len(body) <= LARGE_BODY_BYTES:
            return read_page(body)
        return await asyncio.get_running_loop().run_in_executor(self._decoder, read_page, body)

    def _clock_refused(self, error: ApiError, offset_seconds: float, skew_seconds: float | None) -> ApiError:
        """Learn the service's time; another attempt helps only where this one was signed with another time."""
        if skew_seconds is None:
            return error
        is_wrong = abs(skew_seconds - offset_seconds) > CLOCK_TOLERANCE_SECONDS
        if is_wrong:
            self._clock_offset_seconds = skew_seconds
        return ApiError(
            error.state,
            f"the service refuses the time of the request: this machine's clock differs from the service's by"
            f" {abs(skew_seconds):.0f} s, set it by NTP",
            code=error.code,
            status=error.status,
            retryable=is_wrong,
            wait_seconds=0.0 if is_wrong else None,
        )


def _skew_seconds(answer: HttpAnswer) -> float | None:
    date = parse_http_date(answer.headers.get("Date", ""))
    return None if date is None else date + 0.5 - answer.midpoint
