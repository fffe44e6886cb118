"""Alerts about the tasks: what is configured as it should not be, and what changed all of a sudden."""

from collections.abc import Sequence

from alerts import known
from alerts.annotations import annotations
from alerts.joins import with_app_owner, with_rule_owner
from alerts.rules import Alert, duration, promql
from alerts.thresholds import Links, Thresholds

SEVERITY_OF_RULE = "{{ $labels.severity }}"

_RULE_TITLE = (
    f'{{{{ with query (printf "{known.RULE_INFO}{{rule=%q}}" $labels.rule) }}}}'
    ' ({{ . | first | label "title" }}){{ end }}'
)
_EXAMPLES = (
    '{{ with query (printf "topk(3, count by (task_id) (rtcmpu_policy_violation_example'
    '{account=%q,app_id=%q,rule=%q}))" $labels.account $labels.app_id $labels.rule) }}'
    ' For example: {{ range $place, $example := sortByLabel "task_id" . }}{{ if $place }}, {{ end }}'
    "{{ $example.Labels.task_id }}{{ end }}.{{ end }}"
)
_APP = "App {{ $labels.app_id }} of account {{ $labels.account }}"


def configuration_alerts(thresholds: Thresholds, links: Links) -> Sequence[Alert]:
    """Return the alerts about tasks; they look at what `known.py` records."""
    return (
        _unexpected_configuration(thresholds, links),
        _violation_open_for_long(thresholds, links),
        _no_tasks(thresholds, links),
        *_quota_nearly_used(thresholds, links),
        _tasks_dropped(thresholds, links),
        _churn_high(thresholds, links),
        _field_errors(thresholds, links),
    )


def _unexpected_configuration(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuUnexpectedTaskConfiguration"
    return Alert(
        name=name,
        severity=SEVERITY_OF_RULE,
        expression=with_rule_owner(f'{known.VIOLATIONS}{{severity=~"critical|warning"}} > 0'),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="Tasks are configured as they should not be.",
            description=(
                f"{_APP}, violations of {{{{ $labels.rule }}}}{_RULE_TITLE}: {{{{ $value }}}}."
                f"{_EXAMPLES} The exporter's page lists them and says what each should be."
            ),
            dashboard="expectations",
            of_rule=True,
        ),
    )


def _violation_open_for_long(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuViolationOpenForLong"
    seconds = thresholds.violation_open_seconds
    window = duration(seconds)
    # The second part survives a restart of the exporter, which may forget since when it sees a violation.
    expression = promql(
        """
        time() - <oldest>{severity=~"critical|warning"} > <seconds>
        or
        <seconds> * (
          min_over_time(<violations>{severity=~"critical|warning"}[<window>]) > bool 0
          and <violations>
          and <violations> offset <window>
        ) > 0
        """,
        oldest=known.OLDEST_VIOLATION,
        violations=known.VIOLATIONS,
        seconds=seconds,
        window=window,
    )
    return Alert(
        name=name,
        severity=SEVERITY_OF_RULE,
        expression=with_rule_owner(expression),
        annotations=annotations(
            name,
            links=links,
            summary="A rule has been violated for long.",
            description=(
                f"{_APP} has violated {{{{ $labels.rule }}}} for {{{{ $value | humanizeDuration }}}} or longer."
                f"{_EXAMPLES} Fix the tasks, change the rule, or agree on an exemption with an end."
            ),
            dashboard="expectations",
            of_rule=True,
        ),
    )


def _no_tasks(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuNoTasks"
    expression = promql(
        """
        <violations>{rule="expect-tasks"} > 0
        and on (account, app_id) <tasks> == 0
        """,
        violations=known.VIOLATIONS,
        tasks=known.TASKS,
    )
    return Alert(
        name=name,
        severity="critical",
        expression=with_rule_owner(expression),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="An app that should have tasks has none.",
            description=(
                f"{_APP} lists no task at all, and its configuration expects some. "
                "See in the exporter's changes who went when, then ask whoever starts the tasks."
            ),
            dashboard="app",
        ),
    )


def _quota_nearly_used(thresholds: Thresholds, links: Links) -> Sequence[Alert]:
    name = "RtcmpuQuotaNearlyUsed"

    def alert(severity: str, ratio: float) -> Alert:
        return Alert(
            name=name,
            severity=severity,
            expression=with_app_owner(f"{known.QUOTA_USED} >= {ratio:g}"),
            for_seconds=thresholds.sustained_seconds,
            annotations=annotations(
                name,
                links=links,
                summary="An app has used up most of its quota of tasks.",
                description=(
                    f"{_APP} uses {{{{ $value | humanizePercentage }}}} of its quota of {{{{ $labels.mix_mode }}}} "
                    "tasks; at 100 % the service starts no more. Stop tasks that nobody needs, or ask for more quota."
                ),
                dashboard="app",
            ),
        )

    return (
        alert("critical", thresholds.quota_critical_ratio),
        alert("warning", thresholds.quota_warning_ratio),
    )


def _tasks_dropped(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuTasksDropped"
    window = duration(thresholds.drop_window_seconds)
    expression = promql(
        """
        1 - <tasks> / (max_over_time(<tasks>[<window>]) >= <least>) > <ratio>
        """,
        tasks=known.TASKS,
        window=window,
        least=thresholds.drop_least_tasks,
        ratio=f"{thresholds.drop_ratio:g}",
    )
    return Alert(
        name=name,
        severity="warning",
        expression=with_app_owner(expression),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="Many tasks of an app are gone all of a sudden.",
            description=(
                f"{_APP} has {{{{ $value | humanizePercentage }}}} fewer tasks than it had within the last {window}. "
                "If no event ended, see in the exporter's changes which went, then ask whoever stops tasks."
            ),
            dashboard="app",
        ),
    )


def _churn_high(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuChurnHigh"
    expression = promql(
        """
        <changes> > <factor> * avg_over_time(<changes>[<window>])
        and <changes> > <least>
        """,
        changes=known.CHANGES,
        factor=f"{thresholds.churn_factor:g}",
        window=duration(thresholds.hold_seconds),
        least=f"{thresholds.churn_least_per_second:g}",
    )
    return Alert(
        name=name,
        severity="warning",
        expression=with_app_owner(expression),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The tasks of an app change far more often than usual.",
            description=(
                f"{_APP} sees {{{{ $value | humanize }}}} changes a second, more than "
                f"{thresholds.churn_factor:g} times its daily average. See by field and kind what changes; a client "
                "that starts, stops or updates tasks in a loop is the usual cause."
            ),
            dashboard="app",
        ),
    )


def _field_errors(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuFieldErrors"
    return Alert(
        name=name,
        severity="warning",
        expression=with_app_owner(f"{known.FIELD_ERRORS} > 0"),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="Values of tasks can't be read.",
            description=(
                f"{_APP}, values of {{{{ $labels.field }}}} that can't be read and count nowhere else: "
                "{{ $value }}. What is said of this field is incomplete. Find the tasks in the exporter's API and "
                "correct them."
            ),
            dashboard="app",
        ),
    )
