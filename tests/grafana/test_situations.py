"""What the first screens answer when something is wrong: Prometheus evaluates their queries in each situation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.alerts.alert_cases import (
    GONE,
    RECORDS_FILE,
    STALE,
    Samples,
    World,
    healthy,
    of_app,
    rule_info,
    run_promtool,
    series,
)
from tests.support.promql import all_queries

pytestmark = pytest.mark.processes

MINUTES: Final = 20
Answer = dict[str, float]
"""Values by their series' labels."""

NOT_LOADED: Final = "Alerting rules are not loaded"
DOCS: Final = "https://github.com/rtcmpu-exporter/rtcmpu-exporter/blob/main/docs"


class Asked(Struct, frozen=True):
    """One query of a dashboard, and what it should answer."""

    panel: str  # `dashboard id ref`, or the name of a kind of marks
    answer: Answer
    at: str = "15m"
    chosen: Mapping[str, str] = {}


class Situation(Struct, frozen=True):
    """What is scraped, and what is asked then."""

    about: str
    world: World
    asked: Sequence[Asked]
    has_rules: bool = True


def _labelled(**labels: str) -> str:
    return f"{{{','.join(f'{name}={json.dumps(value)}' for name, value in sorted(labels.items()))}}}"


def _world(*, instance: str = "one", app_id: str = "live") -> dict[str, Samples]:
    build = series("rtcmpu_exporter_build_info", instance=instance, version="1", python_version="3")
    return healthy(MINUTES, instance=instance, app_id=app_id) | {
        build: [1] * MINUTES,
        series("rtcmpu_exporter_rate_limit_requests_per_second", instance=instance, account="prod"): [40] * MINUTES,
        series("process_start_time_seconds", instance=instance): [0] * MINUTES,
    }


def _changed(world: World, **samples: Samples) -> dict[str, Samples]:
    """Return the world with other samples of each series whose metric is named."""
    return {name: samples.get(name.partition("{")[0], values) for name, values in world.items()}


def _ended(world: World, *, instance: str = "one", after: int = 5) -> World:
    """Return the world where a replica does not answer any more."""
    away = [STALE, *[GONE] * (MINUTES - after - 1)]
    return {
        name: values
        if f'instance="{instance}"' not in name
        else [1] * after + [0] * (MINUTES - after)
        if name.startswith("up{")
        else [*values[:after], *away]
        for name, values in world.items()
    }


OF_LIVE: Final = {"account": "prod", "app_id": "live"}
LIVE: Final = _labelled(**OF_LIVE)
WITHDRAWN: Final = _changed(
    _world(),
    rtcmpu_collection_data_available=[1] * 5 + [0] * 15,
    rtcmpu_tasks=[*[10] * 5, STALE, *[GONE] * 14],
    rtcmpu_policy_violations=[*[3] * 5, STALE, *[GONE] * 14],
)
VIOLATED: Final = _changed(_world(), rtcmpu_policy_violations=[3] * MINUTES) | {
    of_app("rtcmpu_policy_oldest_violation_timestamp_seconds", rule="region", severity="critical"): [60] * MINUTES,
    of_app("rtcmpu_policy_violations", rule="gop", severity="warning"): [2] * MINUTES,
    rule_info("gop", "warning", title="GOP", owner="video"): [1] * MINUTES,
    of_app("rtcmpu_policy_evaluated_tasks", rule="gop"): [10] * MINUTES,
}
FIFTY: Final[World] = {name: values for number in range(50) for name, values in _world(app_id=f"app-{number}").items()}
FOREIGN: Final = {
    series("up").replace("rtcmpu", "node"): [1] * MINUTES,
    series("process_start_time_seconds").replace("rtcmpu", "node"): [60] * MINUTES,
    series("up").replace('"rtcmpu"', '"rtcmpu-tasks"'): [1] * MINUTES,
}
FULL: Final = _changed(_world(), rtcmpu_tasks=[40] * MINUTES)


def _attention(name: str, open_for: float, **labels: str) -> Answer:
    where = OF_LIVE | labels
    runbook = f"{DOCS}/runbooks/Rtcmpu{name}.md"
    return {_labelled(alertname=name, rank="3", runbook_url=runbook, **where): open_for}


NO_DATA: Final = {_labelled(**OF_LIVE, rank="4", rule="no data", owner="live-ops"): 0.0}
DOWN: Final = _attention("ExporterDown", 600, account="All", app_id="All")
UNREAD: Final = _attention("AppsUnread", 600, app_id="All")
SITUATIONS: Final = (
    Situation(
        "healthy: nothing needs attention, and that is known",
        _world(),
        [
            Asked("rtcmpu-overview 10 A", {LIVE: 0}),
            Asked("rtcmpu-overview 9 A", {"{}": 0}),
            Asked("rtcmpu-overview 11 A", {}),
            Asked("rtcmpu-overview 2 A", {_labelled(some="1", all="1"): 0}),
            Asked("rtcmpu-expectations 10 A", {}),
        ],
    ),
    Situation(
        "without rules: the number has no value, and a row says why",
        _world(),
        [
            Asked("rtcmpu-overview 9 A", {}),
            Asked(
                "rtcmpu-overview 11 A", {_labelled(alertname=NOT_LOADED, runbook_url=f"{DOCS}/getting-started.md"): 0}
            ),
        ],
        has_rules=False,
    ),
    Situation(
        "an app that was never read is the worst one, and nobody knows what it violates",
        _world()
        | _changed(
            _world(app_id="new"),
            rtcmpu_collection_data_available=[0] * MINUTES,
            rtcmpu_policy_violations=[GONE] * MINUTES,
        ),
        [
            Asked("rtcmpu-overview 10 A", {LIVE: 0, _labelled(account="prod", app_id="new"): 5}),
            Asked("rtcmpu-overview 2 A", {_labelled(some="1", all="2"): 1}),
            Asked(
                "rtcmpu-expectations 10 A",
                {_labelled(account="prod", app_id="new", rank="4", rule="no data", owner="live-ops"): 0},
            ),
        ],
    ),
    Situation(
        "an app whose readings fail while its data is published",
        _world() | {of_app("rtcmpu_collection_state", state="timeout"): [0] * 5 + [1] * 15},
        [Asked("rtcmpu-overview 12 A", {LIVE: 0}, "4m"), Asked("rtcmpu-overview 12 A", {LIVE: 4})],
    ),
    Situation(
        "an alert without an owner has the app's",
        _changed(
            _world(),
            rtcmpu_collection_last_sweep_timestamp_seconds=[0] * MINUTES,
            rtcmpu_collection_stale_after_seconds=[300] * MINUTES,
        ),
        [Asked("rtcmpu-overview 11 A", _attention("DataStale", 540, owner="live-ops"))],
    ),
    Situation(
        "withdrawn data: the sum is unknown, the app needs attention, and no violation is called resolved",
        WITHDRAWN,
        [
            Asked("rtcmpu-overview 6 A", {"{}": 3}, "4m"),
            Asked("rtcmpu-overview 6 A", {}),
            Asked("rtcmpu-overview 3 A", {}),
            Asked("rtcmpu-overview 10 A", {LIVE: 5}),
            Asked("rtcmpu-expectations 10 A", NO_DATA),
        ],
    ),
    Situation(
        "exporter down: nothing is known, and what fires says so",
        _ended(_world()),
        [
            Asked("rtcmpu-exporter 2 A", {_labelled(some="0", all="1"): 1}),
            Asked("rtcmpu-overview 2 A", {_labelled(some="0", all="0"): 1}),
            Asked("rtcmpu-overview 5 A", {}),
            Asked("rtcmpu-overview 6 A", {}),
            Asked("rtcmpu-exporter 8 A", {}),
            Asked("rtcmpu-overview 11 A", DOWN | UNREAD),
            Asked("rtcmpu-expectations 10 A", {_labelled(rank="4", rule="no data"): 1}),
        ],
    ),
    Situation(
        "two replicas count once, and one that is down is seen",
        _ended(_world() | _world(instance="two"), instance="two"),
        [
            Asked("rtcmpu-exporter 2 A", {_labelled(some="2", all="2"): 0}, "4m"),
            Asked("rtcmpu-exporter 2 A", {_labelled(some="1", all="2"): 1}),
            Asked("rtcmpu-overview 3 A", {"{}": 10}, "4m"),
            Asked("rtcmpu-overview 3 A", {"{}": 10}),
            Asked("rtcmpu-overview 12 A", {LIVE: 0}),
        ],
    ),
    Situation(
        "50 apps: each has its row, and sums are over all",
        FIFTY,
        [
            Asked("rtcmpu-overview 10 A", {_labelled(account="prod", app_id=f"app-{n}"): 0 for n in range(50)}),
            Asked("rtcmpu-overview 3 A", {"{}": 500}),
            Asked("rtcmpu-overview 2 A", {_labelled(some="50", all="50"): 0}),
        ],
    ),
    Situation(
        "other targets in the same Prometheus are no replicas, and their restarts are not marked",
        _world() | FOREIGN,
        [
            Asked("rtcmpu-exporter 2 A", {_labelled(some="1", all="1"): 0}),
            Asked("Restarts", {_labelled(instance="one", job="rtcmpu"): 0}),
        ],
    ),
    Situation(
        "violations: ranked and owned by the rule's team or the app's; a chosen severity leaves the others out",
        VIOLATED,
        [
            Asked("rtcmpu-overview 10 A", {LIVE: 3}),
            Asked(
                "rtcmpu-expectations 10 A",
                {
                    _labelled(**OF_LIVE, rank="3", rule="region", owner="live-ops"): 3,
                    _labelled(**OF_LIVE, rank="2", rule="gop", owner="video"): 2,
                },
            ),
            Asked("rtcmpu-expectations 41 C", {_labelled(rule="region"): 10}, chosen={"severity": "critical"}),
            Asked("rtcmpu-expectations 41 B", {_labelled(rule="gop"): 2}, chosen={"severity": "warning"}),
        ],
    ),
    Situation(
        "a full quota: its critical and its warning alert are one, marked where it began, and of its job alone",
        FULL,
        [
            Asked("rtcmpu-overview 10 A", {LIVE: 2}),
            Asked("rtcmpu-overview 9 A", {"{}": 1}),
            Asked("rtcmpu-overview 11 A", _attention("QuotaNearlyUsed", 900, detail="mixed", owner="live-ops")),
            Asked("rtcmpu-overview 11 A", {}, chosen={"job": "other"}),
            Asked("Critical alerts", {_labelled(**OF_LIVE, alertname="RtcmpuQuotaNearlyUsed"): 1}, "5m"),
            Asked("Critical alerts", {}),
        ],
    ),
)


def test_what_is_worst_about_an_app_is_recorded_as_the_dashboards_ask_for_it(tmp_path: Path) -> None:
    """Where nothing raw is let in, the recorded series answer the same."""
    panels = ("rtcmpu-overview 10 A", "rtcmpu-overview 12 A")
    asked = [
        replace(
            situation,
            asked=[replace(one, chosen={**one.chosen, "raw": ""}) for one in situation.asked if one.panel in panels],
        )
        for situation in SITUATIONS
        if situation.has_rules
    ]

    run_promtool([_promtool_test(situation) for situation in asked], tmp_path, (RECORDS_FILE,))


@pytest.mark.parametrize("has_rules", [True, False])
def test_the_first_screen_answers(has_rules: bool, tmp_path: Path) -> None:
    """Each number and table has the answer of its situation, with the shipped rules or without."""
    tests = [_promtool_test(situation) for situation in SITUATIONS if situation.has_rules == has_rules]

    assert tests
    run_promtool(tests, tmp_path, *([()] if not has_rules else []))


def _promtool_test(situation: Situation) -> dict[str, Any]:
    queries = {}
    for query in all_queries():
        kind, name = query.place.split(" ", 1)
        queries[name if kind == "annotation" else f"{query.dashboard} {query.panel_id} {query.place[-1]}"] = query
    return {
        "name": situation.about,
        "interval": "1m",
        "input_series": [
            {"series": name, "values": " ".join(map(str, samples))} for name, samples in situation.world.items()
        ],
        "promql_expr_test": [
            {
                "expr": queries[asked.panel].asked(asked.chosen),
                "eval_time": asked.at,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in asked.answer.items()],
            }
            for asked in situation.asked
        ],
    }
