"""`/api/v1/violations` and `/api/v1/rules`: which of them a query gets, in which pages, and what is said of each."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.rules.rule import Exemption, Severity
from exporter.web.api.violations_api import rules_listing, violations_listing
from exporter.web.query import Query, cursor_after
from exporter.web.view import FindingDetail, FindingKind, FindingsView, RuleView, TotalsDocument
from tests.support.virtual_time import timed
from tests.web.api.api_view import document, followed, listing_of, page_of
from tests.web.fake_view import NOW, PENDING, FakeView, app_view, findings, rule

CRITICAL = rule("push-host", severity=Severity.CRITICAL, owner="cdn")
COUNT = rule("expect-tasks", owner="")
GROUPS = [
    findings({f"task-{number}": NOW + number for number in range(9, 0, -1)}),
    findings({"task-2": NOW + 20, "task-1": NOW + 30}, rule=CRITICAL),
    findings({"": NOW + 40}, rule=COUNT),
    findings({"task-1": NOW + 50}, app_id="live-b"),
    findings({"task-1": NOW + 60}, account="another", data_available=False),
]
ORDER = [
    ("another", "live-main", "video-bitrate-agreed", "task-1"),
    ("production", "live-b", "video-bitrate-agreed", "task-1"),
    ("production", "live-main", "expect-tasks", None),
    ("production", "live-main", "push-host", "task-1"),
    ("production", "live-main", "push-host", "task-2"),
    *[("production", "live-main", "video-bitrate-agreed", f"task-{number}") for number in range(1, 10)],
]

Shown = tuple[str, str, str, str | None]


def view_of(groups: Iterable[FindingsView]) -> FakeView:
    """Return a view of violations."""
    view = FakeView([app_view(), app_view(app_id="live-b"), app_view(account="another")])
    view.violations = list(groups)
    view.shown_rules = [RuleView(group.rule) for group in GROUPS]
    return view


def shown(items: Iterable[Mapping[str, Any]]) -> list[Shown]:
    """Return what items are about."""
    return [(item["account"], item["app_id"], item["rule"], item["task_id"]) for item in items]


def test_the_order_is_by_names() -> None:
    """Account, AppId, rule, TaskId, whatever the order in which rules and tasks came; frozen findings are marked."""
    for groups in (GROUPS, GROUPS[::-1]):
        items = page_of(view_of(groups), "violations")["violations"]
        assert shown(items) == ORDER
        assert [item["account"] for item in items if not item["data_available"]] == ["another"]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 14),
        ({"account": "production"}, 13),
        ({"app_id": "live-b"}, 1),
        ({"rule": "push-host"}, 2),
        ({"severity": "critical"}, 2),
        ({"severity": "info"}, 0),
        ({"task_id": "task-1"}, 4),
        ({"task_id": "task-1", "since": str(NOW + 50)}, 2),
        ({"owner": "cdn"}, 2),
        ({"since": str(NOW + 30)}, 4),
        ({"since": "2027-01-15T08:00:30Z", "app_id": "live-main"}, 3),
        ({"outcome": "violation", "limit": "1000"}, 14),
    ],
)
def test_parameters_narrow_down(parameters: dict[str, str], expected: int) -> None:
    """Each parameter leaves what fits it, several leave what fits all, and `matching` counts them."""
    shown_page = page_of(view_of(GROUPS), "violations", **parameters)
    assert shown_page["apps_without_data"] == []
    assert len(shown_page["violations"]) == shown_page["matching"] == expected


def test_findings_of_an_unknown_time_are_not_since_any_time() -> None:
    """A `since` asks for what is known to be seen since then."""
    view = view_of([findings({"task-2": NOW}, ageless=["task-1"])])
    for parameters, expected in (
        ({"since": 0}, ["task-2"]),
        ({"since": 0, "task_id": "task-1"}, []),
        ({"task_id": "task-1"}, ["task-1"]),
    ):
        items = page_of(view, "violations", **parameters)["violations"]
        assert [item["task_id"] for item in items] == expected


@pytest.mark.parametrize(("given", "named"), [({}, ["live-new"]), ({"app_id": "live-main"}, [])])
def test_apps_of_which_no_violation_can_be_known_are_named(given: dict[str, str], named: list[str]) -> None:
    """An empty list is no all-clear for apps without data, so the answer names those of them that are asked for."""
    answer = page_of(FakeView([app_view(), PENDING]), "violations", **given)
    assert (answer["violations"], answer["matching"]) == ([], 0)
    assert [app["app_id"] for app in answer["apps_without_data"] if app["reason"]] == named


def test_a_finding_that_ends_while_the_page_is_made_keeps_its_age() -> None:
    """Items are made one by one; what they say of time is of the moment at which the page was chosen."""
    since = {"task-1": NOW}
    page = listing_of(view_of([findings(since)]), "violations")
    since.clear()
    assert [item["since_timestamp_seconds"] for item in document(page)["violations"]] == [NOW]


def test_only_what_is_shown_is_looked_up() -> None:
    """Groups that are on other pages only tell how many they are, and what a page leaves out costs no message."""
    asked: list[tuple[str, str]] = []

    def group(name: str) -> FindingsView:
        def task_ids() -> list[str]:
            asked.append((name, "all"))
            return ["task-1", "task-2"]

        def detail(task_id: str) -> FindingDetail:
            asked.append((name, task_id))
            return FindingDetail()

        return findings(dict.fromkeys(task_ids(), NOW), rule=rule(name), task_ids=task_ids, detail=detail)

    groups = [group(name) for name in "abcd"]
    asked.clear()
    cursor = cursor_after("production", "live-main", "a", "task-2")
    shown_page = page_of(view_of(groups), "violations", limit=1, cursor=cursor)
    assert [(item["rule"], item["task_id"]) for item in shown_page["violations"]] == [("b", "task-1")]
    assert shown_page["matching"] == 8
    assert asked == [("a", "all"), ("b", "all"), ("b", "task-1")]


@given(
    st.sampled_from([1, 2, 3, 5, 10]),
    st.lists(st.sets(st.sampled_from(["task-0", "task-1x", "task-5", "task-7", "zzz", ""])), max_size=15),
)
def test_pages_show_every_lasting_violation_once(limit: int, removals: list[set[str]]) -> None:
    """Whatever comes and goes between two pages, following the cursor shows what lasts, in order, each once."""
    base = {f"task-{number}": NOW for number in range(10)}
    names, left = ["a", "b", "c"], list(removals)
    view = view_of([findings(base, rule=rule(name)) for name in names])

    def change(_page: object) -> None:
        gone = left.pop(0) if left else set()
        newcomers = {"task-1x": NOW, "zzz": NOW} if len(left) % 2 else {}
        since = {task_id: when for task_id, when in (base | newcomers).items() if task_id not in gone}
        view.violations = [findings(since, rule=rule(name)) for name in names]

    seen = shown(followed(view, "violations", change, limit=limit))
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen, key=lambda item: item[2:])
    changing = {"task-1x", "zzz", *(task_id for gone in removals for task_id in gone)}
    lasting = [("production", "live-main", name, task_id) for name in names for task_id in base]
    assert [item for item in seen if item[3] not in changing] == [item for item in lasting if item[3] not in changing]


def test_a_query_by_time_lets_others_run_after_each_rule() -> None:
    """Times of 8 rules are compared in at least 8 slices, and all that match are counted."""
    since = {f"task-{number:06}": NOW for number in range(1000)}
    groups = [findings(since, rule=rule(f"rule-{number}")) for number in range(8)]
    listing, slices = timed(violations_listing(groups, Query(since=NOW), ()))
    assert listing.also["matching"] == 8000
    assert len(slices) > 8


@pytest.mark.parametrize("limit", ["1", "3", "1000"])
@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("since", NOW + 1, [(None, "unknown")]),
        ("-since", NOW + 60, [(None, "unknown")]),
        ("severity", NOW + 60, [(NOW + 30, "task-1"), (NOW + 20, "task-2")]),
        ("-severity", NOW + 30, [(NOW + 9, "own-9"), (None, "unknown")]),
    ],
)
def test_findings_are_sorted_over_all_groups(sort: str, first: float, last: list[Any], limit: str) -> None:
    """Those without the value are last, equal ones are by name, and pages show each once, also if the last one ends."""
    since = {f"own-{number}": NOW + number for number in range(1, 10)}
    groups = [*GROUPS[1:], findings(since, ageless=["unknown"])]

    def end_the_last(page: Mapping[str, Any]) -> None:
        since.pop(page["violations"][-1]["task_id"], None)

    items = followed(view_of(groups), "violations", end_the_last, sort=sort, limit=limit)
    found = [(item["since_timestamp_seconds"], item["task_id"]) for item in items]
    assert len(found) == len(set(found)) == len(ORDER) + 1
    assert (found[0][0], found[-len(last) :]) == (first, last)


@pytest.mark.parametrize(
    ("outcome", "task_id", "detail"),
    [
        (None, "bad", FindingDetail(message="too much")),
        ("exempted", "agreed", FindingDetail(message="too much", exemption="load-test")),
        ("unevaluable", "odd", FindingDetail(reason="task has no gop")),
    ],
)
def test_findings_of_another_outcome_are_shown_on_demand(
    outcome: str | None, task_id: str, detail: FindingDetail
) -> None:
    """Without `outcome` violations are shown; the exemption's name or the reason is shown, an unknown time is null."""
    view = FakeView([app_view()])
    view.violations = [findings({}, ageless=["bad"], detail=lambda _: detail)]
    view.found = {
        FindingKind.EXEMPTED: [findings({}, ageless=["agreed"], detail=lambda _: detail)],
        FindingKind.UNEVALUABLE: [findings({}, ageless=["odd"], detail=lambda _: detail)],
    }
    page = page_of(view, "violations", **({} if outcome is None else {"outcome": outcome}))
    (item,) = page["violations"]
    assert (item["task_id"], page["matching"], item["since_timestamp_seconds"]) == (task_id, 1, None)
    assert FindingDetail(item["message"], item["exemption"], item["reason"]) == detail


MIDNIGHT = 1_801_440_000.0
"""The end of 2027-01-31."""

RULES = [
    RuleView(rule("c", severity=Severity.INFO)),
    RuleView(rule("a")),
    RuleView(rule("d"), why_off="policy.rules"),
    RuleView(rule("b", severity=Severity.CRITICAL), why_off="policy.default_rules"),
]


def view_of_rules(*rules: RuleView) -> FakeView:
    """Return a view of rules."""
    view = FakeView()
    view.shown_rules = list(rules)
    return view


@pytest.mark.parametrize(("now", "ended"), [(MIDNIGHT - 1, False), (MIDNIGHT, True)])
def test_an_exemption_ends_with_its_last_day(now: float, *, ended: bool) -> None:
    """The last second of the day still counts; the next one does not."""
    exemptions = (Exemption(name="a", tasks=("t",), until=date(2027, 1, 31)), Exemption(name="b", tasks=("t",)))
    (found,) = document(rules_listing([RuleView(rule(exempt=exemptions))], Query(), now=now))["rules"]
    assert [(exemption["until"], exemption["ended"]) for exemption in found["exemptions"]] == [
        ("2027-01-31", ended),
        (None, False),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RULES[2], (False, "off", "policy.rules", None)),
        (
            RuleView(rule(), why_stopped="too slow", totals=TotalsDocument(2), reasons=lambda: ("no gop",)),
            (True, "stopped", "too slow", 2),
        ),
    ],
)
def test_a_rule_that_is_not_evaluated_says_why(given: RuleView, expected: tuple[bool, str, str, int | None]) -> None:
    """One that is off has no numbers, one that is stopped those that were last, and why tasks can't be evaluated."""
    (found,) = page_of(view_of_rules(given), "rules")["rules"]
    violations = found["totals"] and found["totals"]["violations"]
    assert (found["enabled"], found["state"], found["why"], violations) == expected
    assert found["unevaluable_reasons"] == list(given.reasons())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "abcd"),
        ({"severity": "critical"}, "b"),
        ({"enabled": "true"}, "ac"),
        ({"enabled": "false"}, "bd"),
        ({"enabled": "false", "severity": "info"}, ""),
        ({"rule": "c"}, "c"),
        *(({"limit": limit}, "abcd") for limit in (1, 2, 3, 4)),
    ],
)
def test_rules_are_narrowed_down(parameters: dict[str, Any], expected: str) -> None:
    """Each parameter leaves what fits it, by name; several leave what fits all, and pages show each once."""
    view = view_of_rules(*RULES)
    assert [found["name"] for found in followed(view, "rules", **parameters)] == list(expected)
    assert page_of(view, "rules", **parameters)["matching"] == len(expected)
