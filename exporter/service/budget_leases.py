"""Which request budgets this exporter collects; see "Decisions: shared" in ARCHITECTURE.md for failures."""

import asyncio
import math
import secrets
import socket
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import structlog
from msgspec import Struct

from exporter.collector.past import SavedApp
from exporter.collector.rate_limiter import Limiter
from exporter.config.capacity import budgets_by_name
from exporter.config.model import Config, Sharing
from exporter.core.clock import Clock
from exporter.core.threads import Worker
from exporter.metrics.self_metrics import SelfMetrics
from exporter.storage.lease_plan import own_end
from exporter.storage.writer import error_line, is_bug

if TYPE_CHECKING:
    from exporter.storage.leases import LeaseTable, Round

ROUND_SECONDS: Final = 0.5
LONGEST_WRITE_SECONDS: Final = 1.0
"""How long a move waits for what is not written yet; the new holder finds the rest by itself."""
LONGEST_LEAVE_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.02
LONGEST_WAIT_SECONDS: Final = 60.0
"""How long an exporter that started without the database waits for it before it collects all at the fallback rate."""
NO_TERM: Final = -1  # of a budget that is collected without a lease; no batch is written under it


P = ParamSpec("P")
T = TypeVar("T")


def _workers() -> tuple[Worker, Worker]:
    return Worker("leases"), Worker("load tasks", threads=4)


def _open_table(config: Config, name: str) -> "LeaseTable":
    # Only now: it takes memory, which not everyone needs.
    from exporter.storage.leases import LeaseTable  # noqa: PLC0415 - see above

    assert config.storage is not None  # noqa: S101 - the configuration was checked
    assert config.sharing is not None  # noqa: S101 - else none is opened
    sharing = config.sharing
    return LeaseTable(config.storage.url.reveal(), name, sharing.advertise or "", sharing.lease_seconds)


class HeldBudget(Struct):
    """A budget that this exporter collects."""

    term: int
    until: float  # own monotonic time from which on the fallback rate holds


class BudgetLeases:
    """Takes part in sharing the budgets; without `sharing` it holds all of them.

    `changed` gets the stored apps of new budgets; `waits` says whether anything of some accounts is not written yet;
    `failed` is called with an exception that is a bug.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        limiter: Callable[[str], Limiter],
        changed: Callable[[Iterable[SavedApp]], Awaitable[None]],
        waits: Callable[[Container[str]], bool],
        failed: Callable[[Exception], object],
        open_table: Callable[[Config, str], "LeaseTable"] | None = None,
    ) -> None:
        self._name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._clock = clock
        self._limiter = limiter
        self._changed = changed
        self._waits = waits
        self._failed = failed
        self._open = open_table or _open_table
        self._config = Config(accounts=())
        self._budgets: Mapping[str, Sequence[str]] = {}  # accounts by the budget's name
        self._held: dict[str, HeldBudget] = {}
        self._holders: dict[str, str] = {}
        self._held_by_anyone_until: dict[str, float] = {}
        self._takeovers: dict[str, int] = {}
        self._table: LeaseTable | None = None
        self._worker, self._loader = _workers()
        self._left_tables: list[LeaseTable] = []
        self._fails = self._says_crowded = False
        self._began = clock.monotonic()
        self._moved: list[str] = []  # what was taken, freed or lost since `changed` was called
        self.reached = False  # whether the database has answered once

    @property
    def sharing(self) -> Sharing | None:
        """The settings; None: there is one exporter."""
        return self._config.sharing

    def configure(self, config: Config) -> None:
        """Take part in another way; `lend` must follow when limiters are known."""
        before, self._config = self._config, config
        urls = [each.storage and each.storage.url for each in (before, config)]
        if before.sharing != config.sharing or urls[0] != urls[1]:
            if self._table is not None:
                self._left_tables.append(self._table)
            self._table, self._held, self.reached, self._began = None, {}, False, self._clock.monotonic()
        budgets = {} if config.sharing is None else budgets_by_name(config.accounts)
        self._held = {budget: held for budget, held in self._held.items() if budget in budgets}
        now = self._clock.monotonic()
        self._held_by_anyone_until = {budget: self._held_by_anyone_until.get(budget, now) for budget in budgets}
        self._takeovers = {budget: self._takeovers.get(budget, 0) for budget in budgets}
        if budgets != self._budgets:
            self._budgets = budgets

    def part(self) -> Config:
        """Return the configuration without the apps that this exporter does not collect."""
        if self.sharing is None:
            return self._config
        held = {account for budget in self._held for account in self._budgets[budget]}
        accounts = self._config.accounts
        return self._config.changed(
            accounts=tuple(each if each.name in held else each.changed(apps=()) for each in accounts)
        )

    def lend(self) -> None:
        """Let the limiters of held budgets alone send, until their leases end; without `sharing` all for good."""
        if self.sharing is None:
            for account in self._config.accounts:
                self._limiter(account.name).lend(math.inf, 0.0)
        for budget in self._budgets:
            if budget in self._held:
                self._lend(budget)
            else:
                self._stop_sending(budget)

    def lease_of(self, account: str) -> tuple[str, int] | None:
        """Return the budget and term under which an account is collected."""
        budget = self._budget_of(account)
        held = None if budget is None else self._held.get(budget)
        return None if budget is None or held is None else (budget, held.term)

    def holder_of(self, account: str) -> str:
        """Return the address, or else the name, of the other exporter that holds an account; empty: none is known."""
        return self._holders.get(self._budget_of(account) or "", "")

    def publish(self, metrics: SelfMetrics) -> None:
        """Publish the state of all leases; to be called about every second."""
        now = self._clock.monotonic()
        if self.sharing is None:
            metrics.no_leases()
        for budget, accounts in self._budgets.items():
            held = self._held.get(budget)
            for account in accounts:
                metrics.lease(
                    account,
                    is_held=held is not None and now < held.until,
                    takeovers=self._takeovers[budget],
                    unheld_seconds=max(0.0, now - self._held_by_anyone_until[budget]),
                )

    async def run(self) -> None:
        """Take part, for good."""
        while True:
            await self._leave_tables()
            if self.sharing is not None:
                try:
                    await self._round(self.sharing)
                except Exception as error:
                    if is_bug(error):
                        raise
                    self._report_failure(error)
                    await self._collect_without_leases()
            await self._clock.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        """Return how long to wait for the next round: until the lease of another exporter can end, at most."""
        now = self._clock.monotonic()
        others = (self._held_by_anyone_until[budget] - now for budget in self._budgets.keys() - self._held.keys())
        return min(ROUND_SECONDS, max(POLL_SECONDS, min((left for left in others if left > 0), default=ROUND_SECONDS)))

    async def leave(self) -> None:
        """Let other exporters take all budgets, without waiting long."""
        if self._table is not None:
            self._left_tables.append(self._table)
            self._table = None
        await self._leave_tables()

    async def _leave_tables(self) -> None:
        while self._left_tables:
            table = self._left_tables.pop()
            try:
                async with asyncio.timeout(LONGEST_LEAVE_SECONDS):
                    await self._worker.run(table.leave)
            except Exception as error:  # noqa: BLE001 - the leases end by themselves
                structlog.get_logger().warning("leases not freed, they end by themselves", reason=error_line(error))
            finally:
                table.close()

    async def _round(self, sharing: Sharing) -> None:
        asked_at, budgets = self._clock.monotonic(), self._budgets
        table = self._table
        if table is None:
            table = self._table = await self._call(self._worker, self._open, self._config, self._name)
        found = await self._call(self._worker, table.round, budgets.keys())
        if self._budgets is not budgets or self._table is not table:
            return  # the configuration has changed since
        until = own_end(asked_at, sharing.lease_seconds)
        gained = [budget for budget in self._take_in(found, asked_at, until) if budget not in found.to_free]
        lost = [budget for budget, held in self._held.items() if held.until != until]
        for budget in lost:
            self._stop_sending(budget)
            del self._held[budget]
            self._moved.append(f"lost {budget}")
        await self._free(table, found.to_free)
        loaded = await asyncio.gather(*(self._load(table, budget) for budget in gained))
        if self._budgets is not budgets or self._table is not table:
            return
        taken = [budget for budget, saved in zip(gained, loaded, strict=True) if saved is not None]
        for budget in taken:
            self._held[budget] = HeldBudget(found.leases[budget].term, until)
            self._takeovers[budget] += 1
            for account in budgets[budget]:
                self._limiter(account).wait_a_window()
            self._lend(budget)
            self._moved.append(f"took {budget}")
        if self._moved:
            structlog.get_logger().info("leases changed", moved=", ".join(self._moved), held=len(self._held))
            await self._changed([app for saved in loaded for app in saved or ()])
            self._moved = []
        self._report_success(found, sharing)

    async def _collect_without_leases(self) -> None:
        """Collect all at the fallback rate, if the database has not answered for a minute since the start."""
        if self.reached or self._clock.monotonic() - self._began < LONGEST_WAIT_SECONDS:
            return
        new = self._budgets.keys() - self._held.keys()
        for budget in new:
            self._held[budget] = HeldBudget(NO_TERM, -math.inf)
            self._lend(budget)
        if new:
            structlog.get_logger().warning("collecting without leases at the fallback rate", budgets=len(new))
            await self._changed([])

    async def _call(self, worker: Worker, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a call of the database returns; one that hangs is left alone, and others begin afresh."""
        try:
            async with asyncio.timeout(self.sharing.lease_seconds if self.sharing else LONGEST_LEAVE_SECONDS):
                return await worker.run(function, *args, **kwargs)
        except TimeoutError:
            if self._table is not None:
                self._table.close()
            self._worker, self._loader, self._table = *_workers(), None
            raise

    def _take_in(self, found: "Round", asked_at: float, until: float) -> list[str]:
        gained = []
        for budget, lease in found.leases.items():
            self._holders[budget] = lease.holder
            self._held_by_anyone_until[budget] = (
                asked_at + lease.seconds_left
                if lease.seconds_left
                else min(asked_at, self._held_by_anyone_until[budget])
            )
            held = self._held.get(budget)
            if held is not None and lease.is_own and held.term == lease.term:
                held.until = until
                self._lend(budget)
            elif lease.is_own and held is None:
                gained.append(budget)
        return gained

    def _lend(self, budget: str) -> None:
        assert self.sharing is not None  # noqa: S101 - else nothing is held
        for account in self._budgets[budget]:
            self._limiter(account).lend(self._held[budget].until, self.sharing.fallback_requests_per_second)

    def _stop_sending(self, budget: str) -> None:
        for account in self._budgets[budget]:
            self._limiter(account).lend(-math.inf, 0.0)

    async def _free(self, table: "LeaseTable", budgets: AbstractSet[str]) -> None:
        """Hand budgets over: send nothing more, write what was read, and let others take them."""
        known = [budget for budget in sorted(budgets) if budget in self._held]
        for budget in known:
            self._stop_sending(budget)
        if known:
            accounts = {account for budget in known for account in self._budgets[budget]}
            deadline = self._clock.monotonic() + LONGEST_WRITE_SECONDS
            await self._clock.sleep(POLL_SECONDS)
            while self._waits(accounts) and self._clock.monotonic() < deadline:
                await self._clock.sleep(POLL_SECONDS)
        for budget in budgets:
            await self._call(self._worker, table.free, budget)
            if self._held.pop(budget, None) is not None:
                self._moved.append(f"freed {budget}")

    async def _load(self, table: "LeaseTable", budget: str) -> Sequence[SavedApp] | None:
        try:
            return await self._call(self._loader, table.load, budget, self._budgets[budget])
        except Exception as error:  # noqa: BLE001 - without its tasks the budget is collected all the same
            if not is_bug(error):
                self._report_failure(error)
                return None
            self._failed(error)
            return []

    def _budget_of(self, account: str) -> str | None:
        return next((budget for budget, accounts in self._budgets.items() if account in accounts), None)

    def _report_failure(self, error: Exception) -> None:
        if not self._fails:
            self._fails = True
            structlog.get_logger().error(
                "leases not extended, collecting at the fallback rate after their end", reason=error_line(error)
            )

    def _report_success(self, found: "Round", sharing: Sharing) -> None:
        self.reached = True
        if self._fails:
            structlog.get_logger().info("leases are extended again")
        self._fails = False
        is_crowded = found.exporters > sharing.exporters
        if is_crowded and not self._says_crowded:
            structlog.get_logger().warning(
                "more exporters than configured share the budgets: raise sharing.exporters",
                exporters=found.exporters,
                configured=sharing.exporters,
            )
        self._says_crowded = is_crowded
