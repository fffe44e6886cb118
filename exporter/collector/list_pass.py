"""One pass down a list that moves, in five steps: which window is requested next, and what each answer proves."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial
from typing import Final

from exporter.aliyun import response
from exporter.aliyun.errors import ApiError
from exporter.collector.reading import (
    FIRST_OVERLAP,
    AppRows,
    Gathered,
    IncompleteReadingError,
    Page,
    Plan,
    Reading,
    TaskIdOf,
    UnstableOrderError,
    Window,
    WindowAnswer,
    window_after,
    window_behind,
)
from exporter.core.collection_state import State

MAX_GAPS: Final = 12  # gaps that one pass closes before it fails

GAPS_BELOW_A_STILL_FRONT: Final = 2
"""More of them in succession, while the first window stays the same, are no movement of the list."""

_PAGING_CODES: Final = ("param", "page", "range", "offset", "limit", "exceed")
"""Parts of the codes that refuse a window rather than the whole request."""

_NO_PAGE: Final = Page(Window(1, 1), WindowAnswer(response.ListPage([]), 0.0), [], {})


class Step(Enum):
    """What the next answer is for; the step's own method takes it."""

    READ = auto()  # one window after the other; each must share a row with what was read, or the pass steps back
    PROBE_END = auto()  # a page was short: the window behind it says whether the list ends there
    REPEAT_SHORT = auto()  # it does not: the short page again says whether the service gives no more rows at once
    FOLLOW_OLD = auto()  # a full page was all known: the page behind it says whether that is the last page again
    STRADDLE = auto()  # a window was refused: one across its border says whether the list ends there


class ListPass:
    """One pass, from the front to the end of the list or until the caller has enough."""

    def __init__(
        self,
        rows: AppRows,
        task_id_of: TaskIdOf,
        plan: Plan,
        *,
        monotonic: Callable[[], float],
        max_tasks: int,
        to_the_end: bool,
    ) -> None:
        self._digest = rows.digest
        self._monotonic = monotonic
        self._to_the_end = to_the_end
        self._new_gathered = partial(Gathered, rows, task_id_of, began=monotonic(), max_tasks=max_tasks)
        self.gathered = self._new_gathered(plan)
        self._most_rows = plan.most_rows
        self.planned = 0  # the position up to which windows are requested
        self._step = Step.READ
        self._detour: Window | None = None  # the next window, where it is another than the one that follows
        self._page = _NO_PAGE  # the page that the step is about: the short one, or the one that brought nothing new
        self._gaps = 0
        self._short_pages_repeat = False  # whether pages are short within the list, each time at the same place

    @property
    def reading(self) -> Reading:
        """What was read."""
        return self.gathered.reading

    @property
    def may_ask_ahead(self) -> bool:
        """Whether windows may be requested before the ones in front of them were answered."""
        return self._step is Step.READ and self._detour is None and not self._gaps

    def next_window(self) -> Window:
        """Return the next window to request, if all requested ones succeed."""
        window = self._detour or window_after(
            self.planned, overlap=self.gathered.overlap, largest=self.reading.largest_page
        )
        self._detour = None
        self.planned = window.end
        return window

    async def follow(self, window: Window, request: Awaitable[WindowAnswer]) -> bool:
        """Take the answer to the next window; return False where the windows behind it are of no use any more."""
        reading = self.reading
        reading.windows += 1
        rows_known = len(reading.seen) + reading.rows_without_task_id
        if reading.windows > 64 + 8 * rows_known // reading.largest_page:
            raise self._outrun(window)
        try:
            answer = await request
        except ApiError as error:
            self._refused(window, error)
            return False
        reading.ended = self._monotonic()
        page = Page(window, answer, [self._digest(row) for row in answer.page.rows], {})
        if len(page.digests) > window.page_size:
            self._longer_than_asked_for(page)
            return False
        await self.gathered.read_new(page)
        match self._step:
            case Step.READ:
                return self._read(page)
            case Step.PROBE_END:
                self._probe(page)
            case Step.REPEAT_SHORT:
                self._compare_with_short(page)
            case Step.FOLLOW_OLD:
                self._compare_with_old(page)
            case Step.STRADDLE:
                self._read_straddling(page)
        return False

    def _read(self, page: Page) -> bool:
        """READ: add a page that joins what was read."""
        gathered = self.gathered
        if page.full and page.window.start and gathered.has_all(page):
            self._turn_to(Step.FOLLOW_OLD, page, page.window.following())
            return False
        if self.reading.overlapped and not self._short_pages_repeat and not gathered.joins(page):
            self._step_back(page)
            return False
        if page.window.start:
            self._gaps = 0
        if page.full:
            gathered.add(page)
            if self._most_rows is not None and page.end > self._most_rows:
                raise IncompleteReadingError(
                    f"pages of different sizes do not fit together, and pages of one size have no end within "
                    f"{self._most_rows} rows: check that what answers is the documented service"
                )
            return True
        if not self._to_the_end:
            gathered.add(page)
            self._end(length=page.end)
            return False
        if self._short_pages_repeat:
            return self._read_short_page_that_repeats(page)
        self._read_short(page)
        return False

    def _read_short(self, page: Page) -> None:
        gathered = self.gathered
        gathered.add(page, in_order=self._step is Step.READ)
        self.reading.one_answer = page.window.start == 0 and self._step is Step.READ
        if self.reading.page_size_ignored:
            behind = page.window.following()
        elif page.end == 0:
            behind = Window(1, max(1, self.reading.largest_page // 2))
        else:
            behind = self._behind(page)
        self._turn_to(Step.PROBE_END, page, behind)

    def _behind(self, page: Page) -> Window:
        largest = max(self.gathered.largest_answer, len(page.digests))
        return window_behind(page.window, page.end, overlap=FIRST_OVERLAP, largest=largest)

    def _probe(self, page: Page) -> None:
        """PROBE_END: nothing, or only rows that were read, is the end; anything new is not."""
        short = self._page
        gathered = self.gathered
        new_rows = sum(not gathered.has_task_of(page, place) for place in range(len(page.digests)))
        if new_rows and (page.full or page.end > short.end):
            self._turn_to(Step.REPEAT_SHORT, short, short.window)
        elif page.full:
            self._turn_to(Step.FOLLOW_OLD, page, page.window.following())
        else:
            shows_the_end = bool(page.digests) and page.window.start < short.end
            overlap = page.digests[: max(0, short.end - page.window.start)]
            if shows_the_end and (page.end != short.end or list(self.reading.digests[page.window.start :]) != overlap):
                self.reading.undisturbed = False
            if new_rows:  # the list ends here, and yet the same rows were not shown there a moment ago
                self.reading.unexplained_rows += new_rows
                gathered.add(page, in_order=False)
            self._end(length=page.end if shows_the_end else short.end)

    def _compare_with_short(self, page: Page) -> None:
        """REPEAT_SHORT: full now is a slip; as short as before is a cap, or a page that is always short."""
        short = self._page
        gathered = self.gathered
        self.reading.one_answer = False
        if self.reading.overlapped and not gathered.joins(page):
            self._step_back(page)
            return
        if not page.full and len(page.digests) != len(short.digests):
            self._read_short(page)
            return
        gathered.add(page, in_order=False)
        self._turn_to(Step.READ)
        self.planned = gathered.reached
        if not page.full and page.window.start == 0 and 0 < page.end < self.reading.largest_page:
            self._cap(page.end)
            self.reading.undisturbed = page.digests == short.digests
        elif not page.full:
            self._short_pages_repeat = True
            self.reading.overlapped = False
            self._detour = self._behind(page)

    def _compare_with_old(self, page: Page) -> None:
        """FOLLOW_OLD: the same page again is the last one, or PageNo is ignored; a burst of updates repeats it once."""
        old = self._page
        self._turn_to(Step.READ)
        self.planned = page.window.start
        if page.digests != old.digests:
            return
        if self.gathered.lowest not in page.digests or (self.reading.page_size_ignored and old.window.page_no == 2):
            raise ApiError(
                State.INVALID_RESPONSE,
                f"pages {page.window.page_no - 1} and {page.window.page_no} are the same page, and not the last one: "
                "the service ignores PageNo; check the endpoint",
            )
        self._end(length=self.gathered.reached)

    def _read_straddling(self, page: Page) -> None:
        """STRADDLE: a full page proves that the list continues where windows are refused."""
        if page.full:
            raise _refused_beyond(page.window)
        if not self.gathered.joins(page):
            self._step_back(page)
            return
        self._read_short(page)

    def _read_short_page_that_repeats(self, page: Page) -> bool:
        """READ, where pages are short within the list: only an empty page is its end."""
        if page.digests:
            self.planned = page.window.end
            if not self.gathered.has_all(page):
                self._detour = self._behind(page)
            self.gathered.add(page, in_order=False)
        else:
            self._end(length=None)
        return False

    def _refused(self, window: Window, error: ApiError) -> None:
        """Take a refusal of a window: either the list ends in front of it, or the service refuses to go so deep."""
        about_paging = error.state is State.REQUEST_REJECTED and any(
            part in error.code.lower() for part in _PAGING_CODES
        )
        if not about_paging or window.start == 0:
            raise error
        if self._step is Step.PROBE_END:
            self._end(length=self._page.end)
        elif self._step is Step.STRADDLE:
            raise _refused_beyond(window) from error
        elif self._short_pages_repeat:
            self._end(length=None)
        else:
            overlap = self.gathered.overlap and self.reading.largest_page // 2 - 1
            straddling = window_after(self.gathered.reached, overlap=overlap, largest=self.reading.largest_page)
            self._turn_to(Step.STRADDLE, window=straddling)

    def _longer_than_asked_for(self, page: Page) -> None:
        """Take a page with more rows than requested: the service ignores PageSize, or it is another service."""
        size = len(page.digests)
        if size != len(self.reading.first_digests) or self.reading.page_size_ignored or not self._to_the_end:
            raise ApiError(
                State.INVALID_RESPONSE,
                f"page {page.window.page_no} holds {size} rows though {page.window.page_size} were asked for: "
                "what answers is not the documented service; check the endpoint",
            )
        windows = self.reading.windows
        self.gathered = self._new_gathered(Plan(size, 0, page_size_ignored=True))
        self.reading.windows = windows
        self._turn_to(Step.READ)
        self.planned = 0

    def _cap(self, rows: int) -> None:
        plan = Plan.overlapping(rows) if self.reading.overlapped else Plan(rows, 0)
        self.reading.largest_page = rows
        self.gathered.overlap = plan.overlap
        self.reading.overlapped = plan.overlap > 0

    def _step_back(self, page: Page) -> None:
        """A page shares no row with what was read: rows slid out between. Go back to where they are now."""
        self._gaps += 1
        still = self._gaps > GAPS_BELOW_A_STILL_FRONT and self.gathered.front_is_still
        if self._to_the_end and (still or self.reading.unexplained_rows):
            raise UnstableOrderError(
                f"pages do not fit together at row {page.window.start} though the list does not move: "
                "its rows have no stable order, or what answers is not the documented service"
            )
        if self._gaps > MAX_GAPS:
            raise self._outrun(page.window)
        largest = self.reading.largest_page
        self.reading.undisturbed = False
        self.gathered.overlap = min(2 * self.gathered.overlap, largest // 2 - 1)
        self._turn_to(Step.READ)
        self.planned = max(0, page.window.start - (largest << self._gaps) // 2)

    def _turn_to(self, step: Step, page: Page = _NO_PAGE, window: Window | None = None) -> None:
        if step in {Step.FOLLOW_OLD, Step.REPEAT_SHORT}:
            self.reading.undisturbed = False
        self._step, self._page, self._detour = step, page, window

    def _end(self, *, length: int | None) -> None:
        self.reading.length = length
        self.reading.complete = True

    def _outrun(self, window: Window) -> IncompleteReadingError:
        return IncompleteReadingError(
            f"the list changes faster than it can be read within the budget (at row {window.start}): "
            "raise requests_per_second, or collect fewer apps with this account"
        )


def _refused_beyond(window: Window) -> ApiError:
    return ApiError(
        State.LIMIT_EXCEEDED,
        f"the service refuses to list beyond row {window.start}: "
        "what is behind it can't be read; spread the tasks over more apps",
    )
