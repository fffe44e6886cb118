"""Overview: is everything fine, and if not what, where, since when and whose is it."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from grafana.parts.alerts import firing_number, needs_attention
from grafana.parts.layout import Band, Section, finished, graphs
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPECTATIONS, EXPORTER, OVERVIEW, sibling
from grafana.parts.looks import ATTENTION, QUOTA_COLOURS, QUOTA_IS_FULL, limit, rising, states, words
from grafana.parts.panels import graph, note, number
from grafana.parts.queries import APP, Scope, or_nothing, quota_use, recorded_attention, state_code, sweep_age
from grafana.parts.shared import (
    SERIES_TO_APP,
    app_columns,
    bars_by,
    by_region_and_mode,
    by_resolution,
    by_severity,
    by_tier,
    changes,
    listed_tasks,
    oldest_data,
    timeline_of_apps,
    violated,
    violation_columns,
    with_data,
)
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.variables import raw, variables

SCOPE: Final = Scope({"job": "job", "account": "account", "task_region": "region"})
NOTE: Final = (
    "**Configuration, not stream health.** These numbers say how tasks are configured. Whether a task runs, or how its"
    " stream is, the service does not say. Sums are over the apps *with data*; what is withdrawn is not counted."
)
QUOTAS: Final = SCOPE.each("rtcmpu_task_quota")


def overview() -> Dashboard:
    """Return the dashboard."""
    return finished(
        "MPU relay tasks / Overview",
        OVERVIEW,
        "All apps at a glance: what needs attention, what is configured, and how old the data is. It shows "
        "configuration, not stream health.",
        variables=variables(SCOPE, raw()),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            Band(4, _numbers()),
            Band(8, (needs_attention(11, SCOPE), _states()), (16, 8)),
            Band(9, (_apps(),)),
        ),
        sections=(
            Section(20, "How many tasks are configured, where, and how near are the quotas?", (_tasks(),)),
            Section(
                30, "What violates the rules, and what changes?", (graphs(by_severity(31, SCOPE), changes(33, SCOPE)),)
            ),
            Section(40, "Where do tasks push to, and how are they encoded?", (_outputs(),)),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    to_app, to_exporter = sibling("Open App", APP_DASHBOARD), sibling("Open Exporter", EXPORTER)
    to_rules = sibling("Open Expectations", EXPECTATIONS)
    return (
        firing_number(9, SCOPE),
        with_data(2, SCOPE, to_exporter),
        oldest_data(8, SCOPE, to_exporter),
        violated(6, "critical", SCOPE, to_rules),
        violated(7, "warning", SCOPE, to_rules),
        number(
            5,
            "Fullest quota",
            "The highest share of a quota that an app uses, single or mixed, over all regions. Orange from 80 %, red "
            "from 95 %: new tasks will soon be refused.",
            or_nothing(f"max({quota_use(SCOPE)})", f"{SCOPE.each('rtcmpu_app_info')} unless on () {QUOTAS}"),
            unit="percentunit",
            decimals=0,
            thresholds=rising(**QUOTA_COLOURS),
            nothing="No quota",
            link=to_app,
        ),
        listed_tasks(3, SCOPE, to_app),
        number(
            4,
            "Configured egress",
            "Video and audio bitrate of mixed tasks, once for each output: what they would send if all ran as "
            "configured. No traffic is measured.",
            f"8 * {SCOPE.total('rtcmpu_task_configured_egress_bytes_per_second')}",
            unit="bps",
            decimals=1,
            link=to_app,
        ),
    )


def _states() -> Panel:
    return timeline_of_apps(
        12,
        "State of each app",
        "What was worst about each app: its data is withdrawn or was never there, reading its list fails, tasks "
        "violate critical rules, a quota is full, or tasks violate rules of severity warning.",
        recorded_attention(SCOPE),
        words(ATTENTION),
    )


def _apps() -> Panel:
    def quota(title: str, mode: str) -> Queried:
        of_mode = f'mix_mode="{mode}"'
        query = f"sum by (account, app_id) ({quota_use(SCOPE, of_mode)})"
        return Queried(title, query, 110, "percentunit", 0, rising(**QUOTA_COLOURS), is_gauge=True)

    egress = SCOPE.total("rtcmpu_task_configured_egress_bytes_per_second", by=APP)
    return rows_and_columns(
        10,
        "Apps",
        "One row for each configured app, the worst first; click an app to see all about it. State: how the last "
        "reading of its list went. Age: since the last accepted sweep began. A dash stands for what is not known. "
        "Tasks and egress are those of the chosen regions, quotas know no region.",
        (
            Queried("Attention", recorded_attention(SCOPE), 115, mappings=words(ATTENTION)),
            *app_columns(200),
            Labelled("Name", "name"),
            Labelled("Owner", "owner", 130),
            Queried("", SCOPE.each("rtcmpu_app_info")),
            Queried("State", state_code(SCOPE), 130, mappings=states()),
            Queried("Age", sweep_age(SCOPE), 90, "s", 0),
            Queried("Tasks", SCOPE.total("rtcmpu_tasks", by=APP), 80, "locale"),
            quota("Single quota", "single"),
            quota("Mixed quota", "mixed"),
            Queried("Egress", f"8 * {egress}", 100, "bps", 1),
            *violation_columns(SCOPE),
        ),
        sorted_by=("-Attention", "-Critical", "-Warning"),
        no_value="No app is configured, or no exporter is scraped",
    )


def _tasks() -> Band:
    pushed = SCOPE.total("rtcmpu_task_configured_egress_bytes_per_second", by=("cdn",))
    return graphs(
        by_region_and_mode(21, SCOPE),
        graph(
            22,
            "Quota use by app",
            "Share of the quota for single or mixed tasks that each app uses. Above the red line new tasks will "
            "soon be refused. Apps without a quota are not shown.",
            {"{{app_id}} {{mix_mode}}": quota_use(SCOPE)},
            unit="percentunit",
            limit=limit(red=QUOTA_IS_FULL),
            soft_highest=1,
            many_series=True,
            no_value="No quota or no data",
            link=SERIES_TO_APP,
        ),
        graph(
            24,
            "Configured egress by CDN",
            "Configured bitrate of mixed tasks, once for each output, by where it is pushed to, stacked. "
            "`unknown`: the task does not say. No traffic is measured.",
            {"{{cdn}}": f"8 * {pushed}"},
            unit="bps",
            stacked=True,
        ),
    )


def _outputs() -> Band:
    return Band(
        9,
        (
            bars_by(
                42,
                "Outputs by scheme",
                "URLs that tasks push to, by protocol. A scheme that nobody expects here is worth a look.",
                SCOPE,
                "rtcmpu_task_outputs",
                "scheme",
            ),
            bars_by(
                45,
                "Push keys by state",
                "URLs that tasks push to, by whether a push with their key may still start.",
                SCOPE,
                "rtcmpu_task_outputs_by_push_auth",
                "state",
            ),
            by_resolution(43, SCOPE),
            by_tier(44, SCOPE),
        ),
    )
