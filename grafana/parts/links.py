"""Where a click leads: to a sibling dashboard, or to the exporter's own pages."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

Link: TypeAlias = Mapping[str, object]
TAG: Final = "rtcmpu"
OVERVIEW: Final = "rtcmpu-overview"
APP: Final = "rtcmpu-app"
EXPECTATIONS: Final = "rtcmpu-expectations"
EXPORTER: Final = "rtcmpu-exporter"
LABELS_OF_APP: Final = ("account", "app_id")

_KEPT: Final = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${exporter_url:queryparam}"


def siblings() -> build.DashboardLink:
    """Return the drop-down of all these dashboards; it keeps the time and the variables."""
    return (
        build.DashboardLink("MPU dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .icon("external link")
        .tooltip("")
        .url("")
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
        .target_blank(False)
    )


def drill_down(title: str, uid: str, labels: Sequence[str], *, of_series: bool = False) -> Link:
    """Return a link to another dashboard that chooses what the clicked row, or series, says of these labels."""
    source = "__field.labels" if of_series else "__data.fields"
    chosen = "".join(f"&var-{label}=${{{source}.{label}:percentencode}}" for label in labels)
    return {"title": title, "url": f"/d/{uid}?{_KEPT}{chosen}", "targetBlank": False}


def sibling(title: str, uid: str) -> Link:
    """Return a link to another dashboard that keeps the time and all variables."""
    return {"title": title, "url": f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}", "targetBlank": False}


def page(title: str, path: str, labels: Sequence[str] = ()) -> Link:
    """Return a link to a page of the exporter, asked for what the clicked row says of these labels.

    The path may name fields of the row as Grafana does.
    """
    asked = "&".join(f"{label}={field(label)}" for label in labels)
    return {"title": title, "url": "${exporter_url}" + path + (f"?{asked}" if asked else ""), "targetBlank": True}


def field(label: str) -> str:
    """Return the reference to a label of the clicked row, fit for an address."""
    return f"${{__data.fields.{label}:percentencode}}"


TO_APP: Final = drill_down("Open this app", APP, LABELS_OF_APP)
TO_RULE: Final = drill_down("Only this rule, in this app", EXPECTATIONS, (*LABELS_OF_APP, "rule"))
TO_VIOLATIONS: Final = page("All its violations, on the exporter's page", "/violations", (*LABELS_OF_APP, "rule"))
TO_TASK: Final = page(
    "The task, on the exporter's page",
    f"/apps/{field('account')}/{field('app_id')}/tasks/{field('task_id')}",
)
TO_RUNBOOK: Final[Link] = {"title": "Open the runbook", "url": "${__value.raw}", "targetBlank": True}
