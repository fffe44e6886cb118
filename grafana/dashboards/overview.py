"""Overview: what is configured over all apps, what is wrong with it, and whether that can be trusted now."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from grafana.dashboards.overview_sections import changes, egress, encodings, tasks, violations
from grafana.parts import variables
from grafana.parts.layout import Band, Section, finished, numbers
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPECTATIONS, EXPORTER, OVERVIEW, drill_down, sibling
from grafana.parts.looks import rising, states, words
from grafana.parts.panels import About, note, number
from grafana.parts.queries import (
    APP,
    Scope,
    apps_with_data,
    firing_alerts,
    quota_use,
    share_of_stale_after,
    state_code,
    sweep_age,
)
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.targets import now

SCOPE: Final = Scope({"job": "job", "account": "account", "task_region": "region"})
NOTE: Final = (
    "**Configuration, not stream health.** These numbers say how tasks are configured. Whether a task runs, or how its"
    " stream is, the service does not say. Sums are over the apps *with data*; what is withdrawn is not counted."
)
TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP)
SERIES_TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP, of_series=True)


def overview() -> Dashboard:
    """Return the dashboard."""
    job = Scope({})
    account = Scope({"job": "job"})
    region = Scope({"job": "job", "account": "account"})
    return finished(
        "MPU relay tasks / Overview",
        OVERVIEW,
        "All apps at a glance: what is configured, what is not as expected, and how old the data is. It shows "
        "configuration, not stream health.",
        variables=(
            variables.datasource(),
            variables.several("job", "Job", "rtcmpu_exporter_build_info", job),
            variables.several("account", "Account", "rtcmpu_up", account),
            variables.several("region", "Region", "rtcmpu_tasks", region, of_label="task_region"),
            variables.exporter_url(),
        ),
        scope=SCOPE,
        top=(Band(2, (note(1, NOTE),)), numbers(*_numbers()), Band(10, (_apps(),))),
        sections=(
            Section(20, "What is configured", (tasks(SCOPE), egress(SCOPE))),
            Section(30, "What is wrong, and what changes", (violations(SCOPE), changes(SCOPE))),
            Section(40, "Outputs and encodings", (encodings(SCOPE),), is_collapsed=True),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    violations = "Tasks that violate a rule of this severity now; a task counts once for each rule. Click for details."
    to_expectations = sibling("Open Expectations", EXPECTATIONS)
    return (
        number(
            About(
                2,
                "Apps with data",
                "Apps whose tasks are published, of all that are configured. All sums here are over these. Red: the "
                "data of at least one was withdrawn since it became too old, or was never there.",
            ),
            now(apps_with_data(SCOPE), "{{some}} of {{all}}"),
            thresholds=rising(red=1),
            shows_name=True,
            link=sibling("Open Exporter", EXPORTER),
        ),
        number(
            About(3, "Tasks", "Listed tasks in the chosen regions. A listed task is a configured one."),
            now(SCOPE.total("rtcmpu_tasks")),
        ),
        number(
            About(
                4,
                "Configured egress",
                "Video and audio bitrate of mixed tasks, once for each output: what they would send if all ran as "
                "configured. No traffic is measured.",
            ),
            now(f"8 * {SCOPE.total('rtcmpu_task_configured_egress_bytes_per_second')}"),
            unit="bps",
            decimals=1,
        ),
        number(
            About(
                5,
                "Fullest quota",
                "The highest share of a quota that an app uses, single or mixed, over all regions. Orange from 80 %, "
                "red from 95 %: new tasks will soon be refused.",
            ),
            now(f"max({quota_use(SCOPE)})"),
            unit="percentunit",
            decimals=0,
            thresholds=rising(orange=0.8, red=0.95),
            no_value="No quota",
        ),
        number(
            About(6, "Critical", violations),
            now(SCOPE.total("rtcmpu_policy_violations", 'severity="critical"')),
            thresholds=rising(red=1),
            link=to_expectations,
        ),
        number(
            About(7, "Warnings", violations),
            now(SCOPE.total("rtcmpu_policy_violations", 'severity="warning"')),
            thresholds=rising(orange=1),
            link=to_expectations,
        ),
        number(
            About(
                8,
                "Oldest data",
                "How much of the time after which data is withdrawn has passed since the last accepted sweep of the "
                "app with the oldest. A third and below is usual; at 100 % its data is withdrawn.",
            ),
            now(f"max({share_of_stale_after(SCOPE)})"),
            unit="percentunit",
            decimals=0,
            thresholds=rising(orange=0.7, red=1.0),
            no_value="No sweep yet",
        ),
        number(
            About(
                9,
                "Firing alerts",
                "Alerts about the relay tasks or the exporter that fire now. `None` is also said where no alerting "
                "rules are loaded.",
            ),
            now(f"count({firing_alerts(SCOPE)})"),
            thresholds=rising("text", red=1),
            no_value="None",
        ),
    )


def _apps() -> Panel:
    tasks = SCOPE.total("rtcmpu_tasks", by=APP)
    egress = SCOPE.total("rtcmpu_task_configured_egress_bytes_per_second", by=APP)

    def violations(severity: str) -> str:
        return SCOPE.total("rtcmpu_policy_violations", f'severity="{severity}"', by=APP)

    def quota(title: str, mode: str) -> Queried:
        matcher = f'mix_mode="{mode}"'
        return Queried(
            title=title,
            query=f"sum by (account, app_id) ({quota_use(SCOPE, matcher)})",
            unit="percentunit",
            decimals=0,
            width=110,
            thresholds=rising(orange=0.8, red=0.95),
            is_gauge=True,
        )

    return rows_and_columns(
        About(
            10,
            "Apps",
            "One row for each configured app; click an app to see all about it. State: how the last reading of its "
            "list went. Data: whether its tasks are published; a dash stands for what is not known. Age: since the "
            "last accepted sweep began. Tasks and egress are those of the chosen regions, quotas know no region.",
        ),
        (
            Labelled(title="App", label="app_id", width=160, links=(TO_APP,)),
            Labelled(title="Account", label="account", width=110),
            Labelled(title="Name", label="name"),
            Labelled(title="Owner", label="owner", width=110),
            Queried(title="Known", query=SCOPE.each("rtcmpu_app_info"), is_hidden=True),
            Queried(title="State", query=state_code(SCOPE), mappings=states(), width=130),
            Queried(
                title="Data",
                query=SCOPE.each("rtcmpu_collection_data_available"),
                mappings=words({1: ("published", "green"), 0: ("withdrawn", "red")}),
                width=100,
            ),
            Queried(title="Age", query=sweep_age(SCOPE), unit="s", decimals=0, width=90),
            Queried(title="Tasks", query=tasks, width=80),
            quota("Single quota", "single"),
            quota("Mixed quota", "mixed"),
            Queried(title="Egress", query=f"8 * {egress}", unit="bps", decimals=1, width=100),
            Queried(title="Critical", query=violations("critical"), thresholds=rising("text", red=1), width=80),
            Queried(title="Warning", query=violations("warning"), thresholds=rising("text", orange=1), width=80),
            Queried(title="Info", query=violations("info"), thresholds=rising("text", blue=1), width=70),
        ),
        sorted_by="Critical",
        no_value="No app is configured, or no exporter is scraped",
    )
