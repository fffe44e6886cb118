"""One exact reading of a list that moves: every way in which a list can move, end, or be answered wrongly."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import Interner, row_digest
from exporter.aliyun.response import ListPage
from exporter.collector.list_reader import IN_FLIGHT, ListReader
from exporter.collector.rate_limiter import Limiter
from exporter.collector.reading import (
    MOST_PAGES_IN_SLICES,
    AppRows,
    Fetch,
    Plan,
    Reading,
    ReadingTurns,
    Window,
    WindowAnswer,
    window_after,
)
from exporter.collector.status import Intervals
from exporter.config.capacity import sweep_requests_of
from exporter.core.collection_state import State
from exporter.core.task import Task
from exporter.simulator.fleet import Rates
from tests.support.moving_list import APP, ListService, MovingList, all_of, failing, page_of, refused
from tests.support.moving_world import Reader, Scene, World
from tests.support.virtual_time import VirtualClock, run

PAGE = 12  # the largest page here: windows share 3 rows, and 6 known rows are an anchor


def sweep(
    service: ListService, *, expected_tasks: int = 0, max_tasks: int = 10_000, fetch: Fetch | None = None
) -> Reading:
    """Read a whole list of which nothing is known."""

    async def read() -> Reading:
        rows = AppRows(APP, Interner())
        reader = ListReader(rows, monotonic=VirtualClock().monotonic, max_tasks=max_tasks, largest_page=PAGE)
        return await reader.read_all(
            fetch or service.fetch, lambda _digest: None, expected_tasks=expected_tasks, plan=Plan.overlapping(PAGE)
        )

    return run(read(), at_most_seconds=600)


def update(service: ListService, known: dict[int, str]) -> Reading:
    """Read the front of a list of which some rows are known."""

    async def read() -> Reading:
        rows = AppRows(APP, Interner())
        reader = ListReader(rows, monotonic=VirtualClock().monotonic, max_tasks=10_000, largest_page=PAGE)
        return await reader.read_front(service.fetch, known.get)

    return run(read(), at_most_seconds=600)


def void(_result: object) -> None:
    """Drop what something returns."""


def known_rows(tasks: MovingList) -> dict[int, str]:
    """Return the digests of all rows as they are now."""
    return {row_digest(msgspec.Raw(msgspec.json.encode(tasks.row(task_id)))): task_id for task_id in tasks.order}


def before(answers: dict[int, Callable[[], object]]) -> Callable[[], None]:
    """Return what lets something happen before the n-th answer, counted from 1."""
    answered = iter(range(1, 10_000))

    def happen() -> None:
        answers.get(next(answered), lambda: None)()

    return happen


@pytest.mark.parametrize("past_end", ["empty", "refused", "last_page"])
@pytest.mark.parametrize("tasks", [0, 1, 11, 12, 13, 23, 24, 36, 100, 120])
def test_a_quiet_list_is_read_to_its_end(tasks: int, past_end: str) -> None:
    """Any number of tasks is read whole, exact multiples of the page too, whatever lies past the end."""
    service = ListService(MovingList(tasks), past_end=past_end)
    reading = sweep(service)
    assert reading.complete
    assert reading.seen == reading.fresh.keys() == set(service.tasks.order)
    assert reading.duplicate_rows == 0


def test_a_list_of_one_page_takes_two_requests() -> None:
    """A short first page is the end when the window behind it brings nothing new: nothing more is asked."""
    service = ListService(MovingList(PAGE - 1))
    sweep(service, expected_tasks=PAGE - 1)
    first, behind = service.requests
    assert first == Window(1, PAGE)
    assert isinstance(behind, Window)
    assert behind.start < PAGE - 1 < behind.end


@pytest.mark.parametrize("past_end", ["empty", "refused", "last_page"])
@pytest.mark.parametrize("deleted", [1, 3, 4, 8, 11, 12, 20])
def test_rows_that_slide_forward_over_a_border_are_not_missed(deleted: int, past_end: str) -> None:
    """When tasks above a window are deleted before it is read, the reading steps back to where the rows are now."""
    tasks = MovingList(60)
    first = tasks.order[:deleted]
    service = ListService(tasks, past_end=past_end, before_answer=before({3: all_of(tasks.delete, first)}))
    reading = sweep(service)
    assert reading.complete
    assert reading.seen >= set(tasks.order)


@pytest.mark.parametrize("updated", [1, 9, 12, 13, 40])
def test_rows_that_are_pushed_back_are_no_end(updated: int) -> None:
    """A full page without a new row proves nothing when tasks below it were updated; the list is read to its end."""
    tasks = MovingList(60)
    last = tasks.order[-updated:]
    service = ListService(tasks, before_answer=before({2: all_of(tasks.update, last)}))
    reading = sweep(service)
    assert reading.complete
    assert reading.seen >= set(tasks.order) - set(last)


def test_rows_that_come_again_are_counted_without_the_planned_overlaps() -> None:
    """Two creations push two rows over each border that is still ahead: they are read twice, and counted once."""
    tasks = MovingList(20)
    service = ListService(tasks, before_answer=before({2: lambda: (tasks.create(), tasks.create())}))
    assert sweep(service).duplicate_rows == 2


@pytest.mark.parametrize("past_end", ["empty", "refused", "last_page"])
def test_a_list_that_shrinks_below_what_was_read_ends_where_it_ends(past_end: str) -> None:
    """When the rest of the list and more vanishes, the reading finds the new end."""
    tasks = MovingList(50)
    service = ListService(tasks, past_end=past_end, before_answer=before({3: all_of(tasks.delete, tasks.order[20:])}))
    reading = sweep(service)
    assert reading.complete
    assert reading.seen >= set(tasks.order)


def test_a_list_that_grows_while_it_is_read_is_read_to_its_new_end() -> None:
    """Tasks that come on top push the end away; all that were there are seen."""
    tasks = MovingList(30)
    throughout = set(tasks.order)
    service = ListService(tasks, before_answer=lambda: void(tasks.create()))
    reading = sweep(service)
    assert reading.complete
    assert reading.seen >= throughout


def test_the_last_page_again_is_the_end() -> None:
    """A full last page that comes again past the end, because the list shrank to its border, is the end."""
    tasks = MovingList(24)
    service = ListService(
        tasks, past_end="last_page", before_answer=before({2: all_of(tasks.delete, tasks.order[:12])})
    )
    reading = sweep(service)
    assert reading.complete
    assert reading.seen >= set(tasks.order)


@pytest.mark.parametrize("counted_row", [lambda window: window.start, lambda window: window.end])
def test_a_service_that_refuses_to_go_deep_is_limit_exceeded(counted_row: Callable[[Window], int]) -> None:
    """When a window is refused, and one across its border is too, or is full, what lies behind can't be read."""

    def page_of_list(order: list[str], window: Window) -> list[str]:
        if counted_row(window) > 30:
            raise refused()
        return order[window.start : window.end]

    with pytest.raises(ApiError, match="refuses to list beyond row") as caught:
        sweep(ListService(MovingList(60), page_of_list=page_of_list))
    assert caught.value.state is State.LIMIT_EXCEEDED


def test_a_refused_first_window_is_what_it_is() -> None:
    """A request that is refused at once says nothing about where the list ends."""

    def refuse(_service: ListService) -> None:
        raise failing(State.REQUEST_REJECTED)

    with pytest.raises(ApiError) as caught:
        sweep(ListService(MovingList(3), break_answer=refuse))
    assert caught.value.state is State.REQUEST_REJECTED


LISTED = MovingList(60)


def answering(page: Callable[[Window], ListPage]) -> Fetch:
    """Return the fetch of a list that answers each window with a page."""

    async def fetch(window: Window) -> WindowAnswer:
        return WindowAnswer(page(window), 0.0)

    return fetch


@pytest.mark.parametrize(
    ("reason", "page"),
    [
        ("ignores PageNo", lambda window: page_of(*map(LISTED.row, LISTED.order[: window.page_size]))),
        ("13 rows though 12 were asked for", lambda _window: page_of(*map(LISTED.row, LISTED.order[: PAGE + 1]))),
        ("a task of another app", lambda _window: page_of({"AppId": "another", "TaskId": "task"})),
    ],
)
def test_a_page_that_can_not_be_right_is_an_invalid_response(reason: str, page: Callable[[Window], ListPage]) -> None:
    """Another page than was asked for, too many rows and foreign ones end the reading, which says why."""
    with pytest.raises(ApiError, match=reason) as caught:
        sweep(ListService(MovingList()), fetch=answering(page))
    assert caught.value.state is State.INVALID_RESPONSE


def _at_rest(rows: list[dict[str, Any]]) -> Fetch:
    """Return the fetch of a list that does not move."""
    return answering(lambda window: page_of(*rows[window.start : window.end]))


@pytest.mark.parametrize("different", [True, False])
@pytest.mark.parametrize("nameless_first", [True, False])
def test_each_row_without_a_task_id_counts_once(*, different: bool, nameless_first: bool) -> None:
    """However many there are, alike or not, they are counted as often as they are listed, and cost no task."""
    nameless = [{"AppId": APP, "ChannelId": f"channel-{number if different else 0}"} for number in range(30)]
    named = [{"AppId": APP, "TaskId": f"task-{number}"} for number in range(30)]
    reading = sweep(ListService(MovingList()), fetch=_at_rest(nameless + named if nameless_first else named + nameless))
    assert reading.complete
    assert reading.seen == {row["TaskId"] for row in named}
    assert reading.rows_without_task_id == 30 or not different


@pytest.mark.parametrize("between", [0, 40])
def test_of_two_rows_of_one_task_the_one_nearer_to_the_front_counts(between: int) -> None:
    """The list is sorted by update: the first row is the newer one, whether the other was known or not."""
    twice = [{"AppId": APP, "TaskId": "twice", "ChannelId": channel} for channel in ("newer", "older")]
    others = [{"AppId": APP, "TaskId": f"task-{number}"} for number in range(between)]
    reading = sweep(ListService(MovingList()), fetch=_at_rest([twice[0], *others, twice[1]]))
    assert reading.fresh["twice"].task.channel_id == "newer"
    assert reading.duplicate_rows == 1


def test_rows_without_a_task_id_count_towards_the_limit() -> None:
    """A list of endless rows that name no task is not read forever."""
    rows = [{"AppId": APP, "TaskId": f"task-{number}"} for number in range(20)]
    nameless = [{"AppId": APP, "ChannelId": f"channel-{number}"} for number in range(10)]
    assert sweep(ListService(MovingList()), fetch=_at_rest(rows + nameless), max_tasks=30).complete
    with pytest.raises(ApiError) as caught:
        sweep(ListService(MovingList()), fetch=_at_rest(rows + nameless), max_tasks=29)
    assert caught.value.state is State.LIMIT_EXCEEDED


def test_a_failed_request_fails_the_reading_and_cancels_those_in_flight() -> None:
    """One failure is enough, and none of the other requests is left behind."""

    def fail_the_fourth(service: ListService) -> None:
        if len(service.requests) == 4:
            raise failing(State.SERVER_ERROR)

    service = ListService(MovingList(1000), break_answer=fail_the_fourth)
    with pytest.raises(ApiError, match="server_error"):
        sweep(service, expected_tasks=1000)
    assert len(service.requests) <= IN_FLIGHT


@pytest.mark.parametrize(("expected_tasks", "most"), [(0, 1), (2000, IN_FLIGHT)])
def test_requests_are_in_flight_on_ground_that_was_there_last_time(expected_tasks: int, most: int) -> None:
    """A list that is known to be long is asked for ahead from the start; of an unknown one a window at first."""
    service = ListService(MovingList(2000))
    in_flight: list[int] = []
    now = 0

    async def fetch(window: Window) -> WindowAnswer:
        nonlocal now
        now += 1
        in_flight.append(now)
        answer = await service.fetch(window)
        now -= 1
        return answer

    sweep(service, expected_tasks=expected_tasks, fetch=fetch)
    assert max(in_flight[:IN_FLIGHT]) >= most
    assert max(in_flight) == IN_FLIGHT
    assert in_flight[1] == (1 if expected_tasks == 0 else 2)


def test_a_service_that_capped_pages_is_asked_for_one_page_at_first() -> None:
    """Where pages were smaller than requested, the first one shows whether they still are before others are wanted."""
    service = ListService(MovingList(60), page_of_list=lambda order, window: order[window.start : window.end][:9])
    asked_before_an_answer: list[int] = []

    async def fetch(window: Window) -> WindowAnswer:
        asked_before_an_answer[-1] += not service.requests
        return await service.fetch(window)

    async def read_twice() -> None:
        rows = AppRows(APP, Interner())
        reader = ListReader(rows, monotonic=VirtualClock().monotonic, max_tasks=100, largest_page=PAGE)
        for _ in range(2):
            service.requests.clear()
            asked_before_an_answer.append(0)
            await reader.read_all(fetch, lambda _digest: None, expected_tasks=60, plan=Plan.overlapping(PAGE))

    run(read_twice(), at_most_seconds=600)
    assert asked_before_an_answer[0] > asked_before_an_answer[1] == 1


def test_hardly_a_request_is_spent_beyond_the_expected_end() -> None:
    """Where the list ended last time, one window at a time is asked for."""
    service = ListService(MovingList(60))
    sweep(service, expected_tasks=60)
    assert sum(window.start >= 60 for window in service.requests if isinstance(window, Window)) == 0


def test_a_row_that_has_jumped_to_the_front_is_no_proof_that_windows_join() -> None:
    """Of two requests the later overtakes: it shows a row that is saved again before the earlier is answered.

    Both windows then hold that row, and yet rows between them were seen by neither.
    """
    tasks = MovingList(40)
    throughout = set(tasks.order)

    def between() -> None:
        all_of(tasks.update, tasks.order[-5:])()
        tasks.resave(tasks.order[20])

    delays = iter([0.02, 0.01])

    async def fetch(window: Window) -> WindowAnswer:
        await asyncio.sleep(next(delays, 0.02))
        return await service.fetch(window)

    service = ListService(tasks, before_answer=before({2: between}), one_way_seconds=lambda: 0.0)
    reading = sweep(service, expected_tasks=40, fetch=fetch)
    assert service.requests[0] != Window(1, PAGE)
    assert reading.seen == throughout


def test_a_task_that_is_saved_again_is_no_anchor() -> None:
    """Known rows that end a window, fewer than an anchor, hide nothing of what changed before them."""
    tasks = MovingList(100)
    known = known_rows(tasks)
    changed = tasks.order[-10:]
    all_of(tasks.update, changed[:3])()
    all_of(tasks.resave, ["task-90", "task-91", "task-92", "task-93", "task-94"])()  # which end the first window
    all_of(tasks.update, changed[3:])()
    reading = update(ListService(tasks), known)
    assert reading.anchored
    assert reading.fresh.keys() == set(changed)


async def test_new_rows_are_read_in_slices() -> None:
    """The event loop goes on while large pages are read, after a slice of one each time; only a few pages wait."""
    looks = itertools.count()
    turns = ReadingTurns(lambda: 0.004 * next(looks))
    tasks = MovingList(60)
    raw = [msgspec.Raw(msgspec.json.encode(tasks.row(task_id))) for task_id in tasks.order]
    read = 0
    slices: list[int] = []

    class CountedRows(AppRows):
        def read(self, row: msgspec.Raw, /) -> Task | None:
            nonlocal read
            read += 1
            return super().read(row)

    reading = asyncio.gather(
        *(CountedRows(APP, Interner(), turns).read_many(raw) for _ in range(MOST_PAGES_IN_SLICES + 1))
    )
    while not reading.done():
        before = read
        await asyncio.sleep(0)
        slices.append(read - before)
    for found in await reading:
        assert [task and task.task_id for task in found] == tasks.order
    assert slices[0] == 3 * MOST_PAGES_IN_SLICES + 60
    assert max(slices[1:]) <= 3, slices


@pytest.mark.parametrize("tasks", [0, 99, 100, 240, 1000, 5000])
def test_a_sweep_takes_the_requests_that_are_forecast(tasks: int) -> None:
    """A list at rest is read with as many requests as the forecast assumes, within a hundredth."""

    async def requests() -> list[int]:
        clock = VirtualClock()
        reader = Reader(
            World(Scene(tasks, Rates(), seed=1, small_rows=True), clock),
            Limiter(50, clock=clock),
            Intervals(1000, 20, 2000, 1),
        )
        loops = [asyncio.ensure_future(loop) for loop in reader.loops()]
        await clock.sleep(60)
        for loop in loops:
            loop.cancel()
        return [sweep.requests for sweep in reader.sweeps[1:3]]

    with capture_logs():
        assert run(requests()) == pytest.approx([sweep_requests_of(tasks)] * 2, rel=0.01)


@given(st.integers(1, 100_000), st.integers(1, 49))
def test_windows_overlap_and_get_on(reached: int, overlap: int) -> None:
    """Wherever one is, the next window begins at least the overlap before it and ends beyond it."""
    window = window_after(reached, overlap=min(overlap, reached // 2))
    assert window.end > reached
    assert reached - window.start >= min(overlap, reached // 2)
    assert 1 <= window.page_size <= 100
