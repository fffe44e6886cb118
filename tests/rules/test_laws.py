"""Laws of findings: whatever happens, they are those that evaluating everything from nothing gives."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.collector.inventory import Entry
from exporter.rules.findings import RuleReport
from exporter.rules.rule import AppKey, CompiledRule, Exemption, Outcome, Rule, Severity, TaskCountRule
from exporter.rules.rule_set import AppRules
from exporter.rules.subject import Subject, app_facts
from tests.support.generated import examples
from tests.support.policy_world import LIVE, NOON, OTHER, PolicyWorld, rule

ENDS_AT: Final = 1_790_035_200.0  # 24:00 UTC of the day of `NOON`
DATED: Final = datetime.fromtimestamp(NOON + 45.0, UTC).isoformat()
EXEMPT_TODAY: Final = Exemption(name="today", tasks=("a*",), until=date(2026, 9, 21))
EXEMPT_FOR_GOOD: Final = Exemption(name="for-good", tasks=("b",))

_COMPILED: Final = (
    rule("mixed", 'task.mix_mode == "mixed"', Severity.CRITICAL),
    rule("idle", "task.idle_timeout_seconds <= 100", when='task.mix_mode != "7"'),
    rule("alone", "shared_outputs == 0", Severity.CRITICAL, message='string(shared_outputs) + " of " + task_id'),
    rule("alone-by-mode", 'shared_outputs == 0 || task.mix_mode == "single"'),
    rule("alone-by-name", 'shared_outputs == 0 || task_id.startsWith("b")'),
    rule("named", 'task_id != "c"', Severity.INFO, when='app.id == "live"'),
    rule("of-live", 'app.id == "live"', apps=("l*",)),
    rule("of-other", 'app.id == "live"'),
    rule("young", 'age < duration("50s")'),
    rule("lately", "now - last_changed < duration('80s') || shared_outputs > 0"),
    rule("dated", f'now < timestamp("{DATED}") || task.mix_mode == "mixed"'),
    rule("even", "now.getMinutes() % 2 == 0", when="now - first_seen > duration('20s')"),
    rule("exempt-today", 'task.mix_mode == "mixed"', exempt=(EXEMPT_TODAY,)),
    rule("exempt-young", 'age < duration("50s")', exempt=(EXEMPT_TODAY, EXEMPT_FOR_GOOD)),
)
RULES: Final = {
    **{each.rule.name: each for each in _COMPILED},
    # Of the same version as `mixed`, so that findings stay.
    "mixed-exempt": rule("mixed", 'task.mix_mode == "mixed"', Severity.CRITICAL, exempt=(EXEMPT_TODAY,)),
}
FEW_TASKS: Final = TaskCountRule(
    Rule(name="expect-tasks", title="Few tasks", severity=Severity.WARNING, expect="tasks <= 2"), None, 2
)
EXPECTATIONS: Final = {
    LIVE: AppRules(rules=(rule("expect-mode", 'task.mix_mode == "single"', source="app"),), count=FEW_TASKS)
}

Found: TypeAlias = Mapping[tuple[str, Outcome], frozenset[str]]


class Story:
    """A world in which things happen, checked after each of them."""

    def __init__(self) -> None:
        self.world = PolicyWorld(apps=(LIVE, OTHER))
        self.rules: Sequence[CompiledRule] = ()
        self.expected = False
        self._baselines: dict[tuple[AppKey, str, Severity], int] = {}

    def put(self, app: AppKey, task_id: str, urls: list[int], mix_mode: str, idle: int | None) -> None:
        self.world.put(task_id, app, urls=urls, mix_mode=mix_mode, idle_timeout_seconds=idle)

    def remove(self, app: AppKey, task_id: str) -> None:
        self.world.remove(task_id, app)

    def collect(self, app: AppKey, available: bool) -> None:
        """Tell what has changed in an app, and whether it has data."""
        self.world.collect(app, available=available)

    def advance(self, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self.world.policy.tick()

    def set_wall_clock(self, at: float) -> None:
        self.world.clock.wall = at

    def apply(self, names: Sequence[str], expected: bool) -> None:
        """Put other rules in force."""
        by_name = {RULES[name].rule.name: RULES[name] for name in names}
        self.rules, self.expected = tuple(by_name.values()), expected
        self.reload()

    def reload(self) -> None:
        """Put the rules in force for the apps."""
        self.world.apply(*self.rules, expectations=EXPECTATIONS if self.expected else None, max_examples=7)

    def read_again(self, app: AppKey) -> None:
        self.world.replace_inventory(app)
        self.reload()
        self.world.update("a", app, baseline=True)

    def drop(self, app: AppKey) -> None:
        """Let an app go, and come back without tasks."""
        del self.world.inventories[app]
        self.reload()
        self.check()
        self.world.replace_inventory(app)
        self.reload()

    def evaluate_a_slice(self) -> None:
        """Evaluate for as long as a slice takes."""
        self.world.policy._work()

    def be_slow(self) -> None:
        self.world.clock.per_look = 0.004

    def check(self) -> None:
        """Check what is reported against the laws that hold at any moment."""
        current = set()
        for app in self.world.inventories:
            report = self.world.policy.app(app).report
            for each in () if report is None else report.rules:
                key = (app, each.rule, each.severity)
                current.add(key)
                baseline = each.violations - each.opened + each.resolved
                assert self._baselines.setdefault(key, baseline) == baseline
                assert len(each.examples) + each.examples_omitted == each.violations or each.rule == "expect-tasks"
            assert len({_tasks(each) for each in (() if report is None else report.rules) if _about_tasks(each)}) <= 1
        self._baselines = {key: count for key, count in self._baselines.items() if key in current}

    async def end(self) -> None:
        """Let data be there, time pass, and everything be evaluated; hold that against evaluating from nothing."""
        self.world.collect_all()
        await self.world.settle()
        self.check()
        self.world.clock.advance(61.0)
        self.world.policy.tick()
        await self.world.settle()
        self.check()
        for app, inventory in self.world.inventories.items():
            found, report = from_nothing(self, app), self.world.policy.app(app).report
            assert report is not None
            names = [each.rule.name for each in self.applying(app)]
            assert [each.rule for each in report.rules] == names
            for each in report.rules:
                if each.rule == "expect-tasks":
                    assert each.violations == (len(inventory) > 2)
                    assert (_tasks(each), each.examples_omitted) == (1, 0)
                    continue
                violating = found[each.rule, Outcome.VIOLATION]
                assert each.violations == len(violating)
                assert each.evaluated == len(violating) + len(found[each.rule, Outcome.PASS])
                assert each.not_applicable == len(found[each.rule, Outcome.NOT_APPLICABLE])
                assert each.exempted == len(found[each.rule, Outcome.EXEMPT])
                assert each.unevaluable == len(found[each.rule, Outcome.ERROR])
                assert _tasks(each) == len(inventory)
                assert each.examples == tuple(sorted(violating, key=_hash)[: len(each.examples)])
            policy = self.world.policy.app(app)
            for findings in policy.findings():
                name = findings.rule.rule.name
                if name != "expect-tasks":
                    assert findings.since.keys() == found[name, Outcome.VIOLATION]
                    assert set(policy.tasks_with(Outcome.EXEMPT, findings.rule)) == found[name, Outcome.EXEMPT]
                    assert set(policy.tasks_with(Outcome.ERROR, findings.rule)) == found[name, Outcome.ERROR]
                oldest = min(findings.since.values(), default=None)
                assert next(each for each in report.rules if each.rule == name).oldest_violation == oldest

    def applying(self, app: AppKey) -> list[CompiledRule | TaskCountRule]:
        rules: list[CompiledRule | TaskCountRule] = [each for each in self.rules if each.applies_to_app(app[1])]
        if self.expected and app in EXPECTATIONS:
            rules += [*EXPECTATIONS[app].rules, FEW_TASKS]
        return rules


def from_nothing(story: Story, app: AppKey) -> Found:
    """Evaluate all tasks of an app, one by one, by nothing but what a rule says."""
    world = story.world
    holders = Counter(
        digest
        for inventory in world.inventories.values()
        for entry in inventory
        for digest in entry.task.stream_digests
    )
    facts = app_facts(app[0], world.descriptions[app])
    now = world.clock.now()

    def outcome(each: CompiledRule, entry: Entry) -> Outcome:
        subject = Subject(
            entry,
            facts,
            now=now,
            shared_outputs=lambda task: sum(holders[digest] > 1 for digest in task.stream_digests),
        )
        evaluated = each.evaluate(subject.activation(each.uses)).outcome
        is_exempt = evaluated is Outcome.VIOLATION and each.rule.exemption_of(subject.entry.task_id, now) is not None
        return Outcome.EXEMPT if is_exempt else evaluated

    found: dict[tuple[str, Outcome], set[str]] = {}
    for each in story.applying(app):
        for outcome_ in Outcome:
            found[each.rule.name, outcome_] = set()
        if isinstance(each, CompiledRule):
            for entry in world.inventories[app]:
                found[each.rule.name, outcome(each, entry)].add(entry.task.task_id)
    return {key: frozenset(task_ids) for key, task_ids in found.items()}


def _about_tasks(report: RuleReport) -> bool:
    return report.rule != "expect-tasks"


def _tasks(report: RuleReport) -> int:
    return report.evaluated + report.not_applicable + report.exempted + report.unevaluable


def _hash(task_id: str) -> int:
    return xxhash.xxh3_64_intdigest(task_id.encode())


_apps = st.sampled_from([LIVE, OTHER])
_task_ids = st.sampled_from(["a", "a2", "b", "c"])
_steps = st.one_of(
    st.tuples(
        st.just("put"),
        _apps,
        _task_ids,
        st.lists(st.integers(1, 3), max_size=2, unique=True),
        st.sampled_from(["mixed", "single", "7"]),
        st.sampled_from([None, 10, 1000]),
    ),
    st.tuples(st.just("remove"), _apps, _task_ids),
    st.tuples(st.just("collect"), _apps, st.sampled_from([True, True, True, False])),
    st.tuples(st.just("advance"), st.sampled_from([1.0, 30.0, 61.0])),
    st.tuples(st.just("set_wall_clock"), st.sampled_from([NOON - 1000, ENDS_AT - 1.0, ENDS_AT, ENDS_AT + 1.0])),
    st.tuples(st.just("apply"), st.lists(st.sampled_from(tuple(RULES)), unique=True), st.booleans()),
    st.tuples(st.just("read_again"), _apps),
    st.tuples(st.just("drop"), _apps),
    st.just(("evaluate_a_slice",)),
    st.just(("be_slow",)),
)


def _pushing(app: AppKey, task_id: str, url: int) -> list[tuple[Any, ...]]:
    """Return the steps by which a task pushes to a URL."""
    return [("put", app, task_id, [url], "mixed", None), ("collect", app, True)]


@settings(max_examples=examples(120), report_multiple_bugs=False)
@given(st.lists(_steps, max_size=30))
@example(  # an exemption ends as time makes the task violate the rule
    [("set_wall_clock", ENDS_AT - 1.0), ("put", LIVE, "a", [], "mixed", None), ("apply", ["exempt-young"], False)]
)
@example(  # a task comes after a step back of the clock that nothing else shows
    [("set_wall_clock", NOON - 1000), ("read_again", LIVE), ("apply", ["young"], False), ("set_wall_clock", ENDS_AT)]
)
@example(  # the clock steps back just after a minute began, and nothing else shows it
    [
        ("put", LIVE, "a", [], "mixed", None),
        ("apply", ["even"], False),
        ("set_wall_clock", ENDS_AT - 1.0),
        ("advance", 30.0),
        ("set_wall_clock", ENDS_AT),
    ]
)
@example(  # other rules come while tasks are evaluated
    [
        ("apply", ["mixed"], False),
        ("be_slow",),
        *(("put", LIVE, task_id, [], "mixed", None) for task_id in "abc"),
        ("collect", LIVE, True),
        ("apply", ["idle"], False),
    ]
)
@example(  # a task pushes to what another one does, and then no more
    [
        ("apply", ["alone"], False),
        *_pushing(OTHER, "b", 2),
        *(step for url in (1, 2, 3) for step in _pushing(LIVE, "a", url)),
    ]
)
@example(  # an app goes whose task pushes to what another one does
    [("apply", ["alone"], False), *_pushing(OTHER, "a", 1), *_pushing(LIVE, "a", 1), ("drop", OTHER)]
)
def test_by_change_equals_from_nothing(steps: list[tuple[Any, ...]]) -> None:
    """After any tasks, reloads, outages and clocks, findings are those of evaluating everything once.

    At any moment meanwhile, what is open is what was at the baseline, plus opened, minus resolved, and the outcomes
    of each rule add up to the same number of tasks.
    """

    async def tell() -> None:
        story = Story()
        for name, *arguments in steps:
            getattr(story, name)(*arguments)
            story.check()
        await story.end()

    asyncio.run(tell())


@settings(max_examples=30)
@given(st.permutations(range(6)), st.permutations(_COMPILED))
def test_the_order_of_tasks_and_rules_does_not_matter(order: list[int], rules: list[CompiledRule]) -> None:
    """The same tasks and rules in another order give the same outcomes and the same examples."""
    modes = ["mixed", "single", "7", "mixed", "single", "single"]

    def reports(order: list[int], rules: list[CompiledRule]) -> dict[str, RuleReport]:
        world = PolicyWorld(*rules)
        for number in order:
            world.put(f"task-{number}", urls=[number % 4], mix_mode=modes[number])
        world.collect(baseline=True)
        report = world.policy.app(LIVE).report
        assert report is not None
        assert [each.rule for each in report.rules] == [each.rule.name for each in rules if each.applies_to_app("live")]
        return {each.rule: each for each in report.rules}

    assert reports(order, rules) == reports(list(range(6)), list(_COMPILED))


@pytest.mark.parametrize(("seconds_to_midnight", "exempted"), [(1.0, True), (0.001, True), (0.0, False), (-1.0, False)])
def test_an_exemption_ends_with_the_last_second_of_its_day(seconds_to_midnight: float, exempted: bool) -> None:
    """Up to 24:00 UTC of `until` a violation is exempt; from then on it is open, opened at the next tick."""
    world = PolicyWorld(rule("exempt-today", 'task.mix_mode == "mixed"', exempt=(EXEMPT_TODAY,)))
    world.update("a", mix_mode="single", baseline=True)
    assert world.report("exempt-today").exempted == 1

    world.clock.wall = ENDS_AT - seconds_to_midnight
    world.policy.tick()

    report = world.report("exempt-today")
    assert (report.exempted, report.violations, report.opened) == ((1, 0, 0) if exempted else (0, 1, 1))


def test_an_exemption_that_ends_before_a_reload_is_noticed() -> None:
    """A reload with the same rules does not hide that an exemption ended since the last tick."""
    exempt = rule("exempt-today", 'task.mix_mode == "mixed"', exempt=(EXEMPT_TODAY,))
    world = PolicyWorld(exempt, began=ENDS_AT - 1)
    world.update("a", mix_mode="single", baseline=True)
    assert world.report("exempt-today").exempted == 1
    world.clock.wall = ENDS_AT + 1
    world.apply(exempt)
    world.policy.tick()
    assert world.report("exempt-today").violations == 1


def test_an_exemption_begins_again_when_the_clock_goes_back() -> None:
    """A clock that is set back over the end of an exemption resolves what it covers, and it opens again in time."""
    world = PolicyWorld(rule("exempt-today", 'task.mix_mode == "mixed"', exempt=(EXEMPT_TODAY,)))
    world.clock.wall = ENDS_AT + 5
    world.update("a", mix_mode="single", baseline=True)
    for wall, violations, counted in ((ENDS_AT - 5, 0, (0, 1)), (ENDS_AT, 1, (1, 1)), (ENDS_AT - 1, 0, (1, 2))):
        world.clock.wall = wall
        world.policy.tick()
        report = world.report("exempt-today")
        assert report.violations == violations
        assert (report.opened, report.resolved) == counted
