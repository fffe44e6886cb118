"""Exporter: whether what the other dashboards show can be trusted now, and if not, why."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from grafana.parts.layout import Band, Section, finished, graphs
from grafana.parts.links import EXPORTER, OVERVIEW, page, sibling
from grafana.parts.looks import BAD, FINE, limit, rising, states, words
from grafana.parts.panels import graph, note, number, timeline
from grafana.parts.queries import (
    Scope,
    above_zero,
    or_nothing,
    share_of_stale_after,
    some_of_all,
    state_code,
    sweep_age,
)
from grafana.parts.shared import OF_APP, app_columns, oldest_data, timeline_of_apps, with_data
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.variables import variables

SCOPE: Final = Scope({"job": "job", "instance": "instance", "account": "account", "app_id": "app_id"})
NOTE: Final = (
    "**Can the numbers be trusted now?** How old they are, whether they are complete, which app fails and why. What the"
    " exporter reads is configuration, not stream health. [Its own status page](${exporter_url}/)"
)
SENT: Final = "rtcmpu_exporter_api_requests_total"
BUDGET: Final = f"sum by (account) ({SCOPE.series('rtcmpu_exporter_rate_limit_requests_per_second')})"
UP: Final = f"max by (instance) ({SCOPE.of_replicas('up')})"
NO_STORAGE: Final = "No exporter has storage"


def exporter() -> Dashboard:
    """Return the dashboard."""
    return finished(
        "MPU relay tasks / Exporter",
        EXPORTER,
        "Whether the numbers can be trusted: state and age of each app's data, requests and budget, sweeps, storage "
        "and sharing, and the exporter's process.",
        variables=variables(SCOPE),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            Band(4, _numbers()),
            Band(8, (_states(), _replicas()), (11, 13)),
            Band(9, (_collection(),)),
        ),
        sections=(
            Section(20, "How old is the data, and what fails?", (_failures(),)),
            Section(30, "Is the request budget enough?", (_requests(),)),
            Section(40, "What do sweeps find that updates miss?", (_sweeps(),)),
            Section(70, "Do storage and sharing work?", _storage()),
            Section(50, "How is the process?", _process()),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    used = SCOPE.work_rate(SENT, by=("account",))
    builds = SCOPE.series("rtcmpu_exporter_build_info")
    status = page("The status page", "/")
    return (
        number(
            2,
            "Replicas up",
            "Exporters that Prometheus reached at its last scrape, of those that it scraped within a day.",
            {"{{some}} of {{all}}": some_of_all(f"sum({UP})", f"count({UP})")},
            thresholds=rising(red=1),
            shows_name=True,
            link=status,
        ),
        with_data(3, SCOPE, sibling("Open Overview", OVERVIEW)),
        oldest_data(4, SCOPE, sibling("Open Overview", OVERVIEW)),
        number(
            5,
            "Budget in use",
            "Requests sent as a share of the request budget in force, of the account where it is the most. From 90 % "
            "on intervals may be stretched.",
            f"max({used} / {BUDGET})",
            unit="percentunit",
            decimals=0,
            thresholds=rising(orange=0.9),
            link=status,
        ),
        number(
            6,
            "Throttled per min",
            "Answers by which the API asked for fewer requests. Anything above 0 means that someone else uses the "
            "account's limit too, or that the budget is too high.",
            f"60 * {SCOPE.work_rate('rtcmpu_exporter_api_throttled_total')}",
            decimals=1,
            thresholds=rising(orange=0.1, red=10),
            link=status,
        ),
        number(
            7,
            "Last reload",
            "Whether the last attempts to load the configuration and the web configuration succeeded, of the replica "
            "where it went worst. After a failure the configuration before stays in force.",
            f"min({SCOPE.series('rtcmpu_exporter_config_last_reload_successful')}) * "
            f"(min({SCOPE.series('rtcmpu_exporter_web_config_last_reload_successful')}) or vector(1))",
            mappings=words({1: ("succeeded", FINE), 0: ("failed", BAD)}),
            link=page("The configuration in force", "/config"),
        ),
        number(
            8,
            "Credentials end in",
            "Until the first temporary credentials in use expire. They are renewed before; orange and red mean that "
            "they were not.",
            or_nothing(f"min({SCOPE.series('rtcmpu_exporter_credentials_expiry_timestamp_seconds')}) - time()", builds),
            unit="s",
            decimals=0,
            thresholds=rising(BAD, orange=60, green=300),
            nothing="They don't expire",
            link=status,
        ),
        number(
            9,
            "Clock skew",
            "The largest difference between the API's clock and an exporter's. From 15 minutes on the service refuses "
            "all requests.",
            f"max(abs({SCOPE.series('rtcmpu_exporter_clock_skew_seconds')}))",
            unit="s",
            thresholds=rising(orange=60, red=600),
            link=status,
        ),
    )


def _states() -> Panel:
    return timeline_of_apps(
        10,
        "Readings of each app",
        "How the last reading of each app's list went; of update and sweep the worse. Orange passes by itself as a "
        "rule, red needs someone.",
        state_code(SCOPE),
        states(),
    )


def _replicas() -> Panel:
    reloaded = SCOPE.each_replica("rtcmpu_exporter_config_last_reload_success_timestamp_seconds")
    started = f"max by (instance) ({SCOPE.of_replicas('process_start_time_seconds')})"
    configured = SCOPE.each_replica("rtcmpu_exporter_config_info")
    return rows_and_columns(
        51,
        "Replicas",
        "Each exporter that Prometheus knows. Replicas of one job should have the same version and configuration: "
        "here is the beginning of its hash.",
        (
            Labelled("Instance", "instance"),
            Queried("Scraped", UP, 95, mappings=words({1: ("up", FINE), 0: ("down", BAD)})),
            Labelled("Version", "version", 85),
            Labelled("Revision", "revision", 90),
            Labelled("Python", "python_version", 80),
            Labelled("Configuration", "sha256", 120),
            Queried("", SCOPE.each_replica("rtcmpu_exporter_build_info")),
            Queried("", f'label_replace({configured}, "sha256", "$1", "sha256", "(.{{8}}).*")'),
            Queried("Runs for", f"time() - {started}", 95, "s", decimals=1),
            Queried("Loaded before", f"time() - {reloaded}", 120, "s", decimals=1),
        ),
        sorted_by=("Scraped", "Instance"),
        no_value="No exporter is scraped",
    )


def _collection() -> Panel:
    def ago(title: str, sample: str) -> Queried:
        return Queried(title, f"time() - {SCOPE.each(sample)}", 110, "s", 0)

    def published(title: str, sample: str, width: int = 130, unit: str = "s") -> Queried:
        return Queried(title, SCOPE.each(sample), width, unit)

    stretch = SCOPE.each("rtcmpu_collection_interval_stretch_ratio")
    return rows_and_columns(
        11,
        "Collection of each app",
        "Ages beside the intervals in force, the worst state first. An update should not be older than a few update "
        "intervals, a sweep not older than two sweep intervals. Stretch above 1: the request budget does not suffice "
        "for the configured intervals.",
        (
            Queried("State", state_code(SCOPE), 130, mappings=states()),
            *app_columns(None),
            Queried("Complete", SCOPE.each("rtcmpu_up"), 85, "bool_yes_no", thresholds=rising("red", green=1)),
            ago("Last attempt", "rtcmpu_collection_last_attempt_timestamp_seconds"),
            ago("Last update", "rtcmpu_collection_last_update_timestamp_seconds"),
            published("Update interval", "rtcmpu_collection_interval_seconds"),
            Queried("Last sweep", sweep_age(SCOPE), 120, "s", 0),
            published("Sweep interval", "rtcmpu_collection_sweep_interval_seconds"),
            published("Stale after", "rtcmpu_collection_stale_after_seconds", 95),
            Queried("Stretch", stretch, 75, "none", 2, rising("text", orange=1.01, red=4)),
            published("Sweep took", "rtcmpu_collection_duration_seconds", 95),
            published("Requests", "rtcmpu_collection_requests", 85, "short"),
        ),
        sorted_by=("-State", "-Last sweep"),
        no_value="No app is configured, or no exporter is scraped",
    )


def _failures() -> Band:
    failed = SCOPE.work_rate("rtcmpu_collection_attempts_total", 'outcome!="ok"', by=("account", "kind", "outcome"))
    skipped = SCOPE.work_rate("rtcmpu_exporter_sweeps_skipped_total", by=("reason",))
    return graphs(
        graph(
            21,
            "Age of sweeps",
            "Since the last accepted sweep, as a share of the age at which the data is withdrawn (red line).",
            {OF_APP: share_of_stale_after(SCOPE)},
            unit="percentunit",
            limit=limit(red=1.0),
            soft_highest=1,
            many_series=True,
        ),
        graph(
            23,
            "Failed attempts per minute",
            "Updates and sweeps that did not succeed, by how they ended. Single ones are repeated soon.",
            {"{{account}} {{kind}} {{outcome}}": above_zero(f"60 * {failed}", "outcome")},
        ),
        graph(
            24,
            "Stretched intervals and skipped sweeps",
            "The factor by which intervals are stretched (1: as configured), and sweeps a minute that were due and "
            "did not start: `still_running`, no `budget`, or `backoff` after failures.",
            {
                "stretch {{account}}": f"max by (account) ({SCOPE.series('rtcmpu_collection_interval_stretch_ratio')})",
                "skipped {{reason}}": f"60 * {skipped} > 0",
            },
            unit="none",
            decimals=2,
        ),
    )


def _requests() -> Band:
    wait, took = "rtcmpu_exporter_rate_limit_wait_seconds", "rtcmpu_exporter_api_request_duration_seconds"
    return graphs(
        graph(
            31,
            "Requests by outcome",
            "Requests a second by how they ended, repeated ones too, stacked.",
            {"{{outcome}}": f"{SCOPE.work_rate(SENT, by=('outcome',))} > 0"},
            unit="reqps",
            stacked=True,
        ),
        graph(
            32,
            "Requests and budget",
            "Requests a second of each account, and the budget in force (dashed), over all replicas. The budget "
            "falls after throttling and recovers slowly.",
            {"{{account}}": SCOPE.work_rate(SENT, by=("account",)), "budget {{account}}": BUDGET},
            unit="reqps",
            dashed="budget ",
        ),
        graph(
            34,
            "Time of requests and of waiting for a turn",
            "How long 95 % of the requests take at most from sending to the end of the answer, and wait for their "
            "turn, by what they are for. Updates go first; sweeps may wait for seconds.",
            {
                "answer": SCOPE.work_quantile(0.95, took),
                "wait of {{priority}}": SCOPE.work_quantile(0.95, wait, by=("priority",)),
            },
            unit="s",
        ),
    )


def _sweeps() -> Band:
    repairs, duplicates = "rtcmpu_collection_repairs_total", "rtcmpu_collection_duplicates_seen_total"
    return graphs(
        graph(
            43,
            "Repairs of a list that moved, per hour",
            "Tasks that sweeps missed because the list moved, and that were found again; and rows that came twice. "
            "Above 0 is no fault: naive paging would lose tasks.",
            {
                "repaired tasks {{account}}": f"3600 * {SCOPE.rate(repairs, by=('account',))}",
                "repeated rows {{account}}": f"3600 * {SCOPE.rate(duplicates, by=('account',))}",
            },
        ),
        graph(
            44,
            "What updates don't see",
            "Changes that the last sweep found below the front of the list: the service does not move every change to "
            "the front, so some show only with the sweep. Doubtful tasks are those that a lookup can't settle.",
            {
                "late changes {{account}}": SCOPE.total("rtcmpu_collection_unmoved_changes", by=("account",)),
                "doubtful tasks {{account}}": SCOPE.total("rtcmpu_collection_doubtful_tasks", by=("account",)),
            },
        ),
    )


def _storage() -> tuple[Band, Band]:
    lost = SCOPE.work_rate("rtcmpu_exporter_storage_changes_lost_total", by=("instance",))
    return (
        graphs(
            timeline(
                71,
                "Database",
                "Whether each exporter could use its database at the last attempt. While it can't, collection goes "
                "on, and what is new waits in memory.",
                {"{{instance}}": SCOPE.each_replica("rtcmpu_exporter_storage_up")},
                words({1: ("usable", FINE), 0: ("failing", BAD)}),
                no_value=NO_STORAGE,
            ),
            timeline(
                74,
                "Who collects each account",
                "Which exporter holds the lease of each account's request budget: it alone collects the account's "
                "apps. Several at once, or none, are wrong beyond moments. A rolling update moves each lease once for "
                "each exporter; more moves mean that leases expire while their holders live.",
                {"{{account}} · {{instance}}": SCOPE.each_replica("rtcmpu_exporter_lease_held")},
                words({1: ("holds it", FINE), 0: ("stands by", "text")}),
                no_value="No exporter shares budgets",
            ),
        ),
        graphs(
            graph(
                72,
                "What is not in the database yet",
                "Seconds since the oldest reading that is not written, and changes per minute that were lost because "
                "too many waited. Above the red line an alert fires.",
                {
                    "seconds {{instance}}": SCOPE.each_replica("rtcmpu_exporter_storage_write_lag_seconds"),
                    "lost per minute {{instance}}": f"60 * {lost}",
                },
                limit=limit(red=60),
                no_value=NO_STORAGE,
            ),
            graph(
                73,
                "Size of the database",
                "On its disk, indexes and write-ahead log included. It grows until `storage.retention` is reached.",
                {"{{instance}}": SCOPE.each_replica("rtcmpu_exporter_storage_size_bytes")},
                unit="bytes",
                no_value=NO_STORAGE,
            ),
        ),
    )


def _process() -> tuple[Band, Band]:
    return (
        graphs(
            graph(
                52,
                "Memory",
                "Resident memory of each replica. It grows with the number of tasks.",
                {"{{instance}}": SCOPE.of_replicas("process_resident_memory_bytes")},
                unit="bytes",
            ),
            graph(
                53,
                "CPU",
                "Cores that each replica uses; 1 would be a whole one, and more than it has.",
                {"{{instance}}": SCOPE.rate_of_replicas("process_cpu_seconds_total")},
                unit="none",
                decimals=2,
            ),
            graph(
                54,
                "Event loop lag",
                "The longest delay of the event loop in the last minute. Above the orange line requests, scrapes "
                "and probes wait noticeably.",
                {"{{instance}}": SCOPE.each_replica("rtcmpu_exporter_event_loop_lag_seconds")},
                unit="s",
                limit=limit(orange=0.1),
            ),
        ),
        graphs(
            graph(
                55,
                "Rendering and scraping",
                "How long the last rendering of changed families took, and the last scrape.",
                {
                    "rendering {{path}} {{instance}}": SCOPE.each_replica("rtcmpu_exporter_render_duration_seconds"),
                    "scraping {{instance}}": SCOPE.of_replicas("scrape_duration_seconds"),
                },
                unit="s",
            ),
            graph(
                57,
                "Log messages per minute",
                "Shown messages by level, and exceptions inside the exporter. The log says more about errors.",
                {
                    "{{level}}": f"60 * {SCOPE.work_rate('rtcmpu_exporter_log_messages_total', by=('level',))}",
                    "exceptions": f"60 * {SCOPE.work_rate('rtcmpu_exporter_internal_errors_total')}",
                },
            ),
            graph(
                61,
                "Series published and left out",
                "Series about apps on each path, and those that a configured limit leaves out.",
                {
                    "published {{path}}": SCOPE.each("rtcmpu_exporter_series"),
                    "left out {{path}}": SCOPE.each("rtcmpu_exporter_series_omitted"),
                },
            ),
        ),
    )
