"""The exporter's process: which versions run, what they cost, and what they say."""

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.layout import Band, pair
from grafana.parts.looks import BAD, FINE, WARNING, limit, words
from grafana.parts.panels import About, graph
from grafana.parts.queries import Scope
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.targets import history


def replicas(scope: Scope) -> Panel:
    """Return each replica with its version and configuration."""
    reloaded = scope.each_replica("rtcmpu_exporter_config_last_reload_success_timestamp_seconds")
    return rows_and_columns(
        About(
            51,
            "Replicas",
            "Each exporter that Prometheus knows. Replicas of one job should have the same version and configuration.",
        ),
        (
            Labelled(title="Instance", label="instance", width=200),
            Queried(
                title="Scraped",
                query=f"max by (instance) ({scope.of_replicas('up')})",
                mappings=words({1: ("up", FINE), 0: ("down", BAD)}),
                width=90,
            ),
            Labelled(title="Version", label="version", width=110),
            Labelled(title="Python", label="python_version", width=90),
            Labelled(title="Configuration", label="sha256"),
            Queried(title="Build", query=scope.each_replica("rtcmpu_exporter_build_info"), is_hidden=True),
            Queried(title="Config", query=scope.each_replica("rtcmpu_exporter_config_info"), is_hidden=True),
            Queried(
                title="Started",
                query=f"1000 * max by (instance) ({scope.of_replicas('process_start_time_seconds')})",
                unit="dateTimeAsLocal",
                width=170,
            ),
            Queried(title="Loaded", query=f"1000 * {reloaded}", unit="dateTimeAsLocal", width=170),
        ),
        sorted_by="Instance",
        descending=False,
        no_value="No exporter is scraped",
    )


def process(scope: Scope) -> tuple[Band, ...]:
    """Return what the process costs, and whether it keeps up."""
    memory, cpu = (
        scope.of_replicas("process_resident_memory_bytes"),
        scope.rate_of_replicas("process_cpu_seconds_total"),
    )
    return (
        pair(
            graph(
                About(52, "Memory", "Resident memory of each replica. It grows with the number of tasks."),
                [history(memory, "{{instance}}")],
                unit="bytes",
            ),
            graph(
                About(53, "CPU", "Cores that each replica uses; 1 would be a whole one, and more than it has."),
                [history(cpu, "{{instance}}")],
                unit="none",
                decimals=2,
            ),
        ),
        pair(
            graph(
                About(
                    54,
                    "Event loop lag",
                    "The longest delay of the event loop in the last minute. Above the orange line requests, scrapes "
                    "and probes wait noticeably.",
                ),
                [history(scope.each_replica("rtcmpu_exporter_event_loop_lag_seconds"), "{{instance}}")],
                unit="s",
                limit=limit(orange=0.1),
            ),
            graph(
                About(
                    55,
                    "Rendering and scraping",
                    "How long the last rendering of changed families took, and how long Prometheus waited for its "
                    "last scrape.",
                ),
                (
                    history(
                        scope.each_replica("rtcmpu_exporter_render_duration_seconds"), "rendering {{path}} {{instance}}"
                    ),
                    history(scope.of_replicas("scrape_duration_seconds"), "scraping {{instance}}", ref="B"),
                ),
                unit="s",
            ),
        ),
        pair(
            graph(
                About(
                    56,
                    "Clock skew",
                    "The API's clock minus the exporter's, as last measured. From 15 minutes on the service refuses "
                    "all requests.",
                ),
                [history(scope.each_replica("rtcmpu_exporter_clock_skew_seconds"), "{{instance}} {{account}}")],
                unit="s",
                lowest=None,
                no_value="Not measured yet",
            ),
            graph(
                About(
                    57,
                    "Log messages per minute",
                    "Messages that were shown, by level, and exceptions inside the exporter by part. Errors deserve a "
                    "look into the log.",
                ),
                (
                    history(
                        f"60 * {scope.work_rate('rtcmpu_exporter_log_messages_total', by=('level',))}", "{{level}}"
                    ),
                    history(
                        f"60 * {scope.work_rate('rtcmpu_exporter_internal_errors_total', by=('part',))}",
                        "exceptions: {{part}}",
                        ref="B",
                    ),
                ),
                colours={"error": BAD, "critical": BAD, "warning": WARNING},
            ),
        ),
    )


def details(scope: Scope) -> tuple[Band, ...]:
    """Return what is rarely asked for."""
    answered = scope.work_rate("rtcmpu_exporter_http_requests_total", by=("path", "code"))
    expiry = scope.each_replica("rtcmpu_exporter_credentials_expiry_timestamp_seconds")
    collected = scope.rate_of_replicas("python_gc_collections_total")
    return (
        pair(
            graph(
                About(61, "Series by path", "Series about apps that each path of the exporter publishes."),
                [history(scope.each("rtcmpu_exporter_series"), "{{path}}")],
                many_series=True,
            ),
            graph(
                About(
                    62,
                    "Series left out",
                    "Series that are not published because a configured limit is reached. 0 is well.",
                ),
                [history(scope.each("rtcmpu_exporter_series_omitted"), "{{path}}")],
                soft_highest=1,
            ),
        ),
        pair(
            graph(
                About(
                    63,
                    "HTTP requests by path and status",
                    "Requests a second that the exporter answered, by the route and the status.",
                ),
                [history(f"{answered} > 0", "{{path}} {{code}}")],
                unit="reqps",
                many_series=True,
                no_value="No requests",
            ),
            graph(
                About(
                    64,
                    "Credentials end in",
                    "Until temporary credentials in use expire. A saw is usual: they are renewed before.",
                ),
                [history(f"{expiry} - time()", "{{instance}} {{account}}")],
                unit="s",
                no_value="They don't expire",
            ),
        ),
        pair(
            graph(
                About(65, "Open file descriptors", "Connections and files of each replica, and their limit (dashed)."),
                (
                    history(scope.of_replicas("process_open_fds"), "{{instance}}"),
                    history(scope.of_replicas("process_max_fds"), "limit {{instance}}", ref="B"),
                ),
                dashed="limit .*",
            ),
            graph(
                About(
                    66,
                    "Garbage collections per minute",
                    "Runs of Python's collector by generation; many of generation 2 cost time.",
                ),
                [history(f"60 * sum by (generation) ({collected})", "{{generation}}")],
            ),
        ),
    )
