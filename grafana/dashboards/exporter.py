"""Exporter: whether what the other dashboards show can be trusted now, and if not, why."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from grafana.dashboards.exporter_collection import ages, collection_of_apps, failures, requests, sweeps
from grafana.dashboards.exporter_process import details, process, replicas
from grafana.parts import variables
from grafana.parts.layout import Band, Section, finished, numbers
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPORTER, drill_down
from grafana.parts.looks import BAD, FINE, rising, states, words
from grafana.parts.panels import About, note, number, timeline
from grafana.parts.queries import APP, Scope, apps_with_data, share_of_stale_after, some_of_all, state_code
from grafana.parts.targets import history, now

SCOPE: Final = Scope({"job": "job", "instance": "instance", "account": "account", "app_id": "app_id"})
NOTE: Final = (
    "**Can the numbers be trusted now?** How old they are, whether they are complete, which app fails and why. What the"
    " exporter reads is configuration, not stream health. [Its own status page](${exporter_url}/)"
)


def exporter() -> Dashboard:
    """Return the dashboard."""
    job = Scope({"job": "job"})
    instance = Scope({"job": "job", "instance": "instance"})
    account = Scope({"job": "job", "instance": "instance", "account": "account"})
    return finished(
        "MPU relay tasks / Exporter",
        EXPORTER,
        "Whether the numbers can be trusted: state and age of each app's data, requests and budget, sweeps, and the "
        "exporter's process.",
        variables=(
            variables.datasource(),
            variables.several("job", "Job", "rtcmpu_exporter_build_info", Scope({})),
            variables.several("instance", "Instance", "rtcmpu_exporter_build_info", job),
            variables.several("account", "Account", "rtcmpu_up", instance),
            variables.several("app_id", "App", "rtcmpu_up", account),
            variables.exporter_url(),
        ),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            numbers(*_numbers()),
            Band(8, (_states(),)),
            Band(9, (collection_of_apps(SCOPE),)),
        ),
        sections=(
            Section(20, "How old the data is, and what failed", (ages(SCOPE), failures(SCOPE))),
            Section(30, "Requests and their budget", requests(SCOPE)),
            Section(40, "Sweeps", sweeps(SCOPE)),
            Section(50, "The process", (Band(6, (replicas(SCOPE),)), *process(SCOPE))),
            Section(60, "Rare details", details(SCOPE), is_collapsed=True),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    up = f"max by (instance) ({SCOPE.of_replicas('up')})"
    used = SCOPE.work_rate("rtcmpu_exporter_api_requests_total", by=("account",))
    budget = f"sum by (account) ({SCOPE.series('rtcmpu_exporter_rate_limit_requests_per_second')})"
    return (
        number(
            About(2, "Replicas up", "Exporters that Prometheus reached at its last scrape, of all that it knows."),
            now(some_of_all(f"sum({up})", f"count({up})"), "{{some}} of {{all}}"),
            thresholds=rising(red=1),
            shows_name=True,
        ),
        number(
            About(
                3,
                "Apps with data",
                "Apps whose tasks are published, of all that are configured. Red: data of at least one was withdrawn "
                "since it became too old, or was never there.",
            ),
            now(apps_with_data(SCOPE), "{{some}} of {{all}}"),
            thresholds=rising(red=1),
            shows_name=True,
        ),
        number(
            About(
                4,
                "Oldest data",
                "Since the last accepted sweep, as a share of the age at which data is withdrawn, of the app where it "
                "is the most. A third and below is usual.",
            ),
            now(f"max({share_of_stale_after(SCOPE)})"),
            unit="percentunit",
            decimals=0,
            thresholds=rising(orange=0.7, red=1.0),
            no_value="No sweep yet",
        ),
        number(
            About(
                5,
                "Budget in use",
                "Requests sent as a share of the request budget in force, of the account where it is the most. From "
                "90 % on intervals may be stretched.",
            ),
            now(f"max({used} / {budget})"),
            unit="percentunit",
            decimals=0,
            thresholds=rising(orange=0.9),
            no_value="No requests",
        ),
        number(
            About(
                6,
                "Throttled per min",
                "Answers by which the API asked for fewer requests. Anything above 0 means that someone else uses the "
                "account's limit too, or that the budget is too high.",
            ),
            now(f"60 * {SCOPE.work_rate('rtcmpu_exporter_api_throttled_total')}"),
            decimals=1,
            thresholds=rising(orange=0.1, red=10),
        ),
        number(
            About(
                7,
                "Last reload",
                "Whether the last attempts to load the configuration and the web configuration succeeded, of the "
                "replica where it went worst. After a failure the configuration before stays in force.",
            ),
            now(
                f"min({SCOPE.series('rtcmpu_exporter_config_last_reload_successful')}) * "
                f"(min({SCOPE.series('rtcmpu_exporter_web_config_last_reload_successful')}) or vector(1))"
            ),
            mappings=words({1: ("succeeded", FINE), 0: ("failed", BAD)}),
            no_value="No exporter",
        ),
        number(
            About(
                8,
                "Credentials end in",
                "Until the first temporary credentials in use expire. They are renewed before; orange and red mean "
                "that they were not.",
            ),
            now(f"min({SCOPE.series('rtcmpu_exporter_credentials_expiry_timestamp_seconds')}) - time()"),
            unit="s",
            decimals=0,
            thresholds=rising(BAD, orange=60, green=300),
            no_value="They don't expire",
        ),
        number(
            About(
                9,
                "Clock skew",
                "The largest difference between the API's clock and an exporter's. From 15 minutes on the service "
                "refuses all requests.",
            ),
            now(f"max(abs({SCOPE.series('rtcmpu_exporter_clock_skew_seconds')}))"),
            unit="s",
            thresholds=rising(orange=60, red=600),
            no_value="Not measured yet",
        ),
    )


def _states() -> Panel:
    return timeline(
        About(
            10,
            "State of each app",
            "How the last reading of each app's list went; of update and sweep the worse. Orange passes by itself as "
            "a rule, red needs someone. A gap: no exporter was scraped.",
        ),
        [history(state_code(SCOPE), "{{account}} / {{app_id}}")],
        states(),
        link=drill_down("Open this app", APP_DASHBOARD, APP, of_series=True),
    )
