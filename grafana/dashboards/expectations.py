"""Expectations: which rules are kept, which are violated, since when, where and by which tasks."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from exporter.rules.rule import SEVERITIES
from grafana.dashboards.expectation_tables import affected_apps, examples, exemptions, open_longest, rules
from grafana.parts import variables
from grafana.parts.layout import Band, Section, finished, numbers, pair
from grafana.parts.links import EXPECTATIONS
from grafana.parts.looks import BAD, FINE, NOTICE, SEVERITY_COLOURS, WARNING, plain, rising, words
from grafana.parts.panels import About, graph, note, number, timeline
from grafana.parts.queries import Scope, apps_with_data, with_severity
from grafana.parts.targets import history, now

SCOPE: Final = Scope({"job": "job", "account": "account", "app_id": "app_id", "rule": "rule", "severity": "severity"})
NOTE: Final = (
    "**Rules look at configuration, not at streams.** Counts are of the apps *with data*: where data was withdrawn,"
    " nothing is resolved by that. [All violations, on the exporter's own page](${exporter_url}/violations)"
)
KEPT_OR_WORSE: Final = words({0: ("kept", FINE), 1: ("info", NOTICE), 2: ("warning", WARNING), 3: ("critical", BAD)})


def expectations() -> Dashboard:
    """Return the dashboard."""
    job = Scope({"job": "job"})
    account = Scope({"job": "job", "account": "account"})
    return finished(
        "MPU relay tasks / Expectations",
        EXPECTATIONS,
        "What is expected of tasks and what is not so: since when, in which apps, and which tasks. Rules look at "
        "configuration, not at streams.",
        variables=(
            variables.datasource(),
            variables.several("job", "Job", "rtcmpu_exporter_build_info", Scope({})),
            variables.several("account", "Account", "rtcmpu_up", job),
            variables.several("app_id", "App", "rtcmpu_up", account),
            variables.severity(),
            variables.several("rule", "Rule", "rtcmpu_policy_rule_info", Scope({"job": "job", "severity": "severity"})),
            variables.exporter_url(),
        ),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            numbers(*_numbers()),
            Band(9, (open_longest(SCOPE), affected_apps(SCOPE)), (15, 9)),
        ),
        sections=(
            Section(20, "Over time", (pair(*_over_time()), Band(10, (_rules_over_time(),)), pair(*_movement()))),
            Section(30, "Which tasks", (Band(10, (examples(SCOPE),)),)),
            Section(40, "Rules and exemptions", (Band(12, (rules(SCOPE),)), Band(7, (exemptions(SCOPE),)))),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    def violated(id_: int, title: str, severity: str) -> Panel:
        description = "Tasks that violate a rule of this severity now; a task counts once for each rule."
        return number(
            About(id_, title, description),
            now(SCOPE.total("rtcmpu_policy_violations", f'severity="{severity}"')),
            thresholds=rising(**{SEVERITY_COLOURS[severity]: 1}),
        )

    def counted(id_: int, title: str, description: str, sample: str, colour: str) -> Panel:
        return number(
            About(id_, title, description),
            now(f"sum({with_severity(SCOPE, SCOPE.each(sample))}) or 0 * {SCOPE.total('rtcmpu_policy_violations')}"),
            thresholds=rising("text", **{colour: 1}),
        )

    evaluated = f"sum({with_severity(SCOPE, SCOPE.each('rtcmpu_policy_evaluated_tasks'))})"
    oldest = SCOPE.each("rtcmpu_policy_oldest_violation_timestamp_seconds")
    return (
        number(
            About(
                2,
                "Apps with data",
                "Apps whose tasks are published, of all that are configured and chosen. What is said here is about "
                "these.",
            ),
            now(apps_with_data(SCOPE), "{{some}} of {{all}}"),
            thresholds=rising(red=1),
            shows_name=True,
        ),
        number(
            About(
                3,
                "Checks passed",
                "Of all pairs of a task and a rule that could be evaluated, the share without a violation.",
            ),
            now(f"1 - {SCOPE.total('rtcmpu_policy_violations')} / ({evaluated} > 0)"),
            unit="percentunit",
            decimals=1,
            thresholds=rising(BAD, orange=0.9, green=0.99),
            no_value="Nothing evaluated",
        ),
        violated(4, "Critical", "critical"),
        violated(5, "Warnings", "warning"),
        violated(6, "Info", "info"),
        number(
            About(
                7,
                "Oldest open",
                "Since when the violation that is open longest is seen. It may be older: nobody knows what was before "
                "the exporter first looked.",
            ),
            now(f"time() - min({oldest})"),
            unit="s",
            decimals=0,
            thresholds=plain(),
            no_value="Nothing is open",
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


def _over_time() -> tuple[Panel, Panel]:
    violations = "rtcmpu_policy_violations"
    return (
        graph(
            About(
                21,
                "Violations by severity",
                "Tasks that violate a rule, stacked. A drop together with `Apps with data` is no repair.",
            ),
            [history(SCOPE.total(violations, by=("severity",)), "{{severity}}")],
            stacked=True,
            colours=SEVERITY_COLOURS,
        ),
        graph(
            About(22, "Violations by rule", "Tasks that violate each rule now, the most violated first."),
            [history(f"{SCOPE.total(violations, by=('rule',))} > 0", "{{rule}}")],
            many_series=True,
            no_value="Nothing is violated, or no data",
        ),
    )


def _rules_over_time() -> Panel:
    violations = "rtcmpu_policy_violations"
    badness = " or ".join(
        f"{place} * clamp_max({SCOPE.series(violations, matcher)}, 1)"
        for place, matcher in enumerate((f'severity="{severity}"' for severity in SEVERITIES), start=1)
    )
    shown = f"max by (rule) (max_over_time({SCOPE.series(violations)}[$__range] @ end())) > 0"
    return timeline(
        About(
            23,
            "Rules over time",
            "Rules that were violated at any time that is shown, in the colour of their severity while they were. "
            "Green: kept everywhere. A gap: no data, or the rule was not in force.",
        ),
        [history(f"max by (rule) ({badness}) and on (rule) ({shown})", "{{rule}}")],
        KEPT_OR_WORSE,
        no_value="No rule was violated",
    )


def _movement() -> tuple[Panel, Panel]:
    opened = SCOPE.rate("rtcmpu_policy_violations_opened_total", by=("severity",))
    resolved = SCOPE.rate("rtcmpu_policy_violations_resolved_total", by=("severity",))
    return (
        graph(
            About(
                24,
                "Violations opened per minute",
                "New violations since the first evaluation; what was there then is not counted. A step up is a "
                "roll-out that breaks a rule.",
            ),
            [history(f"60 * {opened}", "{{severity}}")],
            colours=SEVERITY_COLOURS,
        ),
        graph(
            About(
                25,
                "Violations resolved per minute",
                "Violations that ended: fixed, exempted, or the task is gone. Withdrawn data resolves nothing.",
            ),
            [history(f"60 * {resolved}", "{{severity}}")],
            colours=SEVERITY_COLOURS,
        ),
    )
