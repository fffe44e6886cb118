"""The graphs of the overview: what is configured, what is wrong with it, what changes."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.layout import Band, pair
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import drill_down
from grafana.parts.looks import CHANGE_COLOURS, SEVERITY_COLOURS, limit, names
from grafana.parts.panels import About, bars, graph
from grafana.parts.queries import APP, Scope, firing_alerts, quota_use, share_of_stale_after
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.targets import history, now

TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP)
SERIES_TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP, of_series=True)


def tasks(scope: Scope) -> Band:
    """Return how many tasks there are, and how near the apps are to their quotas."""
    return pair(
        graph(
            About(21, "Tasks by region", "Listed tasks by the region that they are configured for, stacked."),
            [history(scope.total("rtcmpu_tasks", by=("task_region",)), "{{task_region}}")],
            stacked=True,
        ),
        graph(
            About(
                22,
                "Quota use by app",
                "Share of the quota for single or mixed tasks that each app uses. Above the red line new tasks will "
                "soon be refused. Apps without a quota are not shown.",
            ),
            [history(quota_use(scope), "{{app_id}} {{mix_mode}}")],
            unit="percentunit",
            limit=limit(red=0.95),
            soft_highest=1,
            many_series=True,
            no_value="No quota or no data",
            link=SERIES_TO_APP,
        ),
    )


def egress(scope: Scope) -> Band:
    """Return in which modes tasks are, and what they would send."""
    pushed = scope.total("rtcmpu_task_configured_egress_bytes_per_second", by=("cdn",))
    return pair(
        graph(
            About(
                23,
                "Tasks by mode",
                "Listed tasks by mode, stacked: `single` relays one stream, `mixed` encodes several into one.",
            ),
            [history(scope.total("rtcmpu_tasks", by=("mix_mode",)), "{{mix_mode}}")],
            stacked=True,
        ),
        graph(
            About(
                24,
                "Configured egress by CDN",
                "Configured bitrate of mixed tasks, once for each output, by where it is pushed to, stacked. "
                "`unknown`: the task does not say. No traffic is measured.",
            ),
            [history(f"8 * {pushed}", "{{cdn}}")],
            unit="bps",
            stacked=True,
        ),
    )


def violations(scope: Scope) -> Band:
    """Return what is not as expected, and what fires."""
    alerts = f"count by (alertname, severity, account, app_id, rule) ({firing_alerts(scope)})"
    return pair(
        graph(
            About(
                31,
                "Violations by severity",
                "Tasks that violate a rule, by the rule's severity, stacked; a task counts once for each rule. A drop "
                "together with `Apps with data` is no repair: the data was withdrawn.",
            ),
            [history(scope.total("rtcmpu_policy_violations", by=("severity",)), "{{severity}}")],
            stacked=True,
            colours=SEVERITY_COLOURS,
        ),
        rows_and_columns(
            About(
                32,
                "Firing alerts",
                "Alerts that fire now, within the chosen accounts. An app or rule is named where the alert is about "
                "one. Empty is well, if the alerting rules are loaded.",
            ),
            (
                Labelled(title="Severity", label="severity", mappings=names(SEVERITY_COLOURS), width=90),
                Labelled(title="Alert", label="alertname"),
                Labelled(title="Account", label="account", width=110),
                Labelled(title="App", label="app_id", width=140, links=(TO_APP,)),
                Labelled(title="Rule", label="rule"),
                Queried(title="Series", query=alerts, is_hidden=True),
            ),
            sorted_by="Severity",
            descending=False,
            no_value="No alert fires",
        ),
    )


def changes(scope: Scope) -> Band:
    """Return how fast tasks change, and how old the data is."""
    changed = scope.rate("rtcmpu_task_changes_total", by=("change",))
    return pair(
        graph(
            About(
                33,
                "Changes per minute",
                "Tasks that came, went, or are configured otherwise, as noticed by the exporter. The first reading "
                "after a start is where counting begins: what is listed then is no change.",
            ),
            [history(f"60 * {changed}", "{{change}}")],
            colours=CHANGE_COLOURS,
        ),
        graph(
            About(
                34,
                "Age of data by app",
                "Since the last accepted sweep, as a share of the age at which data is withdrawn. A saw that stays "
                "below a half is usual; at the red line the app's data is withdrawn.",
            ),
            [history(share_of_stale_after(scope), "{{app_id}}")],
            unit="percentunit",
            limit=limit(red=1.0),
            soft_highest=1,
            many_series=True,
            no_value="No sweep yet",
            link=SERIES_TO_APP,
        ),
    )


def encodings(scope: Scope) -> Band:
    """Return where tasks push to and how they are encoded."""

    def by(id_: int, title: str, description: str, sample: str, label: str) -> Panel:
        query = f"sort_desc({scope.total(sample, by=(label,))} > 0)"
        return bars(About(id_, title, description), now(query, f"{{{{{label}}}}}"))

    panels = (
        by(
            41,
            "Outputs by CDN",
            "URLs that tasks push to, by whether they are Alibaba's.",
            "rtcmpu_task_outputs",
            "cdn",
        ),
        by(
            42,
            "Outputs by scheme",
            "URLs that tasks push to, by protocol. A scheme that nobody expects here is worth a look.",
            "rtcmpu_task_outputs",
            "scheme",
        ),
        by(
            43,
            "Tasks by resolution",
            "Tasks with video by their short side; `other`: a size outside the usual ones.",
            "rtcmpu_tasks_by_video",
            "resolution",
        ),
        by(
            44,
            "Tasks by billing tier",
            "An estimate of the billing tier from mode and area. It is no bill.",
            "rtcmpu_tasks_by_billing_tier",
            "tier",
        ),
    )
    return Band(9, panels)
