"""Tests of findings over all apps, as they come, stay and go."""

import asyncio
import contextlib
from typing import Any

import pytest

from exporter.config.model import App
from exporter.core.push_auth import HostSetting, PushAuthSettings
from exporter.core.task import Output
from exporter.rules.app_engine import AppPolicy
from exporter.rules.engine import AT_ONCE
from exporter.rules.evaluator import Evaluator
from exporter.rules.findings import Resolution
from exporter.rules.rule import AppKey, CompiledRule, Exemption, Outcome, Rule, Severity, TaskCountRule, compile_rule
from exporter.rules.rule_files import default_rules
from exporter.rules.rule_set import AppRules
from exporter.rules.shared_outputs import SharedOutputs
from tests.support.policy_world import LIVE, NOON, OTHER, PolicyWorld, rule

MIXED = rule("mixed", 'task.mix_mode == "mixed"', message='task_id + " is " + task.mix_mode')
ALONE = rule("alone", "shared_outputs == 0")
SHORT = rule("short", "task.idle_timeout_seconds <= 100", Severity.CRITICAL)
SLOW = 'task.mix_mode == "mixed" && task_id != ""'
YOUNG = rule("young", 'age < duration("90s")')


def _mixed(*exempt: str) -> Exemption:
    return Exemption(name="agreed", tasks=exempt)


def _tasks(least: int, most: int) -> AppRules:
    expected = Rule(name="expect-tasks", title="Tasks", severity=Severity.WARNING, expect=f"{least}..{most}")
    return AppRules(count=TaskCountRule(expected, least, most))


def _evaluated(*rules: CompiledRule) -> PolicyWorld:
    """Return a world in which two of three tasks violate `mixed` from the start."""
    world = PolicyWorld(MIXED, *rules)
    for task_id, mode in (("a", "single"), ("b", "mixed"), ("c", "single")):
        world.put(task_id, mix_mode=mode)
    world.collect(baseline=True)
    return world


def test_before_there_is_data_there_is_no_report() -> None:
    """An app that was not read, or that nobody knows, has neither report nor findings."""
    world = PolicyWorld(MIXED)
    assert world.policy.app(LIVE).report is None
    world.collect(available=False)
    assert world.policy.app(LIVE).report is None
    world.collect(OTHER)
    assert world.policy.app(OTHER).report is None
    assert list(world.policy.app(OTHER).findings()) == []


def test_the_baseline_is_summed_up_and_counts_no_events() -> None:
    """What is violated from the start is open since now, and reported as one number."""
    world = _evaluated()
    report = world.report("mixed")
    assert (report.evaluated, report.violations, report.opened, report.resolved) == (3, 2, 0, 0)
    assert report.oldest_violation == NOON
    assert world.told.baselines == [(LIVE, 2)]
    assert world.told.opens == []


def test_what_opens_and_is_resolved_is_counted_and_reported() -> None:
    """From the baseline on, each violation that comes or goes is an event with its text, its age and its end."""
    world = _evaluated()
    world.clock.advance(5)
    world.put("b", mix_mode="7")
    world.put("a", mix_mode="mixed")
    world.remove("c")
    world.collect()
    report = world.report("mixed")
    assert (report.evaluated, report.violations, report.opened, report.resolved) == (2, 1, 1, 2)
    assert report.examples == ("b",)
    assert report.oldest_violation == NOON + 5
    assert world.told.opens == [(LIVE, "mixed", "b", "b is 7")]
    assert sorted(world.told.resolves) == [
        (LIVE, "mixed", "a", NOON, Resolution.FIXED),
        (LIVE, "mixed", "c", NOON, Resolution.REMOVED),
    ]


@pytest.mark.parametrize(
    ("mode", "idle", "why"),
    [("7", None, Resolution.NOT_APPLICABLE), ("mixed", None, Resolution.UNEVALUABLE), ("mixed", 10, Resolution.FIXED)],
)
def test_the_end_of_a_violation_has_a_reason(mode: str, idle: int | None, why: Resolution) -> None:
    """Whatever becomes of a task that violated a rule, it counts as resolved, and it is told what it was."""
    world = PolicyWorld(rule("short", "task.idle_timeout_seconds <= 100", when='task.mix_mode == "mixed"'))
    world.update("a", idle_timeout_seconds=1000, baseline=True)
    world.update("a", mix_mode=mode, idle_timeout_seconds=idle)
    assert world.told.resolves == [(LIVE, "short", "a", NOON, why)]
    assert world.report("short").resolved == 1


def test_a_scrape_between_two_changes_sees_one_moment() -> None:
    """Few changes are evaluated immediately: the report is up to date when `collected()` returns, with no callback."""
    world = _evaluated()
    revision = _revision(world)
    world.update("d", mix_mode="single")
    assert world.report("mixed").violations == 3
    assert _revision(world) > revision
    assert world.changed == []


def test_a_report_stays_while_nothing_differs() -> None:
    """Rounds that change nothing leave the revision as it is."""
    world = _evaluated()
    revision = _revision(world)
    world.collect()
    world.policy.tick()
    world.update("b", mix_mode="mixed", users=3)
    assert _revision(world) == revision


async def test_many_tasks_are_evaluated_in_slices() -> None:
    """Many changes are noted alone; the last complete report stays until all are evaluated, and then it is reported."""
    world = _evaluated()
    before = world.policy.app(LIVE).report
    world.clock.per_look = 0.001
    for number in range(AT_ONCE):
        world.put(f"more-{number}", mix_mode="single")
    world.update("a", mix_mode="mixed")
    assert world.policy.app(LIVE).report is before
    running = asyncio.create_task(world.policy.run())
    looks = 0
    while world.policy.app(LIVE).report is before:
        looks += 1
        await asyncio.sleep(0)
    assert looks > 10
    assert world.report("mixed").violations == AT_ONCE + 1
    assert world.changed == [LIVE]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


PAIRS = "task.panes.all(p, task.panes.all(q, p.x <= q.x + {}.0))"  # near the limit of one rule


@pytest.mark.parametrize(
    ("number", "expect"),
    [
        (3, PAIRS),
        (3, f"{PAIRS} && age >= duration('0s')"),
        (3, f"{PAIRS} && shared_outputs == 0"),
        (3, f"{PAIRS} && shared_outputs == 0 && task_id != ''"),
        (8, "task.panes.all(p, p.source_type.matches('^(a|b)*{}$'))"),
        (8, "task.panes.all(p, p.source_type.matches('^(a|b)*{}$') || now > timestamp('2000-01-01T00:00:00Z'))"),
    ],
)
async def test_the_event_loop_gets_its_turn_between_costly_rules(number: int, expect: str) -> None:
    """A task is not evaluated by rules that cost much together in one go; its outcomes are published together."""
    names = [f"costly-{each}" for each in range(number)]
    world = PolicyWorld(*(rule(name, expect.format(each)) for each, name in enumerate(names)))
    world.clock.per_look = 0.006
    world.update("a", baseline=True)
    turns = 0
    running = asyncio.create_task(world.policy.run())
    while world.policy.app(LIVE).report is None:
        turns += 1
        await asyncio.sleep(0)
    running.cancel()
    assert turns >= 2
    assert [world.report(name).evaluated for name in names] == [1] * number


async def test_apps_take_turns() -> None:
    """While a big app is evaluated, a small one does not wait for it."""
    world = PolicyWorld(MIXED, apps=(LIVE, OTHER))
    world.clock.per_look = 0.001
    for number in range(5 * AT_ONCE):
        world.put(f"task-{number}")
    for number in range(AT_ONCE + 1):
        world.put(f"other-{number}", OTHER)
    world.collect(baseline=True)
    world.collect(OTHER, baseline=True)
    while world.policy.app(OTHER).report is None:
        world.policy._work()
    assert world.policy.app(LIVE).report is None
    await world.settle()
    assert world.report("mixed").evaluated == 5 * AT_ONCE


def test_withdrawn_data_freezes_findings() -> None:
    """While there is no data nothing opens, ends or grows old; what changed meanwhile shows when it is back."""
    world = _evaluated(YOUNG)
    world.collect(available=False)
    report = world.policy.app(LIVE).report
    world.put("a", mix_mode="mixed")
    world.collect(available=False)
    world.clock.advance(300)
    world.policy.tick()
    assert world.policy.app(LIVE).report is report
    assert world.told.resolves == []
    assert world.told.opens == []
    world.collect()
    assert world.report("mixed").violations == 1
    world.policy.tick()
    assert world.report("young").violations == 3


def test_what_restored_apps_share_was_open_at_the_baseline() -> None:
    """Apps that are restored together know of one another, whichever comes first: nothing opens by a restart."""
    world = PolicyWorld(ALONE, apps=(LIVE, OTHER))
    with world.policy.restoring():
        for app in (LIVE, OTHER):
            world.update("a", app, urls=[1], baseline=True)
    for app in (LIVE, OTHER):
        assert (world.report("alone", app).violations, world.report("alone", app).opened) == (1, 0)
    assert world.told.opens == []


def test_what_a_restored_app_shares_with_one_that_is_too_old_keeps_its_age() -> None:
    """The tasks of an app whose data is withdrawn count for other apps after a restart, as they did before."""
    world = PolicyWorld(ALONE, apps=(LIVE, OTHER))
    with world.policy.restoring():
        world.policy.restore(LIVE, {ALONE.rule.version: {"a": NOON - 500}})
        world.update("a", LIVE, urls=[1], baseline=True)
        world.put("b", OTHER, urls=[1])
        world.collect(OTHER, baseline=True, available=False)
    assert world.open(LIVE) == {"alone": {"a": NOON - 500}}
    world.clock.advance(100)
    world.collect(OTHER)
    assert world.open(LIVE) == {"alone": {"a": NOON - 500}}
    assert world.report("alone", OTHER).violations == 1
    world.remove("b", OTHER)
    world.collect(OTHER)
    assert world.open(LIVE) == {}


async def test_a_restored_app_that_goes_before_it_is_evaluated_shares_nothing() -> None:
    """A reload without an app that was restored a moment ago leaves nothing of its outputs."""
    world = PolicyWorld(ALONE, apps=(LIVE, OTHER))
    world.clock.per_look = 0.001
    with world.policy.restoring():
        world.update("a", OTHER, urls=[1], baseline=True)
        for number in range(AT_ONCE):
            world.put(f"more-{number}", urls=[number])
        world.collect(baseline=True)
    del world.inventories[OTHER]
    world.apply(ALONE)
    await asyncio.wait_for(world.policy.settle(), timeout=10)
    assert world.report("alone").violations == 0


async def test_what_goes_with_an_inventory_is_shared_by_no_evaluated_task() -> None:
    """A reload that replaces a restored app before it is evaluated resolves what it shared with a later app."""
    world = PolicyWorld(ALONE, apps=(LIVE, OTHER))
    world.clock.per_look = 0.001
    with world.policy.restoring():
        world.put("a", urls=[1])
        for number in range(AT_ONCE):
            world.put(f"more-{number}", urls=[number + 10])
        world.collect(baseline=True)
        world.put("b", OTHER, urls=[1])
        world.collect(OTHER, baseline=True)
    while world.policy.app(OTHER).report is None:
        world.policy.tick()
    assert world.policy.app(LIVE).report is None
    assert world.report("alone", OTHER).violations == 1
    world.replace_inventory()
    world.apply(ALONE)
    await asyncio.wait_for(world.policy.settle(), timeout=10)
    assert world.report("alone", OTHER).violations == 0


def test_a_restored_app_that_can_not_be_evaluated_keeps_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its failure is reported, once, and the others are restored."""
    failed: list[tuple[AppKey, Exception]] = []
    bug = ValueError("a bug")
    world = PolicyWorld(ALONE, apps=(LIVE, OTHER), failed=lambda *failure: failed.append(failure))

    def replace(self: SharedOutputs, app: AppKey, *change: Any) -> None:
        if app == LIVE:
            raise bug
        original(self, app, *change)

    original = SharedOutputs.replace
    monkeypatch.setattr(SharedOutputs, "replace", replace)
    with world.policy.restoring():
        for app in (LIVE, OTHER):
            for task_id in ("a", "b"):
                world.put(task_id, app, urls=[1])
            world.collect(app, baseline=True)
    assert failed == [(LIVE, bug)]
    assert world.report("alone", OTHER).violations == 2


def test_an_evaluation_that_fails_leaves_no_outputs_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task pushes to is known while it can't be evaluated, and goes with the task."""

    def fail(*_: object) -> bytes:
        raise ValueError("a bug")

    world = PolicyWorld(ALONE, apps=(LIVE, OTHER), failed=lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "outcomes", fail)
        world.update("a", urls=[1], baseline=True)
    world.update("b", OTHER, urls=[1], baseline=True)
    assert world.report("alone", OTHER).violations == 1
    world.remove("a")
    world.collect()
    world.clock.advance(60)
    world.policy.tick()
    assert world.report("alone", OTHER).violations == 0


def test_an_app_whose_time_can_not_be_looked_at_keeps_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its failure is reported, and time goes on for the others."""
    failed: list[AppKey] = []
    world = PolicyWorld(
        rule("young", 'age < duration("210s")'), apps=(LIVE, OTHER), failed=lambda app, _: failed.append(app)
    )
    for app in (LIVE, OTHER):
        world.update("a", app, baseline=True)

    def look(self: AppPolicy) -> None:
        if self.key == LIVE:
            raise ValueError("a bug")
        original(self)

    original = AppPolicy.look_at_time
    monkeypatch.setattr(AppPolicy, "look_at_time", look)
    world.clock.advance(300)
    world.policy.tick()
    assert failed == [LIVE]
    assert [world.report("young", app).violations for app in (LIVE, OTHER)] == [0, 1]


def test_violations_of_one_reading_open_in_the_order_of_its_changes() -> None:
    """What is told first is what came first, and has the oldest time."""
    world = PolicyWorld(MIXED)
    world.collect(baseline=True)
    for task_id in "cab":
        world.put(task_id, mix_mode="single")
    world.collect()
    assert [task_id for _, _, task_id, _ in world.told.opens] == ["c", "a", "b"]


def test_a_callback_that_fails_keeps_no_other_app_from_being_reported() -> None:
    """Its failure is reported, and of every other app with another report it is said so."""
    failed: list[AppKey] = []
    third = ("prod", "third")
    world = PolicyWorld(MIXED, apps=(LIVE, OTHER, third), failed=lambda app, _: failed.append(app))
    for app in (LIVE, OTHER, third):
        world.update("a", app, mix_mode="single", baseline=True)

    def changed(app: AppKey) -> None:
        world.changed.append(app)
        if app == OTHER:
            raise ValueError("a bug")

    world.policy._changed = changed
    world.apply(MIXED, SHORT)
    assert (world.changed, failed) == ([LIVE, OTHER, third], [OTHER])


def test_urls_of_apps_that_a_rule_is_not_for_count_too() -> None:
    """A rule about shared URLs that a reload brings for one app knows the tasks of all others."""
    world = PolicyWorld(MIXED, apps=(LIVE, OTHER))
    for app in (LIVE, OTHER):
        world.update("a", app, urls=[1], baseline=True)
    world.apply(MIXED, rule("alone", "shared_outputs == 0", apps=("live",)))
    assert world.report("alone").violations == 1
    assert world.reported(OTHER) == ["mixed"]


def test_time_passes_once_a_minute() -> None:
    """Rules about age are looked at each minute, not with each tick."""
    world = _evaluated(YOUNG)
    world.clock.advance(59)
    world.policy.tick()
    world.clock.advance(40)
    world.policy.tick()
    assert world.report("young").violations == 3
    assert world.changed == [LIVE]
    world.clock.advance(10)
    world.update("new")
    world.clock.advance(40)
    world.policy.tick()
    world.clock.advance(55)
    world.policy.tick()
    assert world.report("young").violations == 4


def test_a_reload_keeps_what_is_known_by_the_same_rules() -> None:
    """Ages and counters survive, whatever is new around a rule; rules that went are out of the report."""
    world = _evaluated(SHORT)
    world.update("b", mix_mode="single")
    world.clock.advance(100)
    world.apply(YOUNG, MIXED)
    report = world.report("mixed")
    assert (report.violations, report.opened, report.oldest_violation) == (3, 1, NOON)
    assert world.reported() == ["young", "mixed"]
    assert world.told.baselines == [(LIVE, 2), (LIVE, 3)]


def test_a_changed_rule_begins_with_a_new_baseline() -> None:
    """Another expression or severity makes another rule: its violations are no events, and its age is new."""
    world = _evaluated()
    world.clock.advance(100)
    world.apply(rule("mixed", 'task.mix_mode == "mixed"', Severity.CRITICAL))
    report = world.report("mixed")
    assert (report.violations, report.opened, report.resolved) == (2, 0, 0)
    assert report.oldest_violation == NOON + 100
    assert world.told.opens == []
    assert world.told.resolves == []


def test_exemptions_come_and_go_with_a_reload() -> None:
    """A violation that is agreed upon counts as resolved, and as opened when it is not agreed upon any more."""
    world = _evaluated()
    world.apply(rule("mixed", 'task.mix_mode == "mixed"', exempt=(_mixed("a"),)))
    report = world.report("mixed")
    assert (report.violations, report.exempted, report.resolved) == (1, 1, 1)
    assert [each[2:] for each in world.told.resolves] == [("a", NOON, Resolution.EXEMPTED)]
    live = world.policy.app(LIVE)
    assert [list(live.tasks_with(Outcome.EXEMPT, each.rule)) for each in live.findings()] == [["a"]]
    world.apply(rule("mixed", 'task.mix_mode == "mixed"', message='"not mixed"'))
    report = world.report("mixed")
    assert (report.violations, report.exempted, report.opened) == (2, 0, 1)
    assert world.told.opens == [(LIVE, "mixed", "a", "not mixed")]


async def test_new_rules_are_left_out_until_all_tasks_are_evaluated() -> None:
    """Meanwhile the report goes on with the rules that are known, in step with the tasks."""
    world = PolicyWorld(MIXED)
    for number in range(2 * AT_ONCE):
        world.put(f"task-{number}", mix_mode="single")
    world.collect(baseline=True)
    await world.settle()
    world.clock.per_look = 0.0001
    world.apply(MIXED, SHORT)
    world.policy._work()
    world.update("one-more", mix_mode="single")
    assert world.reported() == ["mixed"]
    assert world.report("mixed").violations == 2 * AT_ONCE + 1
    await world.settle()
    assert world.reported() == ["mixed", "short"]
    assert world.report("short").unevaluable == 2 * AT_ONCE + 1


def test_tasks_that_are_read_again_keep_their_age() -> None:
    """Another inventory's findings wait for its baseline: what still violates is as old as it was."""
    world = _evaluated()
    world.replace_inventory()
    world.apply(MIXED)
    world.clock.advance(50)
    assert world.report("mixed").violations == 2
    world.put("a", mix_mode="single")
    world.update("d", mix_mode="single", baseline=True)
    report = world.report("mixed")
    assert world.open() == {"mixed": {"a": NOON, "d": NOON + 50}}
    assert (report.evaluated, report.opened, report.resolved) == (2, 1, 1)


def test_another_description_of_an_app_is_evaluated_by() -> None:
    """What an app is called counts from the reload on."""
    world = _evaluated(rule("owned", 'app.owner == "live-ops"'))
    assert world.report("owned").violations == 3
    world.descriptions[LIVE] = App(id="live", owner="live-ops")
    world.apply(MIXED, rule("owned", 'app.owner == "live-ops"'))
    assert world.report("owned").violations == 0
    assert world.report("owned").resolved == 3


def test_the_number_of_tasks_is_evaluated() -> None:
    """Too few tasks violate once, without a TaskId; it opens and resolves as other violations do."""
    world = PolicyWorld()
    world.apply(expectations={LIVE: _tasks(1, 2)})
    world.collect(baseline=True)
    report = world.report("expect-tasks")
    assert (report.evaluated, report.violations, report.examples, report.examples_omitted) == (1, 1, (), 0)
    for task_id in "abc":
        world.update(task_id)
    assert world.report("expect-tasks").violations == 1
    assert world.told.resolves == [(LIVE, "expect-tasks", None, NOON, Resolution.FIXED)]
    assert world.told.opens == [(LIVE, "expect-tasks", None, "too many tasks: 3, expected at most 2")]
    world.apply(expectations={LIVE: _tasks(1, 4)})
    assert world.report("expect-tasks").violations == 0


def test_ages_survive_a_restart() -> None:
    """Saved findings give what still violates its age back, for the same version of a rule; the rest begins now.

    What was saved is saved again until the baseline, and no age lies in the future.
    """
    first = _evaluated(SHORT)
    saved = first.policy.app(LIVE).counted.saved()
    assert saved[MIXED.rule.version] == {"a": NOON, "c": NOON}
    second = PolicyWorld(MIXED)
    second.clock.advance(1000)
    known = {**saved[MIXED.rule.version], "e": NOON + 5000, "gone": NOON}
    second.policy.restore(LIVE, {MIXED.rule.version: known, ("else",): {"a": 1.0}})
    assert second.policy.app(LIVE).counted.saved() == {MIXED.rule.version: known}
    for task_id, mode in (("a", "single"), ("c", "mixed"), ("d", "single"), ("e", "single")):
        second.put(task_id, mix_mode=mode)
    second.collect(baseline=True)
    assert second.open() == {"mixed": {"a": NOON, "d": NOON + 1000, "e": NOON + 1000}}
    assert second.report("mixed").oldest_violation == NOON
    assert second.policy.app(LIVE).counted.saved() == {MIXED.rule.version: second.open()["mixed"]}
    assert second.told.opens == []
    assert second.told.found_at_baselines == [(LIVE, "mixed", "d", "d is single")]


def test_ages_that_are_known_late_count() -> None:
    """What was saved may be known only when its violations are open: the report has their true age then."""
    world = _evaluated(SHORT)
    world.clock.advance(1000)
    world.policy.restore(LIVE, {MIXED.rule.version: {"a": NOON - 500, "c": NOON + 500, "gone": 1.0}})
    assert world.open()["mixed"] == {"a": NOON - 500, "c": NOON}
    assert world.report("mixed").oldest_violation == NOON - 500
    world.remove("a")
    world.collect()
    assert world.report("mixed").oldest_violation == NOON


def test_examples_are_shared_out_over_all_apps() -> None:
    """When other rules need the room, an app shows fewer examples, and its publisher is notified."""
    world = PolicyWorld(apps=(LIVE, OTHER))
    world.apply(MIXED, SHORT, max_examples=4)
    for task_id in "abcd":
        world.put(task_id, mix_mode="single", idle_timeout_seconds=1)
    world.collect(baseline=True)
    assert len(world.report("mixed").examples) == 4
    for task_id in "efg":
        world.put(task_id, OTHER, idle_timeout_seconds=1000)
    world.collect(OTHER, baseline=True)
    report = world.report("mixed")
    assert (len(report.examples), report.examples_omitted) == (1, 3)
    assert len(world.report("short", OTHER).examples) == 3
    assert world.changed == [LIVE]


def test_texts_and_reasons_are_made_when_asked_for() -> None:
    """The API gets the message of a violation, and why a rule can't be evaluated, of the task as it is now."""
    world = _evaluated(SHORT)
    mixed, short = world.policy.app(LIVE).findings()
    assert world.policy.app(LIVE).text(mixed.rule, "a") == "a is single"
    assert world.policy.app(LIVE).text(mixed.rule, "gone") == "Title of mixed"
    assert world.policy.app(OTHER).text(mixed.rule, "a") == "Title of mixed"
    assert sorted(world.policy.app(LIVE).tasks_with(Outcome.ERROR, short.rule)) == ["a", "b", "c"]
    assert "idle_timeout_seconds" in world.policy.app(LIVE).reason(short.rule, "a")
    assert world.policy.app(LIVE).reason(mixed.rule, "a") == world.policy.app(OTHER).reason(mixed.rule, "a") == ""


def _revision(world: PolicyWorld) -> int:
    report = world.policy.app(LIVE).report
    assert report is not None
    return report.revision


def test_a_stopped_rule_freezes_its_findings_until_a_reload() -> None:
    """Nothing is resolved or opened by it, and it is reported once; a reload evaluates every task again."""
    slow = rule("slow", SLOW)
    world = _evaluated(slow)
    slow.expect.stopped = True
    for task_id, mode in (("a", "mixed"), ("b", "single"), ("new", "single")):
        world.put(task_id, mix_mode=mode, idle_timeout_seconds=77)
    world.collect()
    world.policy.tick()
    world.policy.tick()
    assert world.told.stops == [("slow", "stopped: it took over 0.25 s 3 times within 10 minutes")]
    assert world.open()["slow"].keys() == {"a", "c"}
    assert world.open()["mixed"].keys() == {"b", "c", "new"}
    report = world.report("slow")
    assert (report.evaluated, report.violations, report.unevaluable, report.resolved) == (3, 2, 1, 0)

    world.apply(MIXED, rule("slow", SLOW))
    assert world.open()["slow"].keys() == {"b", "c", "new"}
    report = world.report("slow")
    assert (report.evaluated, report.violations, report.unevaluable, report.resolved) == (4, 3, 0, 1)


def test_a_task_that_is_removed_is_no_finding_of_a_stopped_rule() -> None:
    """What is not there any more violates nothing."""
    slow = rule("slow", SLOW)
    world = _evaluated(slow)
    slow.expect.stopped = True
    world.remove("a")
    world.collect()
    assert world.open()["slow"].keys() == {"c"}
    assert (LIVE, "slow", "a", NOON, Resolution.REMOVED) in world.told.resolves


EXPIRY = 1_800_000_000


def _signed(world: PolicyWorld, name: str, expiry: int) -> None:
    signed = Output("rtmp", "push.example.com", None, has_userinfo=False, signer="tencent")
    world.put(name, outputs=(signed,), push_times=expiry.to_bytes(4, "big"))


def test_keys_expire_at_their_moments() -> None:
    """Violations about keys open and are resolved within a tick of the moment, each task in one of the two rules."""
    rules = {rule.name: compile_rule(rule) for rule in default_rules()}
    names = ("push-auth-expiring", "push-auth-expired", "push-auth-expired-at-start")
    world = PolicyWorld(*(rules[name] for name in names), began=EXPIRY - 90_000)

    def found() -> list[int]:
        world.policy.tick()
        return [world.report(name).violations for name in names]

    _signed(world, "baseline-expired", EXPIRY - 90_001)
    _signed(world, "baseline", EXPIRY)
    world.collect(baseline=True)
    assert found() == [0, 1, 0]
    text = world.policy.app(LIVE).text(rules["push-auth-expired"], "baseline-expired")
    assert text == "expired: tencent key of push.example.com at 2027-01-14T06:59:59Z"
    world.clock.advance(3599)
    assert found() == [0, 1, 0]
    world.clock.advance(1)
    assert found() == [1, 1, 0]
    _signed(world, "late", EXPIRY - 90_000)
    _signed(world, "in-time", EXPIRY + 10)
    world.collect()
    assert found() == [1, 1, 1]
    world.clock.advance(10)
    assert found() == [2, 1, 1]
    world.clock.advance(86_390)
    assert found() == [1, 2, 1]
    world.clock.advance(10)
    assert found() == [0, 3, 1]
    _signed(world, "baseline", EXPIRY + 200_000)
    world.collect()
    assert found() == [0, 2, 1]


def test_a_clock_that_steps_back_takes_back_what_time_did() -> None:
    """A task is young again and a key valid, within a tick, by a clock that is set right."""
    valid = rule("valid", 'task.outputs.all(output, output.push_auth != "expired")')
    world = PolicyWorld(valid, rule("young", 'age < duration("210s")'), began=EXPIRY - 90_000)
    _signed(world, "a", EXPIRY)
    world.collect(baseline=True)
    found = []
    for seconds in (100_000, -100_000):
        world.clock.wall += seconds
        world.policy.tick()
        found.append([world.report(name).violations for name in ("valid", "young")])
    assert found == [[1, 1], [0, 0]]


def test_the_signer_of_a_host_is_the_one_by_setting() -> None:
    """Rules see the configured vendor from the reload on, and the one of the form again when the setting is gone."""
    tencent = rule("tencent", 'task.outputs.all(output, output.signer == "tencent")')
    expired = rule("valid", 'task.outputs.all(output, output.signer == "tencent" && output.push_auth != "expired")')
    world = PolicyWorld(tencent, expired, began=EXPIRY - 90_000)
    _signed(world, "a", EXPIRY)
    world.collect(baseline=True)
    settings = PushAuthSettings((HostSetting("*.example.com", 60, "huawei"),))
    found = []
    for parts in ({"push_auth": settings}, {}):
        world.apply(tencent, expired, **parts)
        world.policy.tick()
        found.append((world.report("tencent").violations, world.report("valid").violations))
    assert found == [(1, 1), (0, 0)]


def test_a_key_without_a_configured_validity_may_have_expired_after_a_day() -> None:
    """What Alibaba's type A says of its time is spoken of a day later, and not where the validity is configured."""
    name = "push-auth-validity-unknown"
    compiled = next(compile_rule(each) for each in default_rules() if each.name == name)
    world = PolicyWorld(compiled, began=EXPIRY)
    signed = Output("rtmp", "push.example.com", None, has_userinfo=False, signer="alibaba")
    world.update("a", outputs=(signed,), push_times=EXPIRY.to_bytes(4, "big"), baseline=True)

    def found() -> int:
        world.policy.tick()
        return world.report(name).violations

    world.clock.advance(86_399)
    assert found() == 0
    world.clock.advance(1)
    assert found() == 1
    world.apply(compiled, push_auth=PushAuthSettings((HostSetting("push.example.com", 1800, None),)))
    assert found() == 0
