"""Panels and columns that several dashboards have."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel, ValueMapping

from exporter.rules.rule import SEVERITIES
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import TO_APP, TO_RULE, TO_VIOLATIONS, Link, drill_down
from grafana.parts.looks import SEVERITY_COLOURS, rising
from grafana.parts.panels import bars, graph, number, timeline
from grafana.parts.queries import (
    APP,
    Scope,
    apps_with_data,
    apps_without_data,
    of_severity,
    ranked,
    share_of_stale_after,
    with_owner,
)
from grafana.parts.tables import SEVERITY, Labelled, Queried, rows_and_columns

OF_APP: Final = "{{app_id}} · {{account}}"
SERIES_TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP, of_series=True)
VIOLATIONS: Final = "rtcmpu_policy_violations"
NOTHING_VIOLATED: Final = "No task violates a rule"
_VIOLATED: Final = {"critical": "Critical violations", "warning": "Warnings", "info": "Info"}


def with_data(id_: int, scope: Scope, link: Link) -> Panel:
    """Return of how many apps there is data."""
    return number(
        id_,
        "Apps with data",
        "Apps whose tasks are published, of all that are configured. All sums here are over these. Red: the data of "
        "at least one was withdrawn since it became too old, or was never there.",
        {"{{some}} of {{all}}": apps_with_data(scope)},
        thresholds=rising(red=1),
        shows_name=True,
        link=link,
    )


def oldest_data(id_: int, scope: Scope, link: Link) -> Panel:
    """Return how near the oldest data is to being withdrawn."""
    return number(
        id_,
        "Oldest data",
        "Since the last accepted sweep began, as a share of the age at which data is withdrawn, of the app where it "
        "is the most. A third and below is usual; at 100 % the app's data is withdrawn.",
        f"max({share_of_stale_after(scope)})",
        unit="percentunit",
        decimals=0,
        thresholds=rising(orange=0.7, red=1.0),
        link=link,
    )


def listed_tasks(id_: int, scope: Scope, link: Link) -> Panel:
    """Return how many tasks there are."""
    return number(
        id_,
        "Tasks",
        "Listed tasks in the chosen regions. A listed task is a configured one.",
        scope.total("rtcmpu_tasks"),
        unit="locale",
        link=link,
    )


def violated(id_: int, severity: str, scope: Scope, link: Link) -> Panel:
    """Return how many tasks violate a rule of a severity."""
    return number(
        id_,
        _VIOLATED[severity],
        "Tasks that violate a rule of this severity now; a task counts once for each rule. Click for details.",
        scope.total(VIOLATIONS, of_severity(severity)),
        thresholds=rising(**{SEVERITY_COLOURS[severity]: 1}),
        link=link,
    )


def by_severity(id_: int, scope: Scope) -> Panel:
    """Return how many violations there were over time, the most severe on top."""
    return graph(
        id_,
        "Violations by severity",
        "Tasks that violate a rule, by the rule's severity, stacked; a task counts once for each rule. A drop together "
        "with `Apps with data` is no repair: the data was withdrawn.",
        {str(severity): scope.total(VIOLATIONS, of_severity(severity)) for severity in SEVERITIES},
        stacked=True,
    )


def changes(id_: int, scope: Scope) -> Panel:
    """Return how many tasks changed over time."""
    return graph(
        id_,
        "Changes per minute",
        "Tasks added, modified or removed, as the exporter noticed. A task that changes twice between two updates "
        "counts once; the first reading after a start counts nothing.",
        {"{{change}}": f"60 * {scope.rate('rtcmpu_task_changes_total', by=('change',))}"},
    )


def bars_by(id_: int, title: str, description: str, scope: Scope, sample: str, *labels: str, legend: str = "") -> Panel:
    """Return a bar for each value of some labels, the largest first."""
    legend = legend or " ".join(f"{{{{{label}}}}}" for label in labels)
    return bars(id_, title, description, {legend: f"sort_desc({scope.total(sample, by=labels)} > 0)"})


def by_resolution(id_: int, scope: Scope) -> Panel:
    """Return how many tasks have each resolution."""
    return bars_by(
        id_,
        "Resolution",
        "Tasks with video by their short side; `other`: a size outside the usual ones, `none`: no size.",
        scope,
        "rtcmpu_tasks_by_video",
        "resolution",
    )


def by_tier(id_: int, scope: Scope) -> Panel:
    """Return how many tasks are in each billing tier."""
    return bars_by(
        id_,
        "Billing tier",
        "Tasks by an estimate of the billing tier from mode and area. It is no bill.",
        scope,
        "rtcmpu_tasks_by_billing_tier",
        "tier",
    )


def by_region_and_mode(id_: int, scope: Scope) -> Panel:
    """Return how many tasks there were over time."""
    return graph(
        id_,
        "Tasks by region and mode",
        "Listed tasks, stacked: `single` relays one stream, `mixed` encodes several into one.",
        {"{{task_region}} {{mix_mode}}": scope.total("rtcmpu_tasks", by=("task_region", "mix_mode"))},
        stacked=True,
    )


def timeline_of_apps(id_: int, title: str, description: str, query: str, mappings: list[ValueMapping]) -> Panel:
    """Return a bar for each app, divided where its state changes."""
    return timeline(
        id_,
        title,
        f"{description} A gap: no exporter was scraped. Click to see all about the app.",
        {OF_APP: query},
        mappings,
        per_page=8,
        link=SERIES_TO_APP,
    )


def app_columns(width: int | None = 150, *links: Link) -> tuple[Labelled, Labelled]:
    """Return the columns of an app and its account; a click opens the app."""
    return Labelled("App", "app_id", width, links=(TO_APP, *links)), Labelled("Account", "account", 110)


def violation_columns(scope: Scope) -> tuple[Queried, ...]:
    """Return a column for each severity with the violations of each app."""
    return tuple(
        Queried(
            severity.title(),
            scope.total(VIOLATIONS, of_severity(severity), by=APP),
            90,
            thresholds=rising("text", **{colour: 1}),
        )
        for severity, colour in SEVERITY_COLOURS.items()
    )


def open_violations(id_: int, scope: Scope) -> Panel:
    """Return what is violated now, the most severe first."""
    by = "max by (account, app_id, rule)"
    opened = f"{by} ({scope.series('rtcmpu_policy_oldest_violation_timestamp_seconds')})"
    now = f"{scope.each(VIOLATIONS)} > 0"
    rows = f"{ranked(with_owner(scope, f'({now})'))} or {apps_without_data(scope)}"
    return rows_and_columns(
        id_,
        "Open violations",
        "One row for each rule that tasks of an app violate now, the most severe and oldest first; and one for each "
        "app without data, of which nobody knows. Open for: since the oldest of them was first seen. Owner: the "
        "rule's, or else the app's. Click a rule to see it alone, or all its violations on the exporter's page.",
        (
            SEVERITY,
            Labelled("Rule", "rule", links=(TO_RULE, TO_VIOLATIONS)),
            *app_columns(),
            Queried("", f"max by (rank, rule, account, app_id, owner) ({rows})"),
            Queried("Tasks", f"{by} ({now})", 75),
            Queried("Open for", f"time() - {opened}", 100, "s", decimals=1),
            Labelled("Owner", "owner", 110),
        ),
        sorted_by=("-Severity", "-Open for"),
        no_value=NOTHING_VIOLATED,
    )
