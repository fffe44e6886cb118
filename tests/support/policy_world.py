"""Apps whose tasks are evaluated, on a clock that is still until it is set."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collector.inventory import Change, Entry, Inventory
from exporter.config.model import App
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Configuration, Output, Task
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import AnyRule, FindingEvents, Resolution, RuleReport
from exporter.rules.rule import AppKey, CompiledRule, Rule, Severity, compile_rule
from exporter.rules.rule_set import AppRules, RuleSet
from tests.metrics.builders import configuration

NOON: Final = 1_790_000_000.0
LIVE: Final = ("prod", "live")
OTHER: Final = ("prod", "other")


class SettableClock:
    """A clock that a test sets; `per_look` passes whenever monotonic time is asked for."""

    def __init__(self, now: float = NOON) -> None:
        self.wall = now
        self.ran = 0.0
        self.per_look = 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        self.ran += self.per_look
        return self.ran

    async def sleep(self, seconds: float) -> None:
        """Let the time pass, and others run."""
        self.ran += seconds
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.ran += seconds


class Told(Struct, FindingEvents):
    """All that was told of findings."""

    baselines: list[tuple[AppKey, int]]
    opens: list[tuple[AppKey, str, str | None, str]]
    resolves: list[tuple[AppKey, str, str | None, float, Resolution]]
    stops: list[tuple[str, str]]
    found_at_baselines: list[tuple[AppKey, str, str | None, str]] = field(default_factory=list)

    def baseline(self, app: AppKey, violations: int) -> None:
        self.baselines.append((app, violations))

    def found(self, app: AppKey, rule: AnyRule, task_id: str | None, text: Callable[[], str]) -> None:
        self.found_at_baselines.append((app, rule.rule.name, task_id, text()))

    def stopped(self, rule: AnyRule, why: str) -> None:
        """Keep a rule that is not evaluated any more."""
        self.stops.append((rule.rule.name, why))

    def opened(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, text: str) -> None:  # noqa: ARG002
        """Keep a violation that opened."""
        self.opens.append((app, rule.rule.name, task_id, text))

    def resolved(self, app: AppKey, rule: AnyRule, task_id: str | None, since: float, why: Resolution) -> None:
        """Keep a violation that is resolved."""
        self.resolves.append((app, rule.rule.name, task_id, since, why))


class PolicyWorld:
    """A policy, the inventories that it looks at, and what it told."""

    def __init__(
        self,
        *rules: CompiledRule,
        apps: Sequence[AppKey] = (LIVE,),
        began: float = NOON,
        failed: Callable[[AppKey, Exception], None] | None = None,
    ) -> None:
        self.clock = SettableClock(began)
        self.told = Told([], [], [], [])
        self.changed: list[AppKey] = []
        self.inventories = {key: Inventory() for key in apps}
        self.descriptions = {key: App(id=key[1]) for key in apps}
        self.policy = PolicyEngine(self.clock, events=self.told, changed=self.changed.append, failed=failed)
        self._rows = 0
        self._pending: dict[AppKey, list[Change]] = {}
        self.apply(*rules)

    def apply(self, *rules: CompiledRule, **parts: Any) -> None:
        """Put these rules in force for the apps as they are now."""
        self.policy.apply(
            rule_set(*rules, **parts),
            [(key, self.descriptions[key], self.inventories[key]) for key in self.inventories],
        )

    def put(
        self, task_id: str, app: AppKey = LIVE, *, urls: Sequence[int] = (), push_times: bytes = b"", **changes: Any
    ) -> None:
        """Let a task come or change; it is reported with the next `collect`."""
        self._rows += 1
        task = make_task(task_id, self._rows, configuration(**changes), urls=urls)
        fresh = Entry.of(replace(task, push_times=push_times), sent_at=float(10 * self._rows))
        self._note(app, self.inventories[app].accept([fresh], now=self.clock.now()))

    def remove(self, task_id: str, app: AppKey = LIVE) -> None:
        self._rows += 1
        at = float(10 * self._rows)
        self._note(app, self.inventories[app].remove([task_id], settled_before=at, at=at))

    def collect(self, app: AppKey = LIVE, *, baseline: bool = False, available: bool = True) -> None:
        self.policy.collected(app, self._pending.pop(app, []), baseline=baseline, available=available)
        if baseline:
            self.inventories[app].starts_known = True

    def update(self, task_id: str, app: AppKey = LIVE, *, baseline: bool = False, **changes: Any) -> None:
        """Let a task come or change, and report it."""
        self.put(task_id, app, **changes)
        self.collect(app, baseline=baseline)

    def collect_all(self) -> None:
        for app in self.inventories:
            self.collect(app)

    def replace_inventory(self, app: AppKey = LIVE) -> None:
        """Let an app's tasks be read from nothing after the next `apply`."""
        self.inventories[app] = Inventory()
        self._pending.pop(app, None)

    async def settle(self) -> None:
        await self.policy.settle()

    def report(self, rule: str, app: AppKey = LIVE) -> RuleReport:
        report = self.policy.app(app).report
        assert report is not None
        (found,) = (each for each in report.rules if each.rule == rule)
        return found

    def reported(self, app: AppKey = LIVE) -> list[str]:
        """Return the names of the rules that are reported."""
        report = self.policy.app(app).report
        return [] if report is None else [each.rule for each in report.rules]

    def open(self, app: AppKey = LIVE) -> dict[str, dict[str, float]]:
        """Return the open violations by rule, each with the time since when."""
        return {each.rule.rule.name: dict(each.since) for each in self.policy.app(app).findings() if each.since}

    def _note(self, app: AppKey, changes: list[Change]) -> None:
        self._pending.setdefault(app, []).extend(changes)


def make_task(task_id: str, row: int, task_configuration: Configuration, *, urls: Sequence[int] = ()) -> Task:
    """Return a task that pushes to some URLs, given as numbers."""
    outputs = tuple(Output("rtmp", f"push-{url}.example.org", None, has_userinfo=False) for url in sorted(urls))
    digests = bytes(DIGEST_BYTES * len(DIGEST_GROUPS)) + b"".join(
        url.to_bytes(DIGEST_BYTES, "big") for url in sorted(urls)
    )
    return Task(
        task_id=task_id,
        channel_id=f"channel-of-{task_id}",
        configuration=replace(task_configuration, outputs=outputs) if outputs else task_configuration,
        row_digest=row,
        digests=digests,
    )


def rule(name: str, expect: str, severity: Severity = Severity.WARNING, **parts: Any) -> CompiledRule:
    """Return a compiled rule."""
    return compile_rule(Rule(name=name, title=f"Title of {name}", severity=severity, expect=expect, **parts))


def rule_set(
    *rules: CompiledRule,
    expectations: dict[AppKey, AppRules] | None = None,
    examples_per_rule: int = 5,
    max_examples: int = 2000,
    push_auth: PushAuthSettings = DEFAULTS,
) -> RuleSet:
    """Return rules in force."""
    return RuleSet(rules, (), expectations or {}, examples_per_rule, max_examples, push_auth)
