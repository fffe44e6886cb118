"""Requests of one account: one owner of retries, all within the budget, counted."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from exporter.aliyun.errors import ApiError
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import Window
from exporter.collector.requests import ATTEMPTS, LONGEST_WAIT_SECONDS, AppRequests
from exporter.core.collection_state import State
from tests.support.moving_list import APP, ListService, MovingList, Told, failing, requests_to
from tests.support.virtual_time import VirtualClock, run

FRONT = Window(1, 10)


def script(*errors: ApiError | None) -> Callable[[ListService], None]:
    """Return what fails the requests in turn; None is an answer, and so is every further one."""
    turns = iter(errors)

    def fail(_service: ListService) -> None:
        error = next(turns, None)
        if error is not None:
            raise error

    return fail


class Scene:
    """One service, its requests, and what they tell."""

    def __init__(self, *errors: ApiError | None, requests_per_second: float = 1000) -> None:
        self.clock = VirtualClock()
        self.reported = Told()
        self.service = ListService(MovingList(3), break_answer=script(*errors))
        self._requests_per_second = requests_per_second

    def run(self, scenario: Callable[[AppRequests], Coroutine[Any, Any, float]]) -> float:
        async def main() -> float:
            requests = requests_to(
                self.service, self.reported, self.clock, requests_per_second=self._requests_per_second
            )
            return await scenario(requests.of_app(APP))

        return run(main(), at_most_seconds=600)

    async def front(self, requests: AppRequests) -> float:
        """Ask for the front and return when the answer was there."""
        await requests.window(Priority.UPDATE)(FRONT)
        return self.clock.monotonic()


def test_an_answer_says_when_it_was_asked_for() -> None:
    """The time is that of the sending, after the wait for a permit."""
    scene = Scene()

    async def ask(requests: AppRequests) -> float:
        answer = await requests.window(Priority.SWEEP)(FRONT)
        assert len(answer.page.rows) == 3
        return answer.sent_at

    assert scene.run(ask) == 0.0
    assert scene.reported.waited_for == ["sweep"]


def test_a_look_up_asks_for_one_task() -> None:
    """An unknown TaskId is an answer without rows."""
    scene = Scene()

    async def ask(requests: AppRequests) -> float:
        assert len((await requests.look_up("task-1")).page.rows) == 1
        assert (await requests.look_up("task-7")).page.rows == []
        return 0

    scene.run(ask)
    assert scene.service.requests == ["task-1", "task-7"]
    assert scene.reported.waited_for == ["lookup", "lookup"]


def test_what_may_succeed_a_moment_later_is_sent_again() -> None:
    """Each attempt takes a permit of its own and is counted; the reasons are reported."""
    scene = Scene(failing(State.TIMEOUT, retryable=True), failing(State.SERVER_ERROR, retryable=True))

    async def ask(requests: AppRequests) -> float:
        await scene.front(requests)
        return requests.sent

    assert scene.run(ask) == 3
    assert scene.reported.retries == [State.TIMEOUT, State.SERVER_ERROR]
    assert scene.reported.waited_for == ["update"] * 3


def test_a_request_is_given_up_after_its_attempts() -> None:
    """The last error is raised, and nobody asks once more."""
    scene = Scene(*[failing(State.NETWORK_ERROR, retryable=True)] * 10)
    with pytest.raises(ApiError, match="network_error"):
        scene.run(scene.front)
    assert len(scene.service.requests) == ATTEMPTS
    assert len(scene.reported.retries) == ATTEMPTS - 1


def test_what_can_not_succeed_is_not_sent_again() -> None:
    """A rejected request fails at once."""
    scene = Scene(failing(State.REQUEST_REJECTED))
    with pytest.raises(ApiError):
        scene.run(scene.front)
    assert len(scene.service.requests) == 1
    assert scene.reported.retries == []


def test_a_wait_that_the_service_asks_for_is_kept() -> None:
    """Nothing is sent again before the time that the service names."""
    scene = Scene(failing(State.SERVER_ERROR, retryable=True, wait_seconds=3.0))
    assert scene.run(scene.front) >= 3.0


def test_a_wait_that_is_too_long_fails_the_request() -> None:
    """A turn does not hang for as long as a service pleases."""
    scene = Scene(failing(State.SERVER_ERROR, retryable=True, wait_seconds=LONGEST_WAIT_SECONDS + 1))
    with pytest.raises(ApiError):
        scene.run(scene.front)


def test_a_long_wait_holds_back_the_app_alone() -> None:
    """After a server error that asks for a long wait, the app sends nothing until it is over; others go on."""
    wait_seconds = LONGEST_WAIT_SECONDS + 1
    scene = Scene(failing(State.SERVER_ERROR, retryable=True, wait_seconds=wait_seconds))

    async def main() -> None:
        account = requests_to(scene.service, scene.reported, scene.clock, requests_per_second=1000)
        app, other = account.of_app(APP), account.of_app(APP)
        for _ in range(3):
            with pytest.raises(ApiError, match="server_error"):
                await scene.front(app)
        with pytest.raises(ApiError, match="server_error"):
            await app.look_up("task-1")
        assert app.sent == 1
        assert await scene.front(other) < wait_seconds
        await scene.clock.sleep(wait_seconds)
        await scene.front(app)
        assert app.sent == 2

    run(main(), at_most_seconds=600)
    assert scene.reported.throttlings == 0


def test_throttling_is_reported_and_slows_the_whole_account() -> None:
    """A throttled request holds all requests of the account back for the wait that the service names."""
    scene = Scene(failing(State.THROTTLED, retryable=True, wait_seconds=2.0))

    async def ask(requests: AppRequests) -> float:
        await scene.front(requests)
        return scene.clock.monotonic()

    assert scene.run(ask) >= 2.0
    assert scene.reported.throttlings == 1


def test_how_long_the_queue_is_in_seconds() -> None:
    """What waits for the budget, divided by the budget, per priority."""
    scene = Scene(requests_per_second=1)

    async def ask(requests: AppRequests) -> float:
        waiting = [asyncio.ensure_future(requests.window(Priority.SWEEP)(FRONT)) for _ in range(5)]
        await asyncio.sleep(0.01)
        seconds = requests.queue_seconds(Priority.SWEEP)
        assert requests.queue_seconds(Priority.UPDATE) == 0
        for request in waiting:
            request.cancel()
        return seconds

    assert scene.run(ask) == 4
