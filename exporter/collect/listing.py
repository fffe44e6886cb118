"""One exact reading of one app's list, while the list moves.

The list is sorted by update, newest first. A row that is updated or created jumps to the front and pushes others
back; a deleted one lets those below slide forward. Two facts carry the proof that nothing was missed:

* Windows overlap (see `windows`): a window that shares a row with what was read before it leaves no hole. One that
  does not is a gap, and the reading steps back until it meets known ground. As requests overtake each other, a row
  that was saved again without a change may stand in a deep window and, newly moved, in the first one: there only the
  last rows are ground.
* What jumped to the front while the rest was read is found by reading the front once more, down to rows that are
  known and unchanged: everything below them has not moved.

A reading knows nothing of deadlines, retries and budgets: it asks `fetch` for windows.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from exporter.aliyun.errors import ApiError
from exporter.aliyun.response import Page
from exporter.collect.together import cancel_all
from exporter.collect.windows import LARGEST_PAGE, Window, window_after
from exporter.state import State
from exporter.task import Task

ANCHOR_ROWS: Final = 8
"""So many known, unchanged rows in succession end an update. One is no anchor: a task that is saved again without a
change looks the same at the front."""

FIRST_OVERLAP: Final = 4
"""Rows that two windows share at first: so many rows less one may slide over their border in between."""

IN_FLIGHT: Final = 16
MAX_GAPS: Final = 12
"""Gaps that one reading closes before it gives up."""

MAX_UPDATE_WINDOWS: Final = 24
"""An update that finds no anchor in so many windows leaves the rest to a sweep."""


class Answer(NamedTuple):
    """One window's page."""

    page: Page
    sent_at: float
    """Monotonic seconds: when the request was sent."""


Fetch = Callable[[Window], Awaitable[Answer]]
TaskIdOf = Callable[[int], str | None]
"""Whose current row has this digest; None: the row is new or changed."""


class Rows(Protocol):
    """How rows are told apart and read."""

    def digest(self, row: msgspec.Raw, /) -> int:
        """Return a digest of the row's bytes."""

    def read(self, row: msgspec.Raw, /) -> Task | None:
        """Return the task, None where the row has no TaskId; raises ApiError for a row of another app."""


class Fresh(msgspec.Struct, frozen=True, gc=False):
    """A row that was not known when it was read."""

    task: Task
    sent_at: float
    """Monotonic seconds: when the request that brought it was sent."""


class Reading(msgspec.Struct):
    """What one reading brought."""

    began: float
    """Monotonic seconds."""
    ended: float = 0.0
    """Monotonic seconds: when the last answer came."""
    seen: set[str] = msgspec.field(default_factory=set)
    """The TaskId of every row, known or fresh."""
    fresh: dict[str, Fresh] = msgspec.field(default_factory=dict)
    windows: int = 0
    """How many were read."""
    duplicate_rows: int = 0
    """Rows that came again beyond the overlaps that were planned, because the list moved."""
    rows_without_task_id: int = 0
    fresh_below_front: set[str] = msgspec.field(default_factory=set)
    """Whose fresh rows stood below the first window."""
    complete: bool = False
    """Whether it reached the end of the list."""
    anchored: bool = False
    """Whether it ended at rows that were known and unchanged."""


class IncompleteReadingError(Exception):
    """Every request was answered, and yet the list moved too fast to be read without a hole."""


class ListReader:
    """Reads the list of one app, whole or its front."""

    def __init__(
        self,
        rows: Rows,
        *,
        monotonic: Callable[[], float],
        max_tasks: int,
        largest_page: int = LARGEST_PAGE,
    ) -> None:
        self._rows = rows
        self._monotonic = monotonic
        self.max_tasks = max_tasks
        self._largest_page = largest_page

    async def read_front(
        self, fetch: Fetch, task_id_of: TaskIdOf, *, at_most_windows: int = MAX_UPDATE_WINDOWS
    ) -> Reading:
        """Read from the front to rows that are known and unchanged, or to the end.

        A reading that is neither complete nor anchored is true as far as it goes; the rest is a sweep's.

        Raises:
            ApiError: a request failed, or a page can't be right.
            IncompleteReadingError: the list moved too fast.
        """
        course = self._course(task_id_of)
        reading = course.reading
        while not (reading.complete or reading.anchored) and reading.windows < at_most_windows:
            window = course.plan()
            await course.follow(window, fetch(window))
            reading.anchored = course.ends_in_known_rows
        return reading

    async def read_all(self, fetch: Fetch, task_id_of: TaskIdOf, *, expected_tasks: int) -> Reading:
        """Read the whole list, several requests in flight.

        Args:
            fetch: brings one window.
            task_id_of: tells known rows.
            expected_tasks: how many there were last time, 0 where nobody knows: hardly a request is spent in advance
                on what probably does not exist.

        Raises:
            ApiError: a request failed, a page can't be right, or there are more tasks than `max_tasks`.
            IncompleteReadingError: the list moved too fast.
        """
        course = self._course(task_id_of)
        ahead: deque[tuple[Window, asyncio.Future[Answer]]] = deque()
        try:
            while not course.reading.complete:
                while len(ahead) < course.worth_asking_ahead(expected_tasks):
                    window = course.plan()
                    ahead.append((window, asyncio.ensure_future(fetch(window))))
                as_planned = await course.follow(*ahead.popleft())
                if not as_planned:
                    await cancel_all(request for _, request in ahead)
                    ahead.clear()
        finally:
            await cancel_all(request for _, request in ahead)
        return course.reading

    def _course(self, task_id_of: TaskIdOf) -> "_Course":
        return _Course(
            self._rows,
            task_id_of,
            monotonic=self._monotonic,
            max_tasks=self.max_tasks,
            largest_page=self._largest_page,
        )


class _Course:
    """The way of one reading down the list: what it has gathered, and where it goes next."""

    def __init__(
        self,
        rows: Rows,
        task_id_of: TaskIdOf,
        *,
        monotonic: Callable[[], float],
        max_tasks: int,
        largest_page: int,
    ) -> None:
        self._rows = rows
        self._task_id_of = task_id_of
        self._monotonic = monotonic
        self._max_tasks = max_tasks
        self._largest_page = largest_page
        self._anchor_rows = min(ANCHOR_ROWS, largest_page // 2)
        self._overlap = min(FIRST_OVERLAP, largest_page // 4)
        self.reading = Reading(began=monotonic())
        self.ends_in_known_rows = False
        self._fresh_digests: set[int] = set()
        """Of the rows that were not known, from the front down without a hole."""
        self._nameless: set[int] = set()
        """Of the rows without a TaskId: they may be alike, so that a page of them is no sign of the end."""
        self._perhaps_jumped: set[int] = set()
        """Rows that were gathered in the first window alone: meeting one again proves nothing."""
        self._lowest: int | None = None
        """The digest of the last row that was gathered."""
        self._reached = 0
        """Where the last window that was gathered ended."""
        self._planned = 0
        self._detour: Window | None = None
        self._gaps = 0
        self._repeated: list[int] | None = None
        self._straddles: Window | None = None

    def plan(self) -> Window:
        """Return the next window to ask for, where all that are planned turn out well."""
        window = self._detour or window_after(self._planned, overlap=self._overlap, largest=self._largest_page)
        self._detour = None
        self._planned = window.end
        return window

    def worth_asking_ahead(self, expected_tasks: int) -> int:
        """How many requests may be in flight: many on ground that was there last time, few beyond it."""
        if self._gaps or self._detour is not None or self._repeated is not None or self._straddles is not None:
            return 1
        if self._planned < expected_tasks:
            return IN_FLIGHT
        return 1 if expected_tasks else max(1, min(IN_FLIGHT, self.reading.windows))

    async def follow(self, window: Window, request: Awaitable[Answer]) -> bool:
        """Take in the next window in order; False where the plan has changed."""
        self.reading.windows += 1
        rows_known = len(self.reading.seen) + self.reading.rows_without_task_id
        if self.reading.windows > 64 + 8 * rows_known // self._largest_page:
            raise IncompleteReadingError
        try:
            answer = await request
        except ApiError as error:
            if error.state is not State.REQUEST_REJECTED or window.start == 0:
                raise
            self._ask_across_the_border(error)
            return False
        self.reading.ended = self._monotonic()
        rows = answer.page.rows
        if len(rows) > window.page_size:
            raise ApiError(
                State.INVALID_RESPONSE,
                f"page {window.page_no} holds {len(rows)} rows though {window.page_size} were asked for: "
                "what answers is not the documented service",
            )
        digests = [self._rows.digest(row) for row in rows]
        if self._repeated is not None:
            return self._judge_repetition(window, digests)
        full = len(digests) == window.page_size
        if full and window == self._straddles:
            raise _refused_beyond(window)
        if full and window.start and all(map(self._is_gathered, digests)) and not self._nameless.issuperset(digests):
            self._repeated, self._detour = digests, window.following()
            return False
        if not self._joins(window, digests):
            self._check(answer, digests)
            self._step_back(window)
            return False
        if window.start:
            self._gaps = 0
        self._gather(window, answer, digests)
        self.reading.complete = not full
        return True

    def _is_gathered(self, digest: int) -> bool:
        """Whether a row was gathered before, as it is."""
        if digest in self._fresh_digests:
            return True
        task_id = self._task_id_of(digest)
        return task_id in self.reading.seen and task_id not in self.reading.fresh

    def _joins(self, window: Window, digests: list[int]) -> bool:
        """Whether nothing can stand between what is gathered and a window."""
        return window.start == 0 or any(
            self._is_gathered(digest) and digest not in self._perhaps_jumped for digest in digests
        )

    def _gather(self, window: Window, answer: Answer, digests: list[int]) -> None:
        """Take in a window that joins what is gathered."""
        read_again = 0
        anchor = True
        fresh_digests = set[int]()
        for place, digest in enumerate(digests):
            task_id = self._task_id_of(digest)
            if place >= len(digests) - self._anchor_rows:
                anchor = anchor and task_id is not None
            if task_id is None:
                fresh_digests.add(digest)
                read_again += self._read(window, answer, place, digest)
            elif task_id in self.reading.seen:
                read_again += 1
            else:
                self.reading.seen.add(task_id)
        read_again_on_purpose = max(0, self._reached - window.start)
        self.reading.duplicate_rows += max(0, read_again - read_again_on_purpose)
        self._reached = window.end
        self.ends_in_known_rows = anchor and len(digests) >= self._anchor_rows
        self._fresh_digests |= fresh_digests
        if window.start:
            self._perhaps_jumped.difference_update(digests)
        else:
            self._perhaps_jumped.update(digests[: -self._overlap])
            self._perhaps_jumped.difference_update(digests[-self._overlap :])
        if read_again < len(digests):
            self._lowest = digests[-1]
        if len(self.reading.seen) > self._max_tasks:
            raise ApiError(
                State.LIMIT_EXCEEDED,
                f"there are more than {self._max_tasks} tasks: raise collection.max_tasks_per_app",
            )

    def _read(self, window: Window, answer: Answer, place: int, digest: int) -> bool:
        """Read a row that is not known; return whether it, or another of the same task, was gathered before.

        The list is sorted by update: of two rows of one task, the one nearer to the front is the newer.
        """
        if digest in self._fresh_digests:
            return True
        task = self._rows.read(answer.page.rows[place])
        if task is None:
            self.reading.rows_without_task_id += 1
            self._nameless.add(digest)
            return False
        if task.task_id in self.reading.seen:
            return True
        self.reading.seen.add(task.task_id)
        self.reading.fresh[task.task_id] = Fresh(task, answer.sent_at)
        if window.start:
            self.reading.fresh_below_front.add(task.task_id)
        return False

    def _check(self, answer: Answer, digests: list[int]) -> None:
        """Refuse a page that can't be right, also where nothing of it is used: it is no sign of a list that moves."""
        for row, digest in zip(answer.page.rows, digests, strict=True):
            if self._task_id_of(digest) is None:
                self._rows.read(row)

    def _step_back(self, window: Window) -> None:
        """A window shares nothing with what is gathered: rows slid out between. Go back to where they are now."""
        self._gaps += 1
        if self._gaps > MAX_GAPS:
            raise IncompleteReadingError
        self._overlap = min(2 * self._overlap, self._largest_page // 2 - 1)
        self._planned = max(0, window.start - (self._largest_page << self._gaps) // 2)

    def _judge_repetition(self, window: Window, digests: list[int]) -> bool:
        """A full window brought nothing new. Only when the page behind it is the same page does that say a thing.

        Some services answer a page past the end with the last page again. A burst of updates, which pushes known
        rows back by a page, looks the same once, not twice.
        """
        same, self._repeated = digests == self._repeated, None
        if same and self._lowest in digests:
            self.reading.complete = True
        elif same:
            raise ApiError(
                State.INVALID_RESPONSE,
                f"pages {window.page_no - 1} and {window.page_no} are the same page, and not the last one: "
                "what answers does not heed PageNo",
            )
        else:
            self._planned = window.start
        return False

    def _ask_across_the_border(self, error: ApiError) -> None:
        """A window was refused: is the list at its end there, or does the service refuse to go so deep?"""
        if self._straddles is not None:
            raise _refused_beyond(self._straddles) from error
        self._straddles = window_after(self._reached, overlap=self._largest_page // 2 - 1, largest=self._largest_page)
        self._detour = self._straddles


def _refused_beyond(window: Window) -> ApiError:
    """The service does not show what lies behind a window."""
    return ApiError(
        State.LIMIT_EXCEEDED,
        f"the service refuses to list beyond row {window.start}: "
        "what lies behind can't be read; spread the tasks over more apps",
    )
