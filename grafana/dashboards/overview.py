"""Overview: is everything fine, and if not what, where, since when and whose is it."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from exporter.rules.rule import SEVERITIES
from grafana.parts import variables
from grafana.parts.alerts import firing_number, needs_attention
from grafana.parts.layout import Band, Section, finished, graphs
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPECTATIONS, EXPORTER, OVERVIEW, TO_APP, Link, drill_down, sibling
from grafana.parts.looks import ATTENTION, QUOTA_IS_FULL, limit, rising, states, words
from grafana.parts.panels import bars, graph, note, number, timeline
from grafana.parts.queries import (
    APP,
    Scope,
    apps_with_data,
    attention,
    of_severity,
    or_nothing,
    quota_use,
    share_of_stale_after,
    state_code,
    sweep_age,
)
from grafana.parts.tables import Labelled, Queried, rows_and_columns

SCOPE: Final = Scope({"job": "job", "account": "account", "task_region": "region"})
NOTE: Final = (
    "**Configuration, not stream health.** These numbers say how tasks are configured. Whether a task runs, or how its"
    " stream is, the service does not say. Sums are over the apps *with data*; what is withdrawn is not counted."
)
SERIES_TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP, of_series=True)
QUOTAS: Final = SCOPE.each("rtcmpu_task_quota")
QUOTA_COLOURS: Final = {"orange": 0.8, "red": QUOTA_IS_FULL}


def overview() -> Dashboard:
    """Return the dashboard."""
    job = Scope({"job": "job"})
    region = Scope({"job": "job", "account": "account"})
    return finished(
        "MPU relay tasks / Overview",
        OVERVIEW,
        "All apps at a glance: what needs attention, what is configured, and how old the data is. It shows "
        "configuration, not stream health.",
        variables=(
            variables.datasource(),
            variables.several("job", "Job", "rtcmpu_exporter_build_info", Scope({})),
            variables.several("account", "Account", "rtcmpu_up", job),
            variables.several("region", "Region", "rtcmpu_tasks", region, of_label="task_region"),
            variables.exporter_url(),
        ),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            Band(4, _numbers()),
            Band(8, (needs_attention(11, SCOPE), _states()), (16, 8)),
            Band(9, (_apps(),)),
        ),
        sections=(
            Section(20, "How many tasks are configured, where, and how near are the quotas?", _tasks()),
            Section(30, "What violates the rules, and what changes?", (_over_time(),)),
            Section(40, "Where do tasks push to, and how are they encoded?", (_outputs(),)),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    def violated(id_: int, title: str, severity: str, colour: str) -> Panel:
        return number(
            id_,
            title,
            "Tasks that violate a rule of this severity now; a task counts once for each rule. Click for details.",
            SCOPE.total("rtcmpu_policy_violations", of_severity(severity)),
            thresholds=rising(**{colour: 1}),
            link=sibling("Open Expectations", EXPECTATIONS),
        )

    to_app, to_exporter = sibling("Open App", APP_DASHBOARD), sibling("Open Exporter", EXPORTER)
    return (
        firing_number(9, SCOPE),
        with_data(2, SCOPE, to_exporter),
        oldest_data(8, SCOPE, to_exporter),
        violated(6, "Critical violations", "critical", "red"),
        violated(7, "Warnings", "warning", "orange"),
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
        number(
            3,
            "Tasks",
            "Listed tasks in the chosen regions. A listed task is a configured one.",
            SCOPE.total("rtcmpu_tasks"),
            unit="locale",
            link=to_app,
        ),
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


def _states() -> Panel:
    return timeline(
        12,
        "State of each app",
        "What was worst about each app: its data is withdrawn or was never there, reading its list fails, tasks "
        "violate critical rules, a quota is full, or tasks violate rules of severity warning. A gap: no exporter was "
        "scraped. Click to see all about the app.",
        {"{{app_id}} · {{account}}": attention(SCOPE)},
        words(ATTENTION),
        per_page=8,
        link=SERIES_TO_APP,
    )


def _apps() -> Panel:
    def violations(title: str, severity: str, colour: str) -> Queried:
        query = SCOPE.total("rtcmpu_policy_violations", of_severity(severity), by=APP)
        return Queried(title, query, 95, thresholds=rising("text", **{colour: 1}))

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
            Queried("Attention", attention(SCOPE), 115, mappings=words(ATTENTION)),
            Labelled("App", "app_id", 200, links=(TO_APP,)),
            Labelled("Account", "account", 120),
            Labelled("Name", "name"),
            Labelled("Owner", "owner", 130),
            Queried("", SCOPE.each("rtcmpu_app_info")),
            Queried("State", state_code(SCOPE), 130, mappings=states()),
            Queried("Age", sweep_age(SCOPE), 90, "s", 0),
            Queried("Tasks", SCOPE.total("rtcmpu_tasks", by=APP), 80, "locale"),
            quota("Single quota", "single"),
            quota("Mixed quota", "mixed"),
            Queried("Egress", f"8 * {egress}", 100, "bps", 1),
            violations("Critical", "critical", "red"),
            violations("Warning", "warning", "orange"),
            violations("Info", "info", "blue"),
        ),
        sorted_by=("-Attention", "-Critical", "-Warning"),
        no_value="No app is configured, or no exporter is scraped",
    )


def _tasks() -> tuple[Band, Band]:
    pushed = SCOPE.total("rtcmpu_task_configured_egress_bytes_per_second", by=("cdn",))
    return (
        graphs(
            graph(
                21,
                "Tasks by region",
                "Listed tasks by the region that they are configured for, stacked.",
                {"{{task_region}}": SCOPE.total("rtcmpu_tasks", by=("task_region",))},
                stacked=True,
            ),
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
        ),
        graphs(
            graph(
                23,
                "Tasks by mode",
                "Listed tasks by mode, stacked: `single` relays one stream, `mixed` encodes several into one.",
                {"{{mix_mode}}": SCOPE.total("rtcmpu_tasks", by=("mix_mode",))},
                stacked=True,
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
        ),
    )


def _over_time() -> Band:
    return graphs(
        by_severity(31, SCOPE),
        graph(
            33,
            "Changes per minute",
            "Tasks added, modified or removed, as noticed by the exporter. The first reading after a start is "
            "where counting begins: what is listed then is no change.",
            {"{{change}}": f"60 * {SCOPE.rate('rtcmpu_task_changes_total', by=('change',))}"},
        ),
    )


def by_severity(id_: int, scope: Scope) -> Panel:
    """Return how many violations there were over time, the most severe on top."""
    return graph(
        id_,
        "Violations by severity",
        "Tasks that violate a rule, by the rule's severity, stacked; a task counts once for each rule. A drop together "
        "with `Apps with data` is no repair: the data was withdrawn.",
        {str(severity): scope.total("rtcmpu_policy_violations", of_severity(severity)) for severity in SEVERITIES},
        stacked=True,
    )


def _outputs() -> Band:
    def by(id_: int, title: str, description: str, sample: str, label: str) -> Panel:
        return bars(id_, title, description, {f"{{{{{label}}}}}": f"sort_desc({SCOPE.total(sample, by=(label,))} > 0)"})

    return Band(
        9,
        (
            by(
                42,
                "Outputs by scheme",
                "URLs that tasks push to, by protocol. A scheme that nobody expects here is worth a look.",
                "rtcmpu_task_outputs",
                "scheme",
            ),
            by(
                45,
                "Push keys by state",
                "URLs that tasks push to, by whether a push with their key may still start.",
                "rtcmpu_task_outputs_by_push_auth",
                "state",
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
        ),
    )
