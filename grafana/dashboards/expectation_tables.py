"""The tables of the dashboard about expectations."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPECTATIONS, drill_down, field, page
from grafana.parts.looks import BAD, SEVERITY_COLOURS, names, rising
from grafana.parts.panels import About
from grafana.parts.queries import APP, Scope, with_severity
from grafana.parts.tables import Labelled, Queried, rows_and_columns

TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP)
TO_RULE: Final = drill_down("Only this rule, in this app", EXPECTATIONS, (*APP, "rule"))
TO_VIOLATIONS: Final = page("All its violations, on the exporter's page", "/violations", (*APP, "rule"))
TO_TASK: Final = page(
    "The task, on the exporter's page",
    f"/apps/{field('account')}/{field('app_id')}/tasks/{field('task_id')}",
)

SEVERITY: Final = Labelled(title="Severity", label="severity", mappings=names(SEVERITY_COLOURS), width=90)
ACCOUNT: Final = Labelled(title="Account", label="account", width=110)
APP_ID: Final = Labelled(title="App", label="app_id", width=140, links=(TO_APP,))

EXEMPTION_NOTICE_SECONDS: Final = 14 * 86400


def open_longest(scope: Scope) -> Panel:
    """Return what is violated now, the oldest first."""
    opened = scope.each("rtcmpu_policy_oldest_violation_timestamp_seconds")
    omitted = with_severity(scope, scope.each("rtcmpu_policy_violation_examples_omitted"))
    return rows_and_columns(
        About(
            10,
            "Open violations, longest first",
            "One row for each rule that tasks of an app violate now. Open for: since the oldest of them was first "
            "seen. No example: how many of the tasks are not listed under `Which tasks`. Click a rule to see it "
            "alone, or all its violations on the exporter's page.",
        ),
        (
            SEVERITY,
            Labelled(title="Rule", label="rule", links=(TO_RULE, TO_VIOLATIONS)),
            ACCOUNT,
            APP_ID,
            Queried(title="Tasks", query=f"{scope.each('rtcmpu_policy_violations')} > 0", width=70),
            Queried(title="Open for", query=f"time() - {opened}", unit="s", decimals=0, width=100),
            Queried(title="No example", query=f"{omitted} > 0", width=100),
        ),
        sorted_by="Open for",
        no_value="Nothing is violated, or no data",
    )


def affected_apps(scope: Scope) -> Panel:
    """Return the apps with the most violations."""

    def violations(severity: str) -> str:
        matcher = f'severity="{severity}"'
        return f"{scope.total('rtcmpu_policy_violations', matcher, by=APP)} > 0"

    return rows_and_columns(
        About(
            11,
            "Most affected apps",
            "Apps with violations, by severity; a task counts once for each rule. Click an app to see all about it.",
        ),
        (
            APP_ID,
            ACCOUNT,
            Queried(title="All", query=f"{scope.total('rtcmpu_policy_violations', by=APP)} > 0", width=60),
            Queried(title="Critical", query=violations("critical"), thresholds=rising("text", red=1), width=75),
            Queried(title="Warning", query=violations("warning"), thresholds=rising("text", orange=1), width=75),
            Queried(title="Info", query=violations("info"), thresholds=rising("text", blue=1), width=60),
        ),
        sorted_by="All",
        no_value="Nothing is violated, or no data",
    )


def examples(scope: Scope) -> Panel:
    """Return some of the violating tasks by name."""
    return rows_and_columns(
        About(
            31,
            "Examples",
            "Some of the violating tasks of each rule and app, chosen so that they stay the same. Click a task for "
            "its configuration, a rule for all its violations; both come from the exporter itself, at the address "
            "above.",
        ),
        (
            SEVERITY,
            Labelled(title="Rule", label="rule", links=(TO_VIOLATIONS,)),
            ACCOUNT,
            APP_ID,
            Labelled(title="Task", label="task_id", links=(TO_TASK,)),
            Queried(title="Example", query=scope.each("rtcmpu_policy_violation_example"), is_hidden=True),
        ),
        sorted_by="Rule",
        descending=False,
        no_value="Nothing is violated, or no data",
    )


def rules(scope: Scope) -> Panel:
    """Return all rules in force, with their state."""

    def counted(title: str, sample: str, colour: str = "text") -> Queried:
        return Queried(
            title=title, query=scope.total(sample, by=("rule",)), thresholds=rising("text", **{colour: 1}), width=100
        )

    return rows_and_columns(
        About(
            41,
            "Rules in force",
            "Each rule with its tasks over the chosen apps. Violated, kept, not applicable, exempted and not "
            "evaluable exclude one another; checked are those violated and kept. A rule that checks no task at all "
            "may have a `when` that never holds.",
        ),
        (
            SEVERITY,
            Labelled(title="Rule", label="rule", width=220),
            Labelled(title="Title", label="title"),
            Labelled(title="Owner", label="rule_owner", width=100),
            Labelled(
                title="Runbook",
                label="runbook_url",
                width=110,
                links=({"title": "Open the runbook", "url": "${__value.raw}", "targetBlank": True},),
            ),
            Queried(title="Known", query=scope.each("rtcmpu_policy_rule_info"), is_hidden=True),
            counted("Violated", "rtcmpu_policy_violations", BAD),
            counted("Checked", "rtcmpu_policy_evaluated_tasks"),
            counted("Not applicable", "rtcmpu_policy_not_applicable_tasks"),
            counted("Exempted", "rtcmpu_policy_exempted_tasks", "blue"),
            counted("Not evaluable", "rtcmpu_policy_unevaluable_tasks", "orange"),
        ),
        sorted_by="Violated",
        no_value="No rule is in force",
    )


def exemptions(scope: Scope) -> Panel:
    """Return the exemptions that end, the next first."""
    ends = scope.each("rtcmpu_policy_exemption_expiry_timestamp_seconds")
    return rows_and_columns(
        About(
            42,
            "Exemptions that end",
            "When each exemption ends, the next first: its tasks are violations from then on. Orange: within two "
            "weeks; red: it has ended and can be removed. Exemptions without an end are not shown.",
        ),
        (
            Labelled(title="Rule", label="rule"),
            Labelled(title="Exemption", label="exemption"),
            Queried(
                title="Ends in",
                query=f"{ends} - time()",
                unit="s",
                decimals=0,
                thresholds=rising(BAD, orange=0, text=EXEMPTION_NOTICE_SECONDS),
                width=160,
            ),
            Queried(title="Ends at", query=f"1000 * {ends}", unit="dateTimeAsLocal", width=200),
        ),
        sorted_by="Ends in",
        descending=False,
        no_value="No exemption ends",
    )
