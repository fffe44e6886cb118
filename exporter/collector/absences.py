"""What became of tasks that are known and that the list did not show.

That a task was not seen is no proof that it is gone: it may have moved. A task is in doubt until it is seen again, or a
lookup by its TaskId comes back empty, or the list proves that it holds no other tasks than it showed. A lookup that
fails leaves it in doubt, and is tried again later.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from heapq import nsmallest
from typing import Final
from zlib import crc32

from exporter.collector.inventory import Change, Inventory
from exporter.collector.lookups import Doubts, Found, OtherTasksError, TaskLookups
from exporter.collector.reading import REPLICA_LAG_SECONDS, AppRows, IncompleteReadingError, Reading
from exporter.collector.requests import AppRequests
from exporter.core.clock import Clock
from exporter.core.collection_state import State

_FINE: Final = (State.OK, "")
PROOFS_OF_LARGE_LOSS: Final = 5
"""This many lookups of lost tasks, or all of them where there are fewer, must come back empty."""
MOST_LOOKUPS_FOR_PROOF: Final = 15
"""This many lookups must come back empty, and none may find its task, before all that a list at rest does not show is
gone, though a list that is cut would not show it either."""
LARGE_LOSS_TASKS: Final = 10
LARGE_LOSS_SHARE: Final = 1 / 3
PROOF_SECONDS: Final = 60.0  # for how long the proof of a large loss is looked for
QUICK_PROOF_SECONDS: Final = 3.0  # a proof of a large loss that takes longer shows in the state
RETRY_SECONDS: Final = 5.0  # after a lookup that failed, before a row that was refused as outdated is read again


class Absences:
    """The tasks of one app that its list does not show though they are known, and rows that were not believed."""

    def __init__(self, requests: AppRequests, rows: AppRows, inventory: Inventory, clock: Clock) -> None:
        self._clock = clock
        self._lookups = TaskLookups(requests, rows, clock)
        self._inventory = inventory
        self._doubts = Doubts()
        self._found_unlisted: set[str] = set()  # what lookups found after a reading did not show it, until one does
        self.is_cut = False  # whether the last sweep did not show tasks that lookups find
        self._cut_at: int | None = None  # the last row of a list that was cut, as long as none was longer
        self._lost = 0  # lookups since the last sweep was read that found gone what it proved absent
        self._proofs_of_loss: set[str] = set()  # some tasks of a large loss that lookups found gone, removed or not
        self._absent: set[str] = set()
        """What the last sweep proved not to be in the list, as long as no lookup finds any of it."""
        self._above_the_end: set[str] = set()
        """What was not shown though the list went on below it, so that it is not cut off."""
        self._cut_perhaps: set[str] = set()  # what it did not show where a list that is cut would not show it either
        self._left_over: set[str] = set()
        """What an earlier sweep did not show either. Each of these needs its own lookup: deleted ones among them would
        hide the others from a sample."""
        self._absent_before: set[str] = set()  # what the sweep before proved, too, while no lookup was answered
        self._read_again_at: dict[str, float] = {}
        """Tasks whose row was refused as outdated, and from when on a request shows what is true."""
        self._settling = False
        self._proofs: list[float] = []  # when each proof of a large loss that is looked for began, in monotonic seconds
        self._last_lookup = _FINE  # how it went

    @property
    def lookup_state(self) -> tuple[State, str]:
        """The state of lookups, and why.

        Not ok while tasks wait for one and other tasks were the last answer, or while a large loss waits for its proof.
        """
        if self._last_lookup is not _FINE and (self._doubts or self._read_again_at):
            return self._last_lookup
        if self._doubts and self._proofs and self._clock.monotonic() - self._proofs[0] > QUICK_PROOF_SECONDS:
            return State.PARTIAL, (
                "the list does not show many known tasks, and lookups have not confirmed it yet: the last data is kept"
            )
        return _FINE

    @property
    def doubtful_tasks(self) -> int:
        """How many tasks are in doubt."""
        return len(self._doubts)

    def seen(self, task_ids: Iterable[str]) -> None:
        """Take it that tasks exist."""
        self._doubts.settle(task_ids)
        for looked_up in (self._found_unlisted, self._proofs_of_loss):
            if looked_up:
                looked_up.difference_update(task_ids)

    def read(self, reading: Reading) -> None:
        """Take in what a reading of the front saw: also current rows of tasks whose older rows were refused."""
        self.seen(reading.seen)
        for task_id in [task_id for task_id, at in self._read_again_at.items() if at <= reading.began]:
            if task_id in reading.seen and task_id not in reading.fresh:
                del self._read_again_at[task_id]

    def refused(self, rows: dict[str, float]) -> None:
        """Take in whose rows were refused as outdated, and from when on a request shows what is true."""
        self._read_again_at.update(rows)

    def unseen(self, task_ids: Iterable[str], *, since: float) -> None:
        """Take in which tasks a reading did not show, and when it began, in monotonic seconds."""
        self._doubts.add(task_ids, since=since)

    def swept(self, unseen: Sequence[str], *, since: float, proves_absence: bool, above_the_end: set[str]) -> None:
        """Take in which tasks a sweep did not show, and when it began, in monotonic seconds.

        If it `proves_absence`, the list does not hold them: they are gone, unless the list is cut. It is not cut where
        it continues below them (`above_the_end`). Some of these are looked up all the same, and none may be found; if
        no lookup is answered, another sweep must prove it, too.
        """
        self.unseen(unseen, since=since)
        self._lost = 0
        self._above_the_end = above_the_end | self._above_the_end.intersection(unseen)
        self._absent_before &= set(unseen) if proves_absence else set()
        self._absent = set(self._above_the_end) if proves_absence else set()
        self._cut_perhaps = set(unseen) - self._absent - self._left_over if proves_absence else set()

    def why_cut(self, length: int | None) -> str:
        """Return why a list that ends at a row is incomplete, if lookups proved that it is cut there; else nothing."""
        if length is None or length != self._cut_at:
            return ""
        return (
            f"the list ends at row {length}, yet lookups find tasks that it does not show: the service cuts it there, "
            "or shows other rows: the last data is kept, removals are looked up one by one; "
            "spread the tasks over more apps"
        )

    async def look_up_some(self, task_ids: Iterable[str], *, seconds: float) -> Sequence[Found] | None:
        """Look up some of many tasks; return the answers, None: not all came."""
        sample = nsmallest(MOST_LOOKUPS_FOR_PROOF, task_ids, key=lambda task_id: crc32(task_id.encode()))
        answers: list[Found] = []
        try:
            await self._look_up_all(sample, seconds=seconds, found=answers.append)
        except OtherTasksError:
            return None
        return answers if len(answers) == len(sample) else None

    async def check_loss(
        self,
        unseen: Sequence[str],
        *,
        known: int,
        seen: int,
        length: int | None = None,
        overlapped: bool = True,
    ) -> str:
        """Look up some of what a reading did not show, if it lost many tasks, or may hide some again.

        `seen` is how many rows it showed, `length` how many the list has, where that is known; pages that did not
        overlap may be of different lists. Returns why the list is cut, if it is: that counts while it ends at the same
        row, until each task that it does not show was looked up and is gone, as deleted ones among them would hide the
        others from a sample. Raises IncompleteReadingError, whose reason says what is not proven.
        """
        was_cut = bool(self.why_cut(length))
        wanted = min(PROOFS_OF_LARGE_LOSS, len(unseen)) if is_large_loss(len(unseen), known) else 0
        confirmed = self._confirmed_before(unseen, known) if wanted else set()
        chosen = [task_id for task_id in unseen if task_id in self._found_unlisted]
        if was_cut or not (wanted or overlapped):
            chosen += unseen
        elif len(confirmed) < wanted:
            chosen += self._doubts.sample(unseen)
        chosen = list(dict.fromkeys(chosen))[: None if was_cut else MOST_LOOKUPS_FOR_PROOF]
        with self._proof_under_way() if wanted else nullcontext():
            gone, existing = await self._look_up_until(chosen, len(chosen) if was_cut else wanted - len(confirmed))
        confirmed |= gone
        proven = len(confirmed) >= (wanted or len(chosen))
        if length is not None:
            hidden = existing and length and seen + existing > length  # an empty list is not a cut one
            self._cut(length, is_cut=bool(hidden or (was_cut and not confirmed.issuperset(unseen))))
            if existing or proven or not wanted:
                self._left_over = set(unseen)
        if existing or not proven:
            self._absent, self._cut_perhaps = set(), set()  # what was found unlisted before may be so again
        if incomplete := self.why_cut(length):
            self._absent, self._cut_perhaps = set(), set()
        elif wanted and (existing or not proven):
            raise IncompleteReadingError(
                f"the list does not show {len(unseen)} of {known} known tasks, and of {wanted} lookups that must "
                f"confirm it {len(confirmed)} did ({existing} found their task): the last data is kept; "
                "it is tried again soon"
            )
        return incomplete

    @contextmanager
    def _proof_under_way(self) -> Iterator[None]:
        began = self._clock.monotonic()
        self._proofs.append(began)
        try:
            yield
        finally:
            self._proofs.remove(began)

    def _confirmed_before(self, unseen: Sequence[str], known: int) -> set[str]:
        """Return what lookups confirmed of a large loss so far; nothing if of the other tasks many are lost, too."""
        doubts = [self._doubts[task_id] for task_id in unseen if task_id in self._doubts]
        new = sum(not doubt.of_large_loss for doubt in doubts)
        if not self._proofs_of_loss or is_large_loss(new, known - len(unseen) + new):
            self._proofs_of_loss.clear()
            for doubt in doubts:
                doubt.of_large_loss = True
        return set(self._proofs_of_loss)

    def _found_gone(self, task_id: str) -> None:
        self._lost += task_id in self._absent
        doubt = self._doubts.get(task_id)
        if doubt is not None and doubt.of_large_loss and len(self._proofs_of_loss) < MOST_LOOKUPS_FOR_PROOF:
            self._proofs_of_loss.add(task_id)

    def _cut(self, length: int, *, is_cut: bool) -> None:
        self.is_cut = is_cut
        if is_cut:
            self._cut_at = length
        elif self._cut_at is not None and length >= self._cut_at:
            self._cut_at = None

    async def _look_up_until(self, task_ids: list[str], wanted: int) -> tuple[set[str], int]:
        """Look up tasks until one exists, enough are gone, or time is up; return which are gone, and how many exist."""
        gone: set[str] = set()
        existing = 0

        def found(answer: Found) -> None:
            nonlocal existing
            if answer.row is None:
                gone.add(answer.task_id)
                self._doubts.confirm(answer.task_id)
                self._found_gone(answer.task_id)
            else:
                existing += 1
                self._exists(answer.task_id)

        until = self._clock.monotonic() + PROOF_SECONDS / 2
        while task_ids and not existing and (left := until - self._clock.monotonic()) > 0:
            batch, task_ids = task_ids[:PROOFS_OF_LARGE_LOSS], task_ids[PROOFS_OF_LARGE_LOSS:]
            await self._look_up_all(batch, seconds=min(left, PROOF_SECONDS / 4), found=found)
            if 0 < wanted <= len(gone):
                break
        return gone, existing

    def take_confirmed(self) -> list[Change]:
        """Remove what the proof of a large loss found to be gone."""
        return [change for task_id in self._doubts.gone for change in self._is_gone(task_id)]

    async def settle(
        self,
        *,
        seconds: float,
        within_seconds: float,
        doubts: bool,
        changed: Callable[[list[Change], int], None],
    ) -> None:
        """Look up what is in doubt, if `doubts`, and read rows again that were refused as outdated, for some seconds.

        All of it ends `within_seconds`, the proof that many tasks are gone included, which may take longer.
        `changed` is called after each answer with what changed, and how many tasks the list had failed to show.
        It ends at an answer with other tasks.
        """
        if self._settling:
            return

        def found(answer: Found) -> None:
            outdated_row = self._read_again_at.pop(answer.task_id, None) is not None
            in_doubt = answer.task_id in self._doubts
            if answer.row is not None:
                self._exists(answer.task_id)
                changes = self._inventory.accept([answer.row], now=self._clock.now())
                self.refused(self._inventory.take_refused())
            elif in_doubt:
                self._found_gone(answer.task_id)
                changes = self._is_gone(answer.task_id)
            elif outdated_row:
                before = answer.sent_at - REPLICA_LAG_SECONDS
                changes = self._inventory.remove([answer.task_id], settled_before=before, at=self._clock.monotonic())
            else:
                return
            changed(changes, int(in_doubt and answer.row is not None))

        self._settling = True
        ends_at = self._clock.monotonic() + within_seconds
        try:
            with suppress(OtherTasksError):
                if doubts:
                    await self._prove_absence(found, changed, ends_at=ends_at)
                now = self._clock.monotonic()
                outdated = [task_id for task_id, at in self._read_again_at.items() if at <= now]
                task_ids = outdated + (self._doubts.due(now) if doubts else [])
                await self._look_up_all(task_ids, seconds=min(seconds, ends_at - now), found=found)
        finally:
            self._settling = False

    async def _prove_absence(
        self, found: Callable[[Found], None], changed: Callable[[list[Change], int], None], *, ends_at: float
    ) -> None:
        """Look up some of what the last sweep did not show, and remove all of it if that finds none."""

        def seconds() -> float:
            return min(PROOF_SECONDS, ends_at - self._clock.monotonic())

        if self._absent:
            chosen = self._doubts.sample(self._absent)[: max(0, PROOFS_OF_LARGE_LOSS - self._lost)]
            await self._look_up_all(chosen, seconds=seconds(), found=found)
            gone = self._absent if self._lost else self._absent & self._absent_before
            self._absent_before = self._absent - gone
            self._absent = set()
            changed([change for task_id in gone for change in self._is_gone(task_id)], 0)
        chosen = self._doubts.sample(self._cut_perhaps)
        if chosen and await self._look_up_all(chosen, seconds=seconds(), found=found) == len(chosen):
            gone, self._cut_perhaps = self._cut_perhaps, set()
            changed([change for task_id in gone for change in self._is_gone(task_id)], 0)
        self._cut_perhaps = set()

    def _exists(self, task_id: str) -> None:
        """A lookup found a task: what the list does not show is no longer gone for that reason."""
        if self._doubts.pop(task_id, None) is not None:
            self._proofs_of_loss.clear()
            self._found_unlisted.add(task_id)
            self._above_the_end.discard(task_id)
        if task_id in self._absent or task_id in self._cut_perhaps:
            self._absent, self._cut_perhaps = set(), set()

    def _is_gone(self, task_id: str) -> list[Change]:
        doubt = self._doubts.pop(task_id, None)
        self._found_unlisted.discard(task_id)
        if doubt is None:
            return []
        return self._inventory.remove([task_id], settled_before=doubt.since, at=self._clock.monotonic())

    async def _look_up_all(self, task_ids: Sequence[str], *, seconds: float, found: Callable[[Found], None]) -> int:
        """Do as `TaskLookups.all`. After an answer with other tasks the list proves nothing either."""

        def answered(answer: Found) -> None:
            self._last_lookup = _FINE
            found(answer)

        try:
            return await self._lookups.all(task_ids, seconds=seconds, found=answered, failed=self._failed)
        except OtherTasksError as error:
            self._absent, self._cut_perhaps, self._last_lookup = set(), set(), (error.state, error.reason)
            raise

    def _failed(self, task_id: str, answered: bool) -> None:
        now = self._clock.monotonic()
        if task_id in self._read_again_at:
            self._read_again_at[task_id] = now + RETRY_SECONDS
        self._doubts.failed(task_id, at=now, answered=answered)


def is_large_loss(unseen: int, known: int) -> bool:
    """Whether a reading lost more of the known tasks than is believed without lookups."""
    return unseen > 0 and (unseen == known or (unseen > LARGE_LOSS_TASKS and unseen > known * LARGE_LOSS_SHARE))
