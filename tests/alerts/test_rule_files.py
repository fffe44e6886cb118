"""Tests of the rule files: correct for Prometheus, about metrics that exist, and complete in what an alert tells."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from grafana.parts.queries import sample_labels
from tests.alerts.alert_cases import ALERTS_FILE, FROM_ELSEWHERE, GRAFANA, RECORDS_FILE, RUNBOOKS, rules
from tests.support.promql import labels_named, uses
from tests.support.subtests import for_each

FILES: Final = (ALERTS_FILE, RECORDS_FILE)
OF_A_TARGET: Final = {"job", "instance", "env"}
MADE_HERE: Final = {"owner"}  # labels that the rules themselves make
ALL_RULES: Final = [rule for file in FILES for rule in rules(file.read_text())]
ALERTS: Final = [rule for rule in ALL_RULES if "alert" in rule]

for_each_rule = for_each(ALL_RULES, name=lambda rule: str(rule.get("record") or rule["alert"]))


def test_the_files_record_nothing_twice() -> None:
    """Both files can be loaded together: no series is recorded by two rules."""
    records = [rule["record"] for rule in ALL_RULES if "record" in rule]
    assert len(records) == len(set(records)) > 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_needs_only_itself(file: Path) -> None:
    """Whatever a rule looks up is published by the exporter, or recorded before in the same file."""
    known = {*sample_labels(), *FROM_ELSEWHERE}
    for rule in rules(file.read_text()):
        known |= {rule["record"]} if "record" in rule else set()
        assert {use.name for use in uses(rule["expr"])} <= known, rule["expr"]


@for_each_rule
def test_labels_exist(rule: dict[str, Any]) -> None:
    """A rule selects, groups and matches by labels that what it looks up can have."""
    published = {name: {*sample_labels().get(name, ())} for name in (*sample_labels(), *FROM_ELSEWHERE)}
    everywhere = set().union(*published.values()) | OF_A_TARGET | MADE_HERE
    for use in uses(rule["expr"]):
        selected = {matcher.name for matcher in use.selector.matchers.matchers}
        assert selected <= published.get(use.name, everywhere) | OF_A_TARGET, use.name
    assert labels_named(rule["expr"]) <= everywhere


@for_each_rule
def test_no_rule_depends_on_which_replica_says_something(rule: dict[str, Any]) -> None:
    """Whatever the exporter publishes is aggregated: replicas count once."""
    for use in uses(rule["expr"]):
        if use.name.startswith("rtcmpu_"):
            assert use.aggregations, use.name


@for_each_rule
def test_every_aggregation_keeps_the_environment(rule: dict[str, Any]) -> None:
    """The target label `env` comes first in each grouping and matching, where `make monitoring` finds it."""
    groupings = re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"])
    without = [grouping for grouping in groupings if grouping.split(", ")[0] != "env"]
    assert without == (["host", "host"] if rule.get("alert") == "RtcmpuPushHostNearlyFull" else [])
    assert not re.search(r"\b(?:sum|min|max|count|avg)\(", rule["expr"])


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_tells_what_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """Every alert has the product's prefix, a known severity, a static summary, a description and its links.

    What is shown of an app, account or job is that label, and the dashboard is the one of the app or account.
    """
    assert re.fullmatch(r"Rtcmpu([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"info", "warning", "critical", "{{ $labels.severity }}"}
    reported = rule["annotations"]
    assert "{{" not in reported["summary"]
    assert reported["summary"].endswith(".")
    assert "{{ $labels" in reported["description"]
    assert reported["runbook_url"] == f"{RUNBOOKS}/{rule['alert']}.md"
    assert reported["dashboard_url"].startswith(f"{GRAFANA}/rtcmpu-")
    for url in (reported["dashboard_url"], reported.get("violations_url", "")):
        shown = re.findall(r"[?&](?:var-)?(\w+)=\{\{ \$labels\.(\w+) \| urlquery \}\}", url)
        assert [variable for variable, _ in shown] == [label for _, label in shown]
        assert url.count("{{") == len(shown)
    for what, label in re.findall(r"(\bApp|\baccount|\bjob) \{\{ \$labels\.(\w+) \}\}", reported["description"]):
        assert {"App": "app_id"}.get(what, what) == label
    chosen = set(re.findall(r"[?&]var-(\w+)=", reported["dashboard_url"]))
    assert chosen == {"account", "app_id"} & set(re.findall(r"\$labels\.(\w+)", reported["description"]))
