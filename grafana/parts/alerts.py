"""Alerts on the dashboards: how many fire, which and since when, and where they began."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.links import EXPECTATIONS, OVERVIEW, TO_APP, TO_RUNBOOK, drill_down, sibling
from grafana.parts.looks import BAD, NOTICE, WARNING, rising, same_word
from grafana.parts.panels import DATASOURCE, number, queried
from grafana.parts.queries import APP, Scope, of_severity, owners, ranked
from grafana.parts.tables import SEVERITY, Labelled, Queried, rows_and_columns

PROJECT: Final = "https://github.com/rtcmpu-exporter/rtcmpu-exporter/blob/main"
RULES_LOADED: Final = "app:rtcmpu_collection_data_available:held"  # a record of the alerts' file, about any app
OURS: Final = 'alertname=~"Rtcmpu.*"'
FIRING: Final = 'alertstate="firing"'
NOT_LOADED: Final = "Alerting rules are not loaded"
DETAILS: Final = '"rule", "state", "field", "mix_mode", "host", "exemption", "path", "instance"'
ROW: Final = ("rank", "alertname", *APP, "detail", "owner", "runbook_url")


def firing_number(id_: int, scope: Scope) -> Panel:
    """Return how many alerts fire."""
    return number(
        id_,
        "Firing alerts",
        "Alerts about the chosen apps or their exporters that fire now; an alert with a critical and a warning level "
        "counts once. `Rules not loaded`: Prometheus evaluates no `rtcmpu.alerts.yml`, or has not seen an app for a "
        "day.",
        f"count({firing(scope)}) or 0 * max({RULES_LOADED})",
        thresholds=rising(red=1),
        no_value="Rules not loaded",
        link=sibling("Open Overview", OVERVIEW),
    )


def needs_attention(id_: int, scope: Scope) -> Panel:
    """Return what fires: what, where, since when, whose, and what to do."""
    since = f"({_owned(scope)}) and ignoring (alertstate, owner) {firing(scope)}"
    for label in APP:
        since = f'label_replace({since}, "{label}", "All", "{label}", "")'
    detailed = f'label_join({since}, "detail", "", {DETAILS})'
    runbook = f'label_replace({detailed}, "runbook_url", "{PROJECT}/docs/runbooks/$1.md", "alertname", "(.+)")'
    missing = f'label_replace(vector(time()), "alertname", "{NOT_LOADED}", "", "") unless on () {RULES_LOADED}'
    how = f'label_replace({missing}, "runbook_url", "{PROJECT}/docs/getting-started.md", "", "")'
    named = f'label_replace({ranked(runbook)}, "alertname", "$1", "alertname", "Rtcmpu(.+)")'
    rows = f"max by ({', '.join(ROW)}) ({named} or {how})"
    return rows_and_columns(
        id_,
        "Needs attention",
        "Alerts that fire, the most severe and newest first: what, where, since when, whose. Click an app to see all "
        "about it, or the runbook to see what to do. A row says so if the alerting rules are not loaded.",
        (
            SEVERITY,
            Labelled("What", "alertname", 235),
            Labelled("Detail", "detail"),
            Labelled(
                "App",
                "app_id",
                150,
                links=(TO_APP, drill_down("Its rules and violations", EXPECTATIONS, APP)),
            ),
            Labelled("Account", "account", 110),
            Queried("Open for", f"time() - {rows}", 100, "s", decimals=1),
            Labelled("Owner", "owner", 100),
            Labelled(
                "Runbook",
                "runbook_url",
                90,
                same_word("What to do"),
                (TO_RUNBOOK,),
            ),
        ),
        sorted_by=("-Severity", "Open for"),
        no_value="No alert fires",
    )


def _owned(scope: Scope) -> str:
    """Return since when alerts are active; one without an owner has its app's."""
    owned, unowned = (_alerts(scope, f'owner{is_}""', name="ALERTS_FOR_STATE") for is_ in ("!=", "="))
    of_apps = f"{unowned} * on (account, app_id) group_left (owner) {owners(scope)}"
    return f"{owned} or {of_apps} or ignoring (owner) {unowned}"


def firing(scope: Scope) -> str:
    """Return our firing alerts about the chosen jobs, accounts and apps; one with a critical twin is left out."""
    critical, warning = (_alerts(scope, FIRING, of_severity(severity)) for severity in ("critical", "warning"))
    return _of_jobs(scope, f"{_alerts(scope, FIRING)} unless ({warning} and ignoring (severity) {critical})")


def marks(scope: Scope) -> list[build.AnnotationQuery]:
    """Return what all graphs mark: restarts, reloads, and the beginnings of critical alerts."""
    started = f"1000 * {scope.of_replicas('process_start_time_seconds')}"
    reloaded = f"1000 * {scope.series('rtcmpu_exporter_config_last_reload_success_timestamp_seconds')}"
    critical = _alerts(scope, FIRING, of_severity("critical"))
    began = f"count by (alertname, account, app_id) ({_of_jobs(scope, f'{critical} unless {critical} offset 1m')})"
    return [
        _mark("Restarts", WARNING, started, title="Exporter started", text="{{instance}}").use_value_for_time(True),
        _mark("Reloads", NOTICE, reloaded, title="Configuration loaded", text="{{instance}}").use_value_for_time(True),
        _mark("Critical alerts", BAD, began, title="{{alertname}}", text="{{account}} {{app_id}}"),
    ]


def _alerts(scope: Scope, *matchers: str, name: str = "ALERTS") -> str:
    """Return a selector of alerts; one without account, app or job is about all of them."""
    chosen = [f'{label}=~"${label}|"' for label in ("job", *APP) if label in scope.filters]
    return f"{name}{{{','.join((OURS, *matchers, *chosen))}}}"


def _of_jobs(scope: Scope, alerts: str) -> str:
    """Return only alerts about accounts that the chosen jobs read, and those about no account."""
    # One series for each account: a day of one for each app would be most of what the dashboards read.
    read = f"max by (account) (last_over_time({scope.series('rtcmpu_exporter_rate_limit_requests_per_second')}[1d]))"
    return f"(({alerts}) and on (account) ({read} or vector(1)))"


def _mark(name: str, colour: str, expression: str, *, title: str, text: str) -> build.AnnotationQuery:
    """Return one kind of mark; the expression is there twice, since older Grafana knows only `expr`."""
    return (
        build.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .hide(False)
        .icon_color(colour)
        .expr(expression)
        .target(queried(expression, ref="Anno").range())
        .title_format(title)
        .text_format(text)
    )
