"""What the web side sees of the policy: real rules over real tasks."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from exporter.collector.inventory import Change, Entry, Inventory
from exporter.collector.status import Status
from exporter.config.model import App
from exporter.core.task import Task
from exporter.metrics.aggregates import AppReport
from exporter.rules.app_engine import AppPolicy
from exporter.rules.cel_language import STOPPED
from exporter.rules.engine import PolicyEngine
from exporter.rules.findings import AnyRule, FindingEvents, RuleReport
from exporter.rules.rule import AppKey, CompiledRule, Exemption, Outcome, Rule, Severity, TaskCountRule, compile_rule
from exporter.rules.rule_set import AppRules, RuleOff, RuleSet
from exporter.service.views import (
    LOOKED_AT_FOR_REASONS,
    MOST_SAMPLES,
    SAMPLE_SECONDS,
    PolicyView,
    Trends,
    violations_of,
)
from exporter.web.api.violations_api import rules_listing, violations_listing
from exporter.web.query import Query
from exporter.web.view import AppView, FindingDetail, FindingKind
from tests.metrics.builders import STATUS, configuration, encoding, policy_report
from tests.support.virtual_time import SetClock, finished
from tests.web.api.api_view import document
from tests.web.fake_view import app_view

NOW = 1_800_000_000.0
BITRATES = {"t-high": 5000, "t-load": 6000, "t-low": 1000, "t-none": None}


def _bitrate(owner: str = "") -> CompiledRule:
    rule = Rule(
        name="video-bitrate-agreed",
        title="Video bitrate within what was agreed",
        severity=Severity.WARNING,
        owner=owner,
        expect="task.video.bitrate_kbps <= 3000",
        message='"video at " + string(task.video.bitrate_kbps) + " kbit/s"',
        exempt=(
            Exemption(name="over", tasks=("t-*",), until=date(2020, 1, 1)),
            Exemption(name="load-test", tasks=("t-load*",), until=date(2030, 1, 1)),
        ),
    )
    return compile_rule(rule)


def _count() -> TaskCountRule:
    rule = Rule(name="expect-tasks", title="As many tasks as expected", severity=Severity.WARNING, expect="")
    return TaskCountRule(rule, least=None, most=3)


def _rule_set(*rules: CompiledRule, expecting: Sequence[AppKey] = ()) -> RuleSet:
    off = Rule(name="placebo-preset", title="No placebo", severity=Severity.INFO, expect="true")
    return RuleSet(
        rules=rules,
        off=(RuleOff(off, "policy.rules.placebo-preset.enabled is false"),),
        expectations={key: AppRules(rules=(), count=_count()) for key in expecting},
        examples_per_rule=5,
        max_examples=100,
    )


class Shown:
    """Two apps with the same four tasks, of which one has lost its data, as the web side sees them."""

    def __init__(self, owner: str = "") -> None:
        self.rule_set = _rule_set(_bitrate(owner), expecting=[("prod", "live")])
        self.policy = PolicyEngine(SetClock(NOW), events=FindingEvents(), changed=lambda _key: None)
        self.statuses = [_status("live", available=True), _status("frozen", available=False)]
        self.view = PolicyView(self.policy, lambda: self.statuses, lambda: self.rule_set, SetClock(NOW))
        inventories = {("prod", app_id): Inventory() for app_id in ("live", "frozen")}
        self.policy.apply(self.rule_set, [(key, App(id=key[1]), inventory) for key, inventory in inventories.items()])
        for key, inventory in inventories.items():
            self.policy.collected(key, _accepted(inventory), baseline=True, available=True)
        self.policy.collected(("prod", "frozen"), [], baseline=False, available=False)

    def items(self, kind: FindingKind) -> list[Mapping[str, Any]]:
        """Return what `/api/v1/violations` shows."""
        page = document(finished(violations_listing(self.view.findings(kind), Query(outcome=kind), ())))
        items: list[Mapping[str, Any]] = page["violations"]
        assert page["matching"] == len(items)
        return items


def _status(app_id: str, *, available: bool) -> Status:
    return msgspec.structs.replace(STATUS, app_id=app_id, data_available=available)


def _accepted(inventory: Inventory) -> list[Change]:
    return inventory.accept(
        [
            Entry.of(
                Task(
                    task_id,
                    "channel",
                    configuration(encoding=encoding(bitrate_kbps=bitrate)),
                    row_digest=number,
                    digests=bytes(32),
                ),
                sent_at=0.0,
            )
            for number, (task_id, bitrate) in enumerate(BITRATES.items())
        ],
        now=NOW,
    )


@pytest.mark.parametrize(("owner", "expected"), [("", STATUS.owner), ("video-team", "video-team")])
def test_a_finding_belongs_to_the_owner_of_its_rule_or_else_of_its_app(owner: str, expected: str) -> None:
    """As alerts have it: anyone who filters by the app's owner sees what no rule's owner answers for."""
    view = Shown(owner).view
    query = Query(owner=expected, rule="video-bitrate-agreed")
    items = document(finished(violations_listing(view.findings(FindingKind.VIOLATION), query, ())))["violations"]
    assert items
    assert {item["owner"] for item in items} == {expected}


def test_violations_have_their_message_and_age() -> None:
    """A task that violates a rule is shown with what is wrong, since when; the app as a whole has no TaskId."""
    items = Shown().items(FindingKind.VIOLATION)
    shown = [(item["app_id"], item["rule"], item["task_id"], item["message"]) for item in items]
    assert shown == [
        ("frozen", "video-bitrate-agreed", "t-high", "video at 5000 kbit/s"),
        ("live", "expect-tasks", None, "too many tasks: 4, expected at most 3"),
        ("live", "video-bitrate-agreed", "t-high", "video at 5000 kbit/s"),
    ]
    assert {item["since_timestamp_seconds"] for item in items} == {NOW}
    assert {item["exemption"] for item in items} == {item["reason"] for item in items} == {None}


def test_findings_of_an_app_without_data_are_marked() -> None:
    """What is frozen stays there, and says that it is; those of one app can be asked for alone."""
    shown = Shown()
    items = shown.items(FindingKind.VIOLATION)
    assert {(item["app_id"], item["data_available"]) for item in items} == {("frozen", False), ("live", True)}
    assert {group.app_id for group in shown.view.findings(FindingKind.VIOLATION, ("prod", "frozen"))} == {"frozen"}


def test_what_an_earlier_process_left_open_is_shown_until_it_is_evaluated() -> None:
    """After a start with data that is too old to be evaluated, violations are frozen, with their age."""
    shown, key, inventory = Shown(), ("prod", "stale"), Inventory()
    shown.rule_set = _rule_set(_bitrate(), expecting=[key])
    shown.statuses = [_status("stale", available=False)]
    shown.policy.apply(shown.rule_set, [(key, App(id="stale"), inventory)])
    shown.policy.restore(key, {_bitrate().rule.version: {"t-high": 5.0}, _count().rule.version: {"": 6.0}})
    shown.policy.collected(key, _accepted(inventory), baseline=True, available=False)
    frozen = shown.items(FindingKind.VIOLATION)
    assert [(item["message"], item["since_timestamp_seconds"], item["data_available"]) for item in frozen] == [
        ("too many tasks: 4, expected at most 3", 6.0, False),
        ("video at 5000 kbit/s", 5.0, False),
    ]
    counts = [violations_of(AppReport(status, None), shown.policy.app(key)) for status in (shown.statuses[0], STATUS)]
    assert counts == [{Severity.WARNING: 2}, None]
    assert shown.items(FindingKind.EXEMPTED) == shown.items(FindingKind.UNEVALUABLE) == []
    shown.policy.collected(key, [], baseline=False, available=True)
    assert shown.items(FindingKind.VIOLATION) == frozen


def test_exempted_findings_name_the_exemption_that_holds() -> None:
    """Of several exemptions for a task, the one that has not ended is named, and the message is there too."""
    items = Shown().items(FindingKind.EXEMPTED)
    assert [(item["app_id"], item["task_id"], item["exemption"], item["message"]) for item in items] == [
        (app_id, "t-load", "load-test", "video at 6000 kbit/s") for app_id in ("frozen", "live")
    ]


def test_unevaluable_findings_have_their_reason() -> None:
    """A task that a rule can't be evaluated for is shown with why, and without a message or an age."""
    items = Shown().items(FindingKind.UNEVALUABLE)
    assert [(item["app_id"], item["task_id"]) for item in items] == [("frozen", "t-none"), ("live", "t-none")]
    assert {item["reason"] for item in items} == {'Key not found in map : "bitrate_kbps": guard it with has()'}
    assert {item["message"] for item in items} == {item["since_timestamp_seconds"] for item in items} == {None}


def test_rules_have_totals_over_all_apps() -> None:
    """Numbers of all apps are added up, the oldest violation is the oldest of any, and reasons are shown once."""
    rules = {rule["name"]: rule for rule in document(rules_listing(Shown().view.rules(), Query(), now=NOW))["rules"]}
    assert rules["video-bitrate-agreed"]["totals"] == {
        "violations": 2,
        "evaluated": 4,
        "not_applicable": 0,
        "exempted": 2,
        "unevaluable": 2,
        "oldest_violation_timestamp_seconds": NOW,
    }
    assert list(rules["video-bitrate-agreed"]["unevaluable_reasons"]) == [
        'Key not found in map : "bitrate_kbps": guard it with has()'
    ]
    totals = rules["expect-tasks"]["totals"]
    assert totals is not None
    assert totals["evaluated"] == 1
    assert rules["expect-tasks"]["unevaluable_reasons"] == []


def test_rules_that_are_off_are_listed_with_why() -> None:
    """They have no numbers; one of the same name that is in force is in their place."""
    shown = Shown()
    off = next(rule for rule in shown.view.rules() if rule.why_off is not None)
    assert (off.rule.name, off.why_off, off.totals) == (
        "placebo-preset",
        "policy.rules.placebo-preset.enabled is false",
        None,
    )
    in_force = Rule(name="placebo-preset", title="Mine", severity=Severity.INFO, expect="true")
    shown.rule_set = _rule_set(compile_rule(in_force))
    (rule,) = shown.view.rules()
    assert (rule.rule.title, rule.why_off, rule.totals) == ("Mine", None, None)


@pytest.mark.parametrize("kind", FindingKind)
def test_an_app_that_is_unknown_to_the_policy_has_no_findings(kind: FindingKind) -> None:
    """Before the first evaluation, and after an app was removed, nothing is said of it."""
    shown = Shown()
    shown.statuses = [_status("new", available=True)]
    assert shown.items(kind) == []
    assert {rule.totals for rule in shown.view.rules()} == {None}


@pytest.mark.parametrize(
    ("task_id", "outcome", "since", "detail"),
    [
        ("t-high", Outcome.VIOLATION, NOW, FindingDetail(message="video at 5000 kbit/s")),
        ("t-load", Outcome.EXEMPT, None, FindingDetail(message="video at 6000 kbit/s", exemption="load-test")),
        ("t-low", Outcome.PASS, None, FindingDetail()),
        (
            "t-none",
            Outcome.ERROR,
            None,
            FindingDetail(reason='Key not found in map : "bitrate_kbps": guard it with has()'),
        ),
    ],
)
def test_one_task_has_what_came_of_each_rule(
    task_id: str, outcome: Outcome, since: float | None, detail: FindingDetail
) -> None:
    """Each rule about tasks is there with its outcome, age and words; rules about the app do not."""
    (finding,) = Shown().view.of_task(("prod", "live"), task_id)
    assert (finding.rule.name, finding.outcome, finding.since) == ("video-bitrate-agreed", outcome, since)
    assert finding.detail == detail


def test_a_task_that_was_not_evaluated_has_no_findings() -> None:
    """An unknown task and an unknown app have nothing."""
    view = Shown().view
    assert list(view.of_task(("prod", "live"), "unknown")) == []
    assert list(view.of_task(("prod", "other"), "t-high")) == []


def test_a_stopped_rule_says_why() -> None:
    """It is in force, with its numbers as they were last."""
    shown = Shown()
    shown.rule_set.rules[0].expect.stopped = True
    (rule,) = (each for each in shown.view.rules() if each.why_stopped)
    assert (rule.rule.name, rule.why_off, rule.why_stopped) == ("video-bitrate-agreed", None, STOPPED)


def test_reasons_are_looked_for_in_some_tasks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one reason in very many apps, a page evaluates rules for a bounded number of tasks."""
    asked: list[str] = []
    honest = AppPolicy.reason

    def counting(self: AppPolicy, rule: AnyRule, task_id: str) -> str:
        asked.append(task_id)
        return honest(self, rule, task_id)

    monkeypatch.setattr(AppPolicy, "reason", counting)
    rule_set = _rule_set(_bitrate())
    policy = PolicyEngine(SetClock(NOW), events=FindingEvents(), changed=lambda _key: None)
    inventories = {("prod", f"app-{number}"): Inventory() for number in range(LOOKED_AT_FOR_REASONS + 5)}
    policy.apply(rule_set, [(key, App(id=key[1]), inventory) for key, inventory in inventories.items()])
    for key, inventory in inventories.items():
        policy.collected(key, _accepted(inventory), baseline=True, available=True)
    statuses = [_status(app_id, available=True) for _, app_id in inventories]
    view = PolicyView(policy, lambda: statuses, lambda: rule_set, SetClock(NOW))
    assert [len(shown.reasons()) for shown in view.rules() if shown.why_off is None] == [1]
    assert len(asked) == LOOKED_AT_FOR_REASONS


def test_violations_of_an_app_are_known_once_all_of_its_tasks_are_evaluated() -> None:
    """They are counted by severity, the severest first; before, and without data and findings, nothing is known."""
    counted = (RuleReport("a", Severity.INFO, violations=2), RuleReport("b", Severity.CRITICAL, violations=1))
    no_data = replace(STATUS, data_available=False)
    evaluated, fine = policy_report(*counted), policy_report(RuleReport("a", Severity.INFO))
    for status, policy, expected in (
        (STATUS, None, None),
        (STATUS, evaluated, [(Severity.CRITICAL, 1), (Severity.INFO, 2)]),
        (STATUS, fine, []),
        (no_data, evaluated, [(Severity.CRITICAL, 1), (Severity.INFO, 2)]),
        (no_data, fine, None),
    ):
        found = violations_of(AppReport(status, None, policy=policy), Shown().policy.app(("prod", "else")))
        assert (None if found is None else list(found.items())) == expected


def shown(app_id: str, tasks: int | None, violations: int | None) -> AppView:
    """Return an app with numbers of tasks and violations."""
    counts = None if violations is None else {Severity.WARNING: violations}
    return replace(
        app_view(None if tasks is None else {("CN-Shanghai", "mixed"): tasks}, app_id=app_id), violations=counts
    )


def test_apps_and_their_sum_are_sampled() -> None:
    """What is not known is no 0, and an app that is gone is forgotten."""
    apps = [shown("a", 3, 2), shown("b", None, 5)]
    trends = Trends(lambda: apps, SetClock())
    trends.sample()
    apps[:] = [shown("a", None, 2), shown("b", 7, None)]
    trends.sample()
    assert trends.of("production", "a").tasks == [3, None]
    assert trends.of("production", "a").violations == [2, None]
    assert trends.of("production", "b").violations == [None, None]
    assert trends.of().tasks == [3, 7]
    assert trends.of().violations == [2, None]
    del apps[0]
    trends.sample()
    assert list(trends.of("production", "a").tasks) == []
    assert trends.of("production", "b").tasks == [None, 7, 7]


def test_six_hours_are_kept() -> None:
    """The oldest sample makes room for the newest."""
    counts = iter(range(10_000))
    trends = Trends(lambda: [shown("a", next(counts), 0)], SetClock())
    for _ in range(MOST_SAMPLES + 5):
        trends.sample()
    trend = trends.of("production", "a")
    assert trend.tasks == list(range(5, MOST_SAMPLES + 5))
    assert len(trend.tasks) * SAMPLE_SECONDS == 6 * 3600
