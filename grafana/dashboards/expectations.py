"""Expectations: which rules are violated, since when, where, by which tasks, and whose they are."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from exporter.rules.rule import SEVERITIES
from grafana.parts.layout import Band, Section, finished
from grafana.parts.links import EXPECTATIONS, EXPORTER, TO_RUNBOOK, TO_TASK, TO_VIOLATIONS, page, sibling
from grafana.parts.looks import BAD, FINE, NOTICE, WARNING, plain, rising, same_word, words
from grafana.parts.panels import graph, note, number, timeline
from grafana.parts.queries import Scope, of_severity, only_chosen, or_nothing, ranked
from grafana.parts.shared import (
    NOTHING_VIOLATED,
    VIOLATIONS,
    app_columns,
    by_severity,
    open_violations,
    violated,
    violation_columns,
    with_data,
)
from grafana.parts.tables import SEVERITY, Labelled, Queried, rows_and_columns
from grafana.parts.variables import variables

SCOPE: Final = Scope({"job": "job", "account": "account", "app_id": "app_id", "severity": "severity", "rule": "rule"})
NOTE: Final = (
    "**Rules look at configuration, not at streams.** Counts are of the apps *with data*: where data was withdrawn,"
    " nothing is resolved by that. [All violations, on the exporter's own page](${exporter_url}/violations)"
)
KEPT_OR_WORSE: Final = words({0: ("kept", FINE), 1: ("info", NOTICE), 2: ("warning", WARNING), 3: ("critical", BAD)})
EXEMPTION_NOTICE_SECONDS: Final = 14 * 86400


def expectations() -> Dashboard:
    """Return the dashboard."""
    return finished(
        "MPU relay tasks / Expectations",
        EXPECTATIONS,
        "Which rules tasks violate: since when, in which apps, which tasks, and who owns them. Rules look at "
        "configuration, not at streams.",
        variables=variables(SCOPE),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            Band(4, _numbers()),
            Band(11, (open_violations(10, SCOPE), _affected_apps()), (16, 8)),
        ),
        sections=(
            Section(20, "Since when, and what moves?", (Band(8, _over_time()), Band(11, (_rules_over_time(),)))),
            Section(30, "Which tasks?", (Band(12, (_examples(),)),)),
            Section(
                40,
                "Which rules are in force, and which exemptions end?",
                (Band(12, (_rules(), _exemptions()), (16, 8)),),
            ),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    evaluated = f"sum({only_chosen(SCOPE, SCOPE.each('rtcmpu_policy_evaluated_tasks'))})"
    oldest = SCOPE.each("rtcmpu_policy_oldest_violation_timestamp_seconds")
    all_violations = page("All violations, on the exporter's page", "/violations")
    rules_page = page("The rules, on the exporter's page", "/rules")

    def counted(id_: int, title: str, description: str, sample: str, colour: str) -> Panel:
        query = f"sum({only_chosen(SCOPE, SCOPE.each(sample))}) or 0 * {SCOPE.total(VIOLATIONS)}"
        return number(id_, title, description, query, thresholds=rising("text", **{colour: 1}), link=rules_page)

    return (
        with_data(2, SCOPE, sibling("Open Exporter", EXPORTER)),
        violated(4, "critical", SCOPE, all_violations),
        violated(5, "warning", SCOPE, all_violations),
        violated(6, "info", SCOPE, all_violations),
        number(
            7,
            "Oldest open",
            "Since when the violation that is open longest is seen. It may be older: nobody knows what was before the "
            "exporter first looked.",
            or_nothing(f"time() - min({oldest})", SCOPE.each(VIOLATIONS)),
            unit="s",
            decimals=0,
            thresholds=plain(),
            nothing="Nothing is open",
            link=all_violations,
        ),
        number(
            3,
            "Checks passed",
            "Of all pairs of a task and a rule that could be evaluated, the share without a violation. It says how "
            "much is violated, not how bad that is.",
            f"1 - {SCOPE.total(VIOLATIONS)} / ({evaluated} > 0)",
            unit="percentunit",
            decimals=1,
            thresholds=plain(),
            link=rules_page,
        ),
        counted(
            8,
            "Not evaluable",
            "Pairs of a task and a rule that can't be evaluated, neither pass nor violation. Mostly the rule reads a "
            "field that the task lacks.",
            "rtcmpu_policy_unevaluable_tasks",
            "orange",
        ),
        counted(
            9,
            "Exempted",
            "Tasks that would violate a rule but for an exemption. When it ends they are violations.",
            "rtcmpu_policy_exempted_tasks",
            "blue",
        ),
    )


def _affected_apps() -> Panel:
    return rows_and_columns(
        11,
        "Most affected apps",
        "Violations of each app with data, by severity; a task counts once for each rule. Click an app to see all "
        "about it.",
        (
            *app_columns(None),
            *violation_columns(SCOPE),
        ),
        sorted_by=("-Critical", "-Warning", "-Info"),
        no_value="No app has data",
    )


def _over_time() -> tuple[Panel, Panel]:
    opened, resolved = (
        f"60 * {SCOPE.rate(f'rtcmpu_policy_violations_{moved}_total')}" for moved in ("opened", "resolved")
    )
    return (
        by_severity(21, SCOPE),
        graph(
            24,
            "Violations opened and resolved per minute",
            "New violations since the first evaluation, and those that ended: fixed, exempted, or the task is gone. "
            "Withdrawn data resolves nothing. A step up of the opened ones is a roll-out that breaks a rule.",
            {"opened": opened, "resolved": resolved},
        ),
    )


def _rules_over_time() -> Panel:
    badness = " or ".join(
        # Aggregated before it is compared: thousands of series are tens then.
        f"{place} * (max by (rule, severity) ({SCOPE.series(VIOLATIONS, of_severity(severity))}) > bool 0)"
        for place, severity in enumerate(SEVERITIES, start=1)
    )
    shown = f"max by (rule) (max_over_time({SCOPE.series(VIOLATIONS)}[$__range] @ end())) > 0"
    return timeline(
        23,
        "Rules over time",
        "Rules that were violated at any time that is shown, in the colour of their severity while they were. Green: "
        "kept everywhere. A gap: no data, or the rule was not in force.",
        {"{{rule}}": f"max by (rule) ({badness}) and on (rule) ({shown})"},
        KEPT_OR_WORSE,
        no_value="No rule was violated, or no data",
    )


def _examples() -> Panel:
    example = SCOPE.each("rtcmpu_policy_violation_example")
    opened = (
        f"max by (account, app_id, rule, severity) ({SCOPE.series('rtcmpu_policy_oldest_violation_timestamp_seconds')})"
    )
    omitted = only_chosen(SCOPE, SCOPE.each("rtcmpu_policy_violation_examples_omitted"))
    since = f"{example} * on (account, app_id, rule, severity) group_left () {opened}"
    return rows_and_columns(
        31,
        "Examples",
        "Some of the violating tasks of each rule and app, the most severe first, chosen so that they stay the same. "
        "Rule open for: since the oldest violation of the rule in this app. More: how many of its tasks are not "
        "listed. Click a task for its configuration, a rule for all its violations, both at the exporter.",
        (
            SEVERITY,
            Labelled("Rule", "rule", links=(TO_VIOLATIONS,)),
            Labelled("Task", "task_id", links=(TO_TASK,)),
            *app_columns(200),
            Queried(
                "Rule open for",
                f"time() - max by (rank, rule, account, app_id, task_id) ({ranked(since)})",
                140,
                "s",
                decimals=1,
            ),
            Queried(
                "More",
                f"max without (severity) ({example}) * on (account, app_id, rule) group_left () ({omitted} > 0)",
                80,
            ),
        ),
        sorted_by=("-Severity", "-Rule open for"),
        no_value=NOTHING_VIOLATED,
    )


def _rules() -> Panel:
    info = SCOPE.series("rtcmpu_policy_rule_info")

    def counted(title: str, sample: str, colour: str = "text", width: int = 85) -> Queried:
        query = f"sum by (rule) ({only_chosen(SCOPE, SCOPE.each(sample))})"
        return Queried(title, query, width, thresholds=rising("text", **{colour: 1}))

    return rows_and_columns(
        41,
        "Rules in force",
        "Each rule with its tasks over the chosen apps. Violated, kept, not applicable, exempted and not evaluable "
        "exclude one another; checked are those violated and kept. A rule that checks no task at all may have a `when` "
        "that never holds.",
        (
            SEVERITY,
            Labelled("Rule", "rule", 220),
            Labelled("Title", "title"),
            Labelled("Owner", "rule_owner", 110),
            Labelled("Runbook", "runbook_url", 90, same_word("What to do"), (TO_RUNBOOK,)),
            Queried("", f"max by (rank, rule, title, rule_owner, runbook_url) ({ranked(info)})"),
            counted("Violated", VIOLATIONS, BAD),
            counted("Checked", "rtcmpu_policy_evaluated_tasks"),
            counted("Not applicable", "rtcmpu_policy_not_applicable_tasks", width=120),
            counted("Exempted", "rtcmpu_policy_exempted_tasks", "blue"),
            counted("Not evaluable", "rtcmpu_policy_unevaluable_tasks", "orange", width=115),
        ),
        sorted_by=("-Violated", "-Severity"),
        no_value="No rule is in force",
    )


def _exemptions() -> Panel:
    ends = SCOPE.each("rtcmpu_policy_exemption_expiry_timestamp_seconds")
    return rows_and_columns(
        42,
        "Exemptions that end",
        "When each exemption ends, the next first: its tasks are violations from then on. Orange: within two weeks; "
        "red: it has ended and can be removed. Exemptions without an end are not shown.",
        (
            Labelled("Rule", "rule"),
            Labelled("Exemption", "exemption"),
            Queried(
                "Ends in",
                f"{only_chosen(SCOPE, ends)} - time()",
                110,
                "s",
                0,
                rising(BAD, orange=0, text=EXEMPTION_NOTICE_SECONDS),
            ),
            Queried("Ends at", f"1000 * {only_chosen(SCOPE, ends)}", 160, "dateTimeAsLocal"),
        ),
        sorted_by=("Ends in",),
        no_value="No exemption ends",
    )
