"""One call is one signed attempt, what can go wrong is one ApiError, and no answer stops the event loop for long."""

import asyncio
import gzip
import socket
import threading
import time
import zlib
from contextlib import suppress
from datetime import datetime
from email.utils import formatdate

import pytest
from aiohttp import web

from exporter.aliyun.credentials import Credentials
from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import Interner, read_row
from exporter.aliyun.response import ListPage, read_page
from exporter.aliyun.signing import authorization
from exporter.aliyun.transport import LARGE_BODY_BYTES, MAX_BODY_BYTES
from exporter.core.clock import SystemClock
from exporter.core.collection_state import State
from exporter.core.secret import Secret
from tests.support.fake_service import (
    EMPTY_PAGE,
    KEY,
    Answer,
    FakeService,
    Observed,
    answer_json,
    answer_text,
    client_of,
    serving,
)
from tests.support.hostile import MAKERS, compressed_body
from tests.support.monitored import until
from tests.support.virtual_time import leap

TASK = {"TaskId": "t"}
NOW = 1_800_000_000.25


class StoppedClock(SystemClock):
    """Shows always the same time of day."""

    def now(self) -> float:
        return NOW


def dated(seconds_ahead: float, answer: Answer) -> Answer:
    """Let an answer come from a service whose clock is ahead."""

    def answer_with_date(request: web.BaseRequest) -> web.StreamResponse:
        response = answer(request)
        assert isinstance(response, web.StreamResponse)
        response.headers["Date"] = formatdate(NOW + seconds_ahead, usegmt=True)
        return response

    return answer_with_date


def signed_at(service: FakeService) -> list[float]:
    """Return the times by which requests were signed."""
    return [datetime.fromisoformat(request.headers["x-acs-date"]).timestamp() for request in service.requests]


async def failure_of(*answers: Answer) -> ApiError:
    """Return the error that answers bring."""
    async with serving(*answers) as service, client_of(service.address, Observed()) as client:
        with pytest.raises(ApiError) as caught:
            await client.list_tasks("app", page_no=1, page_size=100)
    return caught.value


async def test_a_page_is_asked_for_with_a_signed_request() -> None:
    """The request carries exactly the signed query and headers, and its page comes back."""
    observed = Observed()
    page = answer_json({"RequestId": "r", "MPUTasks": [TASK]})
    async with serving(page) as service, client_of(service.address, observed) as client:
        answer = await client.list_tasks("my app/ü", page_no=2, page_size=50)
        assert [bytes(row) for row in answer.rows] == [b'{"TaskId": "t"}']
        request = service.requests[0]
    assert (request.method, request.path) == ("POST", "/")
    assert request.rel_url.raw_query_string == "AppId=my%20app%2F%C3%BC&PageNo=2&PageSize=50"
    assert request.headers["Host"] == service.address.removeprefix("http://")
    assert request.headers["Accept-Encoding"] == "gzip"
    assert request.headers["x-acs-action"] == "ListRtcMPUTaskDetail"
    assert request.headers["x-acs-version"] == "2016-11-01"
    assert "Content-Type" not in request.headers
    names = request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    signed = {name: request.headers[name] for name in names}
    expected = authorization(
        signed, request.rel_url.raw_query_string, KEY.access_key_id, KEY.access_key_secret.reveal()
    )
    assert request.headers["Authorization"] == expected
    assert observed.finished == [State.OK]


async def test_each_attempt_has_a_nonce_of_its_own_on_one_connection() -> None:
    """Attempts never share a nonce, and successive ones share the connection."""
    async with serving(EMPTY_PAGE) as service, client_of(service.address, Observed()) as client:
        for _ in range(3):
            await client.look_up("app", "task")
    assert len({request.headers["x-acs-signature-nonce"] for request in service.requests}) == 3
    assert len({request.transport for request in service.requests}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        EMPTY_PAGE,
        answer_json({"RequestId": "r"}),
        answer_json({"RequestId": "r", "MPUTasks": None}),
        answer_json({"RequestId": "r", "Code": "InvalidTaskId"}, status=400),
        answer_json({"requestid": "r", "code": "TaskNotFound"}, status=404),
        answer_json({"RequestId": "r", "Code": "InvalidTaskId.NotFound", "MPUTasks": []}),
    ],
)
async def test_an_unknown_task_is_an_empty_page(answer: Answer) -> None:
    """However the service says that there is no such task, the look-up has no rows and has not failed."""
    observed = Observed()
    async with serving(answer) as service, client_of(service.address, observed) as client:
        assert (await client.look_up("app", "task")).rows == []
    assert service.requests[0].query["TaskId"] == "task"
    assert observed.finished == [State.OK]


@pytest.mark.parametrize("code", ["InvalidAccessKeyId.NotFound", "Throttling", "AppInfoNotExist", "MissingParam"])
async def test_other_refusals_of_a_look_up_are_failures(code: str) -> None:
    """A code of the key, the limit, the app or a broken request never means that the task is gone."""
    answer = answer_json({"RequestId": "r", "Code": code}, status=404)
    async with serving(answer) as service, client_of(service.address, Observed()) as client:
        with pytest.raises(ApiError):
            await client.look_up("app", "task")


@pytest.mark.parametrize(
    ("answer", "state", "retryable"),
    [
        (answer_text("<html>", status=200), State.INVALID_RESPONSE, True),
        (answer_json({"tasks": []}), State.INVALID_RESPONSE, False),
        (answer_json({"RequestId": "r", "Code": "Throttling.User", "MPUTasks": ["x" * 70_000]}), State.THROTTLED, True),
        (answer_json({"RequestId": "r", "errorCode": "InternalError", "MPUTasks": []}), State.SERVER_ERROR, True),
        (
            answer_json({"RequestId": "r", "Code": "InvalidAppId", "X": "x" * 100_000}, status=400),
            State.NETWORK_ERROR,
            True,
        ),
        (
            answer_json({"RequestId": "r", "Code": "Throttling"}, status=400, x_acs_retry_after="20"),
            State.THROTTLED,
            True,
        ),
        (answer_json({"RequestId": "r"}, status=302, Location="/elsewhere"), State.NETWORK_ERROR, True),
    ],
)
async def test_answers_have_their_state(answer: Answer, state: State, *, retryable: bool) -> None:
    """What came back is named as documented; a redirect is not followed."""
    observed = Observed()
    async with serving(answer) as service, client_of(service.address, observed) as client:
        with pytest.raises(ApiError) as caught:
            await client.list_tasks("app", page_no=1, page_size=100)
    assert (caught.value.state, caught.value.retryable) == (state, retryable)
    assert len(service.requests) == 1
    assert observed.finished == [state]


async def test_a_slow_answer_is_a_timeout() -> None:
    """The deadline is for the whole exchange, also where the answer drips in."""
    pieces: list[bytes] = []

    async def dripping(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(50):
            await response.write(b" ")
            pieces.append(b" ")
            await asyncio.sleep(0.05)
        return response

    async with serving(dripping) as service, client_of(service.address, Observed(), timeout_seconds=60) as client:
        reading = asyncio.create_task(client.list_tasks("app", page_no=1, page_size=100))
        await until(lambda: pieces)
        leap(60)
        with pytest.raises(ApiError) as caught:
            await reading
        assert len(pieces) < 50
    assert caught.value.state is State.TIMEOUT


async def test_a_body_without_end_is_refused() -> None:
    """A body beyond the bound is not read to its end, whatever it would decompress to."""

    async def bomb(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_compression(web.ContentCoding.gzip)
        await response.prepare(request)
        for _ in range(MAX_BODY_BYTES // 2**20 + 2):
            await response.write(bytes(2**20))
        return response

    error = await failure_of(bomb)
    assert error.state is State.INVALID_RESPONSE
    assert "4 MiB" in error.reason


async def test_a_large_page_does_not_stop_the_event_loop() -> None:
    """A page of megabytes, even one that needs mending, is decoded while other work goes on."""
    row = '{"TaskId": "t%d", "ChannelId": "' + "\\\\" * 19_000 + '\\ud800"}'
    body = '{"RequestId": "r", "MPUTasks": [' + ",".join(row % number for number in range(100)) + "]}"
    assert LARGE_BODY_BYTES < len(body) < MAX_BODY_BYTES
    threads: set[str] = set()

    def read(body: bytes) -> ListPage:
        threads.add(threading.current_thread().name)
        return read_page(body)

    async with serving(answer_text(body)) as service, client_of(service.address, Observed()) as client:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("exporter.aliyun.client.read_page", read)
            pages = await asyncio.gather(*(client.list_tasks("app", page_no=1, page_size=100) for _ in range(4)))
    assert [len(page.rows) for page in pages] == [100] * 4
    assert threading.current_thread().name not in threads


@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [
        (200, {}, State.NETWORK_ERROR),
        (400, {}, State.NETWORK_ERROR),
        (429, {}, State.THROTTLED),
        (400, {"x-acs-retry-after": "20"}, State.THROTTLED),
        (408, {}, State.TIMEOUT),
        (503, {}, State.SERVER_ERROR),
    ],
)
async def test_a_body_that_breaks_off(status: int, headers: dict[str, str], state: State) -> None:
    """A page whose connection breaks off is a network error; an error has what its status and headers say."""

    async def reset(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Length": "1000", **headers})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    error = await failure_of(reset)
    assert (error.state, error.retryable) == (state, True)
    assert ("broke off" in error.reason) == (status == 200)


DAMAGED = {
    "br": ("br", b"\x0b\x02\x80{}\x03"),
    "zstd": ("zstd", b"\x28\xb5\x2f\xfd"),
    "no coding": ("x-none", b"<html>"),
    "plain": ("gzip", b"{}"),
    "wrong sum": ("gzip", gzip.compress(b"{}")[:-8] + b"12345678"),
    "countless members": ("gzip", gzip.compress(b"") * 1000 + gzip.compress(b'{"RequestId": "r", "MPUTasks": []}')),
    "cut gzip": ("gzip", gzip.compress(b'{"a": "b"}')[:-12]),
    "cut deflate": ("deflate", zlib.compress(b'{"a": "b"}')[:-8]),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, State.INVALID_RESPONSE),
        (404, State.NETWORK_ERROR),
        (408, State.TIMEOUT),
        (429, State.THROTTLED),
        (503, State.SERVER_ERROR),
    ],
)
async def test_a_body_that_cannot_be_decompressed(name: str, status: int, state: State) -> None:
    """An answer in another coding, or a damaged one, has the state that its status says; a page is invalid."""
    content_encoding, body = DAMAGED[name]
    headers = {"Content-Encoding": content_encoding, "Content-Type": "application/json"}
    error = await failure_of(lambda _request: web.Response(body=body, status=status, headers=headers))
    assert (error.state, error.retryable) == (state, True)


async def test_a_cancelled_call_reports_nothing() -> None:
    """Who gives up gets its CancelledError, and no outcome is counted."""

    async def hang(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    observed = Observed()
    async with serving(hang) as service, client_of(service.address, observed) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.list_tasks("app", page_no=1, page_size=100)
    assert observed.finished == []


@pytest.mark.parametrize("code", ["InvalidTimeStamp.Expired", "IllegalTimestamp"])
async def test_a_wrong_clock_is_corrected_once(code: str) -> None:
    """The first refusal teaches the service's time and may be tried again; a second one is final, and says why."""
    observed = Observed()
    refusal = dated(3600, answer_json({"RequestId": "r", "Code": code}, status=400))
    async with serving(refusal) as service, client_of(service.address, observed, clock=StoppedClock()) as client:
        errors = []
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                await client.list_tasks("app", page_no=1, page_size=100)
            errors.append(caught.value)
    assert [error.state for error in errors] == [State.AUTH_ERROR] * 2
    assert [error.retryable for error in errors] == [True, False]
    assert [error.wait_seconds for error in errors] == [0.0, None]
    assert "by 3600 s" in errors[1].reason
    assert observed.skews == [3600.25, 3600.25]
    first, second = signed_at(service)
    assert second - first == pytest.approx(3600, abs=1.5)


async def test_a_corrected_clock_stays_corrected() -> None:
    """After the correction requests are signed with the service's time, until the service complains again."""
    refusal = dated(-7200, answer_json({"RequestId": "r", "Code": "InvalidTimeStamp.Expired"}, status=400))
    accepted = dated(-7200, EMPTY_PAGE)
    set_right = dated(0, answer_json({"RequestId": "r", "Code": "InvalidTimeStamp.Expired"}, status=400))
    observed = Observed()
    answers = (refusal, accepted, accepted, set_right, EMPTY_PAGE)
    async with serving(*answers) as service, client_of(service.address, observed, clock=StoppedClock()) as client:
        for answer in answers:
            if answer in {refusal, set_right}:
                with pytest.raises(ApiError) as caught:
                    await client.list_tasks("app", page_no=1, page_size=100)
                assert caught.value.retryable
            else:
                await client.list_tasks("app", page_no=1, page_size=100)
    first, *later = signed_at(service)
    assert [at - first for at in later] == pytest.approx([-7200, -7200, -7200, 0], abs=1.5)


async def test_a_clock_that_nobody_complains_about_is_only_measured() -> None:
    """A skew is reported with each answer, and requests stay as they are."""
    observed = Observed()
    answer = dated(100, EMPTY_PAGE)
    async with serving(answer) as service, client_of(service.address, observed, clock=StoppedClock()) as client:
        for _ in range(2):
            await client.list_tasks("app", page_no=1, page_size=100)
    assert observed.skews == [100.25, 100.25]
    first, second = signed_at(service)
    assert second - first == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize(
    "code",
    ["InvalidSecurityToken.Expired", "InvalidAccessKeyId.NotFound", "InvalidAccessKeyId", "SignatureDoesNotMatch"],
)
async def test_a_refused_key_is_fetched_again(code: str) -> None:
    """After the service refused a key that had been held for a while, the next attempt has another one."""
    tokens = iter(["old", "new"])

    def fetch() -> Credentials:
        return Credentials(
            access_key_id="id", access_key_secret=Secret("s"), security_token=Secret(next(tokens)), expires_at=4e9
        )

    expired = answer_json({"RequestId": "r", "Code": code}, status=400)
    async with (
        serving(EMPTY_PAGE, expired, EMPTY_PAGE) as service,
        client_of(service.address, Observed(), fetch=fetch) as client,
    ):
        await client.look_up("app", "task")
        client._credentials._fetched_at = -1e9
        with pytest.raises(ApiError) as caught:
            await client.look_up("app", "task")
        assert caught.value.retryable
        await client.look_up("app", "task")
    assert [request.headers["x-acs-security-token"] for request in service.requests] == ["old", "old", "new"]


async def test_without_credentials_nothing_is_sent() -> None:
    """Where there is no key there is no request, and the reason comes through."""

    def fetch() -> Credentials:
        raise ApiError(State.AUTH_ERROR, "no credentials to be had; tried everything")

    observed = Observed()
    async with serving(EMPTY_PAGE) as service, client_of(service.address, observed, fetch=fetch) as client:
        with pytest.raises(ApiError, match="tried everything") as caught:
            await client.look_up("app", "task")
    assert caught.value.state is State.AUTH_ERROR
    assert service.requests == []
    assert observed.finished == []


async def test_secrets_appear_in_no_error() -> None:
    """Neither key nor query is in what an error says."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}", Observed()) as client:
            with pytest.raises(ApiError) as caught:
                await client.look_up("my-app", "my-task")
    assert caught.value.state is State.NETWORK_ERROR
    assert not {"secret", "my-app", "my-task", "Signature"} & set(str(caught.value).replace("=", " ").split())


MAX_STALL_SECONDS = 0.25  # of the processor: a machine that is busy with other things does not count


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("name", MAKERS)
async def test_the_event_loop_goes_on(name: str, status: int) -> None:
    """Between two turns of the loop, this process uses little of the processor while a page is read, row by row."""
    stalls, body = [0.0], compressed_body(name)

    async def beat() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            stalls.append(time.thread_time() - before)

    def answer(_request: web.BaseRequest) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=body, status=status, headers=headers)

    assert len(body) < 200_000
    async with serving(answer) as service, client_of(service.address, Observed()) as client:
        beating = asyncio.ensure_future(beat())
        await asyncio.sleep(0.01)
        rows = []
        with suppress(ApiError):
            rows = (await client.list_tasks("app", page_no=1, page_size=100)).rows
        share = Interner()
        for row in rows:
            read_row(row, app_id="app", share=share)
        await asyncio.sleep(0.002)
        beating.cancel()
    assert max(stalls) < MAX_STALL_SECONDS
