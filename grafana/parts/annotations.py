"""What all graphs mark: restarts, reloads, and the beginnings of critical alerts."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus

from grafana.parts.looks import BAD, NOTICE, WARNING
from grafana.parts.queries import Scope, beginning_alerts
from grafana.parts.targets import DATASOURCE


def marks(scope: Scope) -> list[build.AnnotationQuery]:
    """Return what is marked on each dashboard."""
    started = f"1000 * {scope.of_replicas('process_start_time_seconds')}"
    reloaded = f"1000 * {scope.series('rtcmpu_exporter_config_last_reload_success_timestamp_seconds')}"
    return [
        _mark("Restarts", WARNING, started, title="Exporter started", text="{{instance}}").use_value_for_time(True),
        _mark("Reloads", NOTICE, reloaded, title="Configuration loaded", text="{{instance}}").use_value_for_time(True),
        _mark("Critical alerts", BAD, beginning_alerts(scope), title="{{alertname}}", text="{{account}} {{app_id}}"),
    ]


def _mark(name: str, colour: str, expression: str, *, title: str, text: str) -> build.AnnotationQuery:
    """Return one kind of mark; the expression is there twice, since older Grafana knows only `expr`."""
    target = prometheus.Dataquery().datasource(DATASOURCE).expr(expression).range().ref_id("Anno")
    return (
        build.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .hide(False)
        .icon_color(colour)
        .expr(expression)
        .target(target)
        .title_format(title)
        .text_format(text)
    )
