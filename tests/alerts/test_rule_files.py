"""Tests of the rule files: correct for Prometheus, about metrics that exist, and complete in what an alert tells."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from alerts.files import alerting_rules, rule_files
from alerts.rules import duration, promql
from alerts.thresholds import Links, Thresholds
from tests.support.alert_cases import ALERTS_FILE, RECORDS_FILE
from tests.support.alert_rules import FROM_ELSEWHERE, exported, rules
from tests.support.promql import labels_named, uses
from tests.support.tools import needed_tool

OF_A_TARGET: Final = {"job", "instance"}
MADE_HERE: Final = {"owner"}
"""Labels that the rules themselves make."""
PARAMETERS: Final = Thresholds(
    sustained_seconds=61,
    lasting_seconds=1862,
    keep_firing_seconds=63,
    restart_seconds=364,
    hold_seconds=86465,
    missed_intervals=2.5,
    scrape_slack_seconds=127,
    throttled_answers_per_minute=1.25,
    stretch_ratio=1.75,
    clock_skew_seconds=133,
    credentials_left_seconds=317,
    scrape_seconds=2.25,
    violation_open_seconds=86471,
    quota_warning_ratio=0.85,
    quota_critical_ratio=0.95,
    drop_ratio=0.55,
    drop_window_seconds=3663,
    drop_least_tasks=11,
    churn_factor=5.5,
    churn_least_per_second=0.35,
    exemption_left_seconds=604807,
    idle_rule_seconds=86477,
)


ALL_RULES: Final = [rule for text in rule_files().values() for rule in rules(text)]
ALERTS: Final = [rule for rule in rules(alerting_rules()) if "alert" in rule]


@pytest.mark.parametrize("file", [ALERTS_FILE, RECORDS_FILE], ids=lambda file: file.name)
def test_promtool_finds_nothing_to_object_to(file: Path) -> None:
    """Each file passes the strictest check of promtool by itself."""
    done = subprocess.run(
        [needed_tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_the_files_record_nothing_twice() -> None:
    """Both files can be loaded together: no series is recorded by two rules."""
    records = [rule["record"] for rule in ALL_RULES if "record" in rule]
    assert len(records) == len(set(records)) > 20


@pytest.mark.parametrize("name", rule_files())
def test_each_file_needs_only_itself(name: str) -> None:
    """Whatever a rule looks up is published by the exporter, or recorded before in the same file."""
    known = set(exported()) | FROM_ELSEWHERE
    for rule in rules(rule_files()[name]):
        known |= {rule["record"]} if "record" in rule else set()
        assert {use.name for use in uses(rule["expr"])} <= known, rule["expr"]


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_labels_exist(rule: dict[str, Any]) -> None:
    """A rule selects, groups and matches by labels that what it looks up can have."""
    published = exported() | {name: set[str]() for name in FROM_ELSEWHERE}
    everywhere = set().union(*published.values()) | OF_A_TARGET | MADE_HERE
    for use in uses(rule["expr"]):
        selected = {matcher.name for matcher in use.selector.matchers.matchers}
        assert selected <= published.get(use.name, everywhere) | OF_A_TARGET, use.name
    assert labels_named(rule["expr"]) <= everywhere


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.get("record") or rule["alert"])
def test_no_rule_depends_on_which_replica_says_something(rule: dict[str, Any]) -> None:
    """Whatever the exporter publishes is aggregated, and nothing is grouped or matched by a target's instance."""
    assert "instance" not in labels_named(rule["expr"])
    for use in uses(rule["expr"]):
        if use.name.startswith("rtcmpu_"):
            assert use.aggregations, use.name


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_tells_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """Every alert has the product's prefix, a known severity, a static summary, a description and its links."""
    assert re.fullmatch(r"Rtcmpu([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical", "{{ $labels.severity }}"}
    told = rule["annotations"]
    assert "{{" not in told["summary"]
    assert told["summary"].endswith(".")
    assert "{{ $labels" in told["description"]
    assert told["runbook_url"] == f"{Links().runbooks}/{rule['alert']}.md"
    assert told["dashboard_url"].startswith(f"{Links().grafana}/d/rtcmpu-")


def test_every_parameter_reaches_the_rules() -> None:
    """Each threshold and each link changes the files; none is a dead option."""
    usual = alerting_rules()
    for name in Thresholds.__struct_fields__:
        changed = Thresholds(**{name: getattr(PARAMETERS, name)})
        assert alerting_rules(changed) != usual, name
    for name in Links.__struct_fields__:
        assert alerting_rules(links=Links(**{name: "https://elsewhere.example.com"})) != usual, name


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (5400, "1h30m"), (86400, "1d"), (90061, "1d1h1m1s")]
)
def test_durations_are_written_as_prometheus_reads_them(seconds: int, text: str) -> None:
    """A duration has the units of Prometheus, the largest first."""
    assert duration(seconds) == text


def test_a_part_of_several_lines_keeps_the_indentation_of_its_place() -> None:
    """An expression that is put into another stands there as if it had been written there."""
    expression = promql(
        """
        sum(
          <part>
        ) > <limit>
        """,
        part="a\nor\nb",
        limit=3,
    )
    assert expression == "sum(\n  a\n  or\n  b\n) > 3"
