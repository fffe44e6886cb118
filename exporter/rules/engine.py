"""Evaluates the rules for the tasks of all apps as tasks, rules and time change."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from math import inf
from typing import Final

from exporter.collector.inventory import Change, Inventory
from exporter.collector.past import OpenSince, RuleVersion
from exporter.config.model import App
from exporter.core.clock import Clock
from exporter.rules.app_engine import AppPolicy, Common
from exporter.rules.cel_language import STOPPED
from exporter.rules.evaluator import RELATIONS, Scope, SharedEvaluations
from exporter.rules.findings import FindingEvents
from exporter.rules.rule import SEVERITIES, AppKey, CompiledRule, Severity
from exporter.rules.rule_set import RuleSet
from exporter.rules.shared_outputs import SharedOutputs

SLICE_SECONDS: Final = 0.01  # how long tasks are evaluated before the event loop runs: too short to notice
PAUSE_SECONDS: Final = 0.005

PAUSE_AFTER_FAILURE_SECONDS: Final = 10.0
"""How long an app is left alone of which something could not be evaluated because of an exception."""

AT_ONCE: Final = 200
"""So few tasks of an app are evaluated immediately, unless that takes longer than a slice: most rounds change fewer."""


class ExampleAllowance:
    """Shares out examples, at most `per_rule` for each rule and app and `most` over all: critical ones first."""

    def __init__(self, per_rule: int, most: int) -> None:
        self._per_rule = per_rule
        self._most = most
        self._violations: dict[AppKey, Mapping[Severity, Sequence[int]]] = {}
        self._at_least = {severity: [0] * per_rule for severity in SEVERITIES}
        """At `[n]`: how many rules and apps have more than n violations."""
        self._allowed = dict.fromkeys(SEVERITIES, per_rule)

    def of(self, severity: Severity) -> int:
        """Return how many examples each rule of a severity may show of each app."""
        return self._allowed[severity]

    def update(self, app: AppKey, violations: Mapping[Severity, Sequence[int]]) -> bool:
        """Take note of how many violations each rule of an app has; return whether any allowance differs now."""
        before = self._violations.get(app, {})
        if before == violations:
            return False
        self._count(before, -1)
        self._count(violations, 1)
        self._violations[app] = violations
        return self._share_out()

    def _count(self, violations: Mapping[Severity, Sequence[int]], change: int) -> None:
        for severity, numbers in violations.items():
            at_least = self._at_least[severity]
            for number in numbers:
                for place in range(min(number, self._per_rule)):
                    at_least[place] += change

    def _share_out(self) -> bool:
        before, self._allowed = self._allowed, {}
        left = self._most
        for severity in reversed(SEVERITIES):
            allowed = 0
            for rules in self._at_least[severity]:
                if rules > left:
                    break
                allowed += 1
                left -= rules
            self._allowed[severity] = allowed
        return self._allowed != before


class PolicyEngine:
    """Evaluates the tasks of all apps. Reports and findings are consistent whenever the event loop runs.

    `changed` is called when another report of an app is there, `failed` with an exception, `works` when evaluated.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        events: FindingEvents,
        changed: Callable[[AppKey], None],
        failed: Callable[[AppKey, Exception], None] | None = None,
        works: Callable[[AppKey], None] = lambda _app: None,
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._failed = failed or _raise
        self._works = works
        self._paused_until: dict[AppKey, float] = {}  # apps whose evaluation failed, which are left alone for a while
        self._common = Common(clock, events, SharedEvaluations(), count(1))
        self._allowance = ExampleAllowance(per_rule=0, most=0)
        self._running: list[CompiledRule] = []  # rules that are not stopped, as far as was reported
        self._apps: dict[AppKey, AppPolicy] = {}
        self._unknown = AppPolicy(("", ""), self._common)
        self._waiting: dict[AppKey, None] = {}  # apps that something is to be evaluated of, in the order of their turns
        self._something_waits = asyncio.Event()
        self._is_held = False  # nothing is evaluated: more apps are being restored
        self._unnoted: deque[tuple[AppPolicy, str]] = deque()
        """Restored tasks whose outputs are noted before any task is evaluated: what they share is in all baselines."""
        self._renewed: dict[AppKey, None] = {}  # apps with a new report that was not announced yet

    def apply(self, rule_set: RuleSet, apps: Iterable[tuple[AppKey, App, Inventory]]) -> None:
        """Take on other rules or apps, and keep what the same ones have found; reports leave out new ones at first."""
        self._allowance = ExampleAllowance(rule_set.examples_per_rule, rule_set.max_examples)
        whole = self._switch_shared_outputs(rule_set)
        if rule_set.push_auth != self._common.push_auth:
            whole, self._common.push_auth = True, rule_set.push_auth
            self._common.evaluations = SharedEvaluations()  # facts of a configuration may differ
        before = dict(self._apps)  # all are known to the end: what one app no longer has may concern tasks of another
        for key, app, inventory in apps:
            policy = before.pop(key, None) or AppPolicy(key, self._common)
            policy.configure(app, inventory, rule_set.of_app(*key), whole=whole)
            self._apps[key] = policy
            self._wait(policy)
        for key in before:
            del self._apps[key]
            self._waiting.pop(key, None)
            self._paused_until.pop(key, None)
            if self._common.shared_outputs is not None:
                self._common.shared_outputs.remove_app(key)
        self._running = list({rule.rule.name: rule for rule in rule_set.about_tasks()}.values())
        for policy in self._apps.values():
            self._allowance.update(policy.key, policy.counted.violations())
        self._renew_reports()
        self._work(AT_ONCE)
        self._tell()

    def collected(self, app: AppKey, changes: Sequence[Change], *, baseline: bool, available: bool) -> None:
        """Bring an app's findings up to date with the changes of its inventory since the last call.

        Few changes are evaluated before this returns, many in `run()`. A baseline has the first tasks of the inventory.
        While no data is available, findings stay as they are.
        """
        policy = self._apps.get(app)
        if policy is None:
            return
        policy.collected(changes, baseline=baseline, available=available)
        self._waiting.pop(app, None)
        if policy.has_work and app not in self._paused_until:
            self._waiting = {app: None, **self._waiting}
            self._something_waits.set()
        self._work(AT_ONCE)
        self._renewed.pop(app, None)  # who calls sees its report
        self._tell()

    def tick(self) -> None:
        """Look at the clock, for exemptions that end and rules about the time; to be called about every second."""
        now = self._clock.monotonic()
        self._paused_until = {app: until for app, until in self._paused_until.items() if until > now}
        for policy in self._apps.values():
            with self._guarded(policy.key):
                policy.look_at_time()
            self._wait(policy)
        self._work(AT_ONCE)
        self._tell()
        for rule in [rule for rule in self._running if rule.is_stopped]:
            self._running.remove(rule)
            self._common.events.stopped(rule, STOPPED)

    async def run(self) -> None:
        """Evaluate whatever waits, a slice at a time, forever."""
        while True:
            await self._something_waits.wait()
            await self.settle()

    async def settle(self) -> None:
        """Evaluate whatever waits, a slice at a time, until nothing does."""
        while self._waiting:
            self._work()
            self._tell()
            await self._clock.sleep(PAUSE_SECONDS)
        self._something_waits.clear()

    def app(self, app: AppKey) -> AppPolicy:
        """Return the state of an app; of one that is not known it has no report and no findings."""
        return self._apps.get(app, self._unknown)

    def restore(self, app: AppKey, saved: Mapping[RuleVersion, OpenSince]) -> None:
        """Let violations keep the age that is known of them, whether they have been found yet or not."""
        policy = self._apps.get(app)
        if policy is not None:
            policy.counted.restore(saved)
            self._renew_report(policy)
            self._tell()

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Evaluate no task until all apps that are restored in the block are there."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self._unnoted.extend(
                (policy, entry.task_id)
                for policy in self._apps.values()
                if policy.report is None  # also where data is too old to be evaluated
                for entry in policy.inventory
            )
            self._work(AT_ONCE)
            self._tell()

    def _work(self, at_most: float = inf) -> None:
        """Evaluate tasks for about a slice of time, of apps of which `at_most` tasks come next."""
        end = self._clock.monotonic() + SLICE_SECONDS
        while self._unnoted and self._clock.monotonic() < end:
            policy, task_id = self._unnoted.popleft()
            if self._apps.get(policy.key) is policy and policy.key not in self._paused_until:
                with self._guarded(policy.key):
                    policy.note_outputs(task_id)
        if self._is_held or self._unnoted:
            return
        while self._clock.monotonic() < end and (due := self._next(at_most)) is not None:
            with self._guarded(due.key):
                self._work_on(due, end)

    def _next(self, at_most: float) -> AppPolicy | None:
        return next((app for key in self._waiting if (app := self._apps[key]).backlog.next_tasks <= at_most), None)

    def _work_on(self, policy: AppPolicy, end: float) -> None:
        had_changes = policy.backlog.has_changes
        del self._waiting[policy.key]
        while policy.backlog and policy.backlog.has_changes == had_changes:
            policy.step()
            if self._clock.monotonic() >= end:
                break
        if not policy.backlog or (had_changes and not policy.backlog.has_changes):
            policy.conclude()
            if self._allowance.update(policy.key, policy.counted.violations()):
                self._renew_reports()
            self._renew_report(policy, first=True)
            self._works(policy.key)
        self._wait(policy)

    def _wait(self, policy: AppPolicy) -> None:
        if policy.has_work and policy.key not in self._paused_until:
            self._waiting.setdefault(policy.key)
            self._something_waits.set()

    def _touch(self, app: AppKey, task_id: str) -> None:
        policy = self._apps.get(app)
        if policy is not None:
            policy.backlog.mark(task_id, Scope.RELATIONS)
            self._wait(policy)

    def _renew_reports(self) -> None:
        for policy in self._apps.values():
            self._renew_report(policy)

    def _renew_report(self, policy: AppPolicy, *, first: bool = False) -> None:
        with self._guarded(policy.key):
            if (first or policy.report is not None) and policy.renew_report(self._allowance.of):
                self._renewed.setdefault(policy.key)

    @contextmanager
    def _guarded(self, app: AppKey) -> Iterator[None]:
        """Leave an app alone for a while if the block fails: whatever it was, it concerns this app alone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - as said
            self._waiting.pop(app, None)
            self._paused_until[app] = self._clock.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            self._failed(app, error)

    def _tell(self) -> None:
        while self._renewed:
            app = next(iter(self._renewed))
            del self._renewed[app]
            with self._guarded(app):
                self._changed(app)

    def _switch_shared_outputs(self, rule_set: RuleSet) -> bool:
        """Keep an index of outputs while a rule needs it; return whether it is to be filled."""
        is_needed = any(not RELATIONS.isdisjoint(rule.uses) for rule in rule_set.about_tasks())
        is_new = is_needed and self._common.shared_outputs is None
        if is_new:
            self._common.shared_outputs = SharedOutputs(self._touch)
        if not is_needed:
            self._common.shared_outputs = None
        return is_new


def _raise(_app: AppKey, error: Exception) -> None:
    raise error
