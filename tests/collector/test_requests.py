"""Requests of one account: one owner of retries, all within the budget, counted."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from exporter.aliyun.errors import ApiError
from exporter.collector.rate_limiter import Limiter, Priority
from exporter.collector.reading import Window
from exporter.collector.requests import ATTEMPTS, LONGEST_WAIT_SECONDS
from exporter.core.collection_state import State
from tests.support import moving_list
from tests.support.moving_list import (
    APP,
    OTHER_APP,
    ROUND_TRIP_SECONDS,
    ListService,
    failing,
)
from tests.support.virtual_time import on_virtual_time, run

FRONT = Window(1, 10)


def script(*errors: ApiError | None) -> Callable[[ListService], None]:
    """Return what fails the requests in turn; None is an answer, and so is every further one."""
    turns = iter(errors)

    def fail(_service: ListService) -> None:
        error = next(turns, None)
        if error is not None:
            raise error

    return fail


class Scene(moving_list.Scene):
    """One service, the requests of an app to it, and what they tell."""

    def __init__(self, *errors: ApiError | None, requests_per_second: float = 1000) -> None:
        super().__init__(3, requests_per_second=requests_per_second)
        self.service.break_answer = script(*errors)
        self.requests = self.account.of_app(APP)

    async def front(self) -> None:
        """Ask for the front, and wait for the answer."""
        await self.requests.window(Priority.UPDATE)(FRONT)


@on_virtual_time
async def test_an_answer_says_when_it_was_asked_for() -> None:
    """The time is that of the sending, after the wait for a permit."""
    scene = Scene()
    answer = await scene.requests.window(Priority.SWEEP)(FRONT)
    assert (len(answer.page.rows), answer.sent_at) == (3, 0.0)
    assert scene.reported.waited_for == ["sweep"]


@on_virtual_time
async def test_a_look_up_asks_for_one_task() -> None:
    """An unknown TaskId is an answer without rows."""
    scene = Scene()
    assert len((await scene.requests.look_up("task-1")).page.rows) == 1
    assert (await scene.requests.look_up("task-7")).page.rows == []
    assert scene.service.requests == ["task-1", "task-7"]
    assert scene.reported.waited_for == ["lookup", "lookup"]


@on_virtual_time
async def test_what_may_succeed_a_moment_later_is_sent_again() -> None:
    """Each attempt takes a permit of its own and is counted; the reasons are reported."""
    scene = Scene(failing(State.TIMEOUT, retryable=True), failing(State.SERVER_ERROR, retryable=True))
    await scene.front()
    assert scene.requests.sent == 3
    assert scene.reported.retries == [State.TIMEOUT, State.SERVER_ERROR]
    assert scene.reported.waited_for == ["update"] * 3


@on_virtual_time
async def test_a_request_is_given_up_after_its_attempts() -> None:
    """The last error is raised, and nobody asks once more."""
    scene = Scene(*[failing(State.NETWORK_ERROR, retryable=True)] * 10)
    with pytest.raises(ApiError, match="network_error"):
        await scene.front()
    assert len(scene.service.requests) == ATTEMPTS
    assert len(scene.reported.retries) == ATTEMPTS - 1


@on_virtual_time
async def test_what_can_not_succeed_is_not_sent_again() -> None:
    """A rejected request fails at once."""
    scene = Scene(failing(State.REQUEST_REJECTED))
    with pytest.raises(ApiError):
        await scene.front()
    assert len(scene.service.requests) == 1
    assert scene.reported.retries == []


@pytest.mark.parametrize(("state", "seconds"), [(State.SERVER_ERROR, 3.0), (State.THROTTLED, 2.0)])
def test_a_wait_that_the_service_asks_for_is_kept(state: State, seconds: float) -> None:
    """Nothing is sent again before the time that the service names, whatever timers do; throttling slows all apps."""

    async def ask() -> None:
        scene = Scene(failing(state, retryable=True, wait_seconds=seconds))
        answered_at: list[float] = []
        scene.service.before_answer = lambda: answered_at.append(scene.clock.monotonic())
        answer = await scene.requests.window(Priority.UPDATE)(FRONT)
        assert answer.sent_at >= answered_at[0] + seconds
        assert (scene.account.limiter.effective_requests_per_second < 1000) == (state is State.THROTTLED)
        assert scene.reported.throttlings == (state is State.THROTTLED)

    run(ask(), timer_error=lambda: -0.01)


@on_virtual_time
async def test_a_long_wait_fails_the_app_s_requests_and_no_others() -> None:
    """A turn does not hang for as long as a service pleases; until the wait is over, nothing is sent for the app."""
    wait_seconds = LONGEST_WAIT_SECONDS + 1
    scene = Scene(failing(State.SERVER_ERROR, retryable=True, wait_seconds=wait_seconds))
    for _ in range(3):
        with pytest.raises(ApiError, match="server_error"):
            await scene.front()
    with pytest.raises(ApiError, match="server_error"):
        await scene.requests.look_up("task-1")
    assert scene.requests.sent == 1
    await scene.account.of_app(OTHER_APP).window(Priority.UPDATE)(FRONT)
    assert scene.clock.monotonic() < wait_seconds
    await scene.clock.sleep(wait_seconds)
    await scene.front()
    assert scene.requests.sent == 2
    assert scene.reported.throttlings == 0


@on_virtual_time
async def test_a_short_wait_holds_back_all_requests_of_the_app() -> None:
    """Those that wait for the budget, too, and those on demand; they cost the other apps no permit."""
    scene = Scene(failing(State.SERVER_ERROR, retryable=True, wait_seconds=3.0), requests_per_second=4)

    async def ask(app_id: str) -> float:
        return (await scene.account.of_app(app_id).window(Priority.SWEEP)(FRONT)).sent_at

    requests = [[asyncio.ensure_future(ask(app_id)) for _ in range(4)] for app_id in (APP, APP, OTHER_APP)]
    under_way, queued, of_other_app = [await asyncio.gather(*each) for each in requests]
    assert sum(sent_at < 3.0 for sent_at in under_way) == 3
    assert min(queued) >= 3.0 + ROUND_TRIP_SECONDS / 2
    assert max(of_other_app) < 1.5


@pytest.mark.parametrize("is_configured", [True, False])
@on_virtual_time
async def test_a_request_goes_by_the_limiter_that_took_the_place_of_its_own(is_configured: bool) -> None:
    """It is the account's own new one, and of an account that is no longer configured the first that replaced it."""
    scene = Scene(requests_per_second=1)
    await scene.front()
    old, heirs = scene.account.limiter, [Limiter(1, clock=scene.clock) for _ in range(2)]
    waiting = asyncio.ensure_future(scene.front())
    await scene.clock.sleep(0.1)
    for heir in heirs:
        old.hand_over(heir)
    if is_configured:
        scene.account.limiter = heirs[1]
    old.send_away()
    await waiting
    assert scene.account.limiter is heirs[is_configured]


@pytest.mark.parametrize("error", [None, failing(State.TIMEOUT)])
@on_virtual_time
async def test_a_cancelled_request_holds_its_permit_until_its_answer(error: ApiError | None) -> None:
    """The service may still receive it: its second begins with the answer, and its failure is nobody's any more."""
    scene = Scene(error, requests_per_second=1)
    scene.service.one_way_seconds = lambda: 0.4
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    abandoned = asyncio.ensure_future(scene.requests.window(Priority.SWEEP)(FRONT))
    await asyncio.sleep(0.1)
    abandoned.cancel()
    answer = await scene.requests.window(Priority.UPDATE)(FRONT)
    gc.collect()
    assert answer.sent_at >= (0.8 if error is None else 0.4) + 1.0
    assert unhandled == []
