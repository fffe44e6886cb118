"""How the exporter collects: each app's ages and failures, requests within their budget, and what sweeps cost."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.layout import Band, pair
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import drill_down
from grafana.parts.looks import FINE, limit, rising, states
from grafana.parts.panels import About, distribution, graph
from grafana.parts.queries import APP, Scope, share_of_stale_after, state_code, sweep_age
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.targets import history

OF_APP: Final = "{{account}} / {{app_id}}"
TO_APP: Final = drill_down("Open this app", APP_DASHBOARD, APP)


def collection_of_apps(scope: Scope) -> Panel:
    """Return each app's ages against its intervals."""

    def ago(title: str, sample: str) -> Queried:
        return Queried(title=title, query=f"time() - {scope.each(sample)}", unit="s", decimals=0, width=100)

    def said(title: str, sample: str, unit: str = "s") -> Queried:
        return Queried(title=title, query=scope.each(sample), unit=unit, width=100)

    return rows_and_columns(
        About(
            11,
            "Collection of each app",
            "Ages beside the intervals in force. An update should not be older than a few update intervals, a sweep "
            "not older than two sweep intervals. Stretch above 1: the request budget does not suffice for the "
            "configured intervals.",
        ),
        (
            Labelled(title="App", label="app_id", links=(TO_APP,)),
            Labelled(title="Account", label="account", width=110),
            Queried(title="State", query=state_code(scope), mappings=states(), width=130),
            Queried(
                title="Complete",
                query=scope.each("rtcmpu_up"),
                width=90,
                thresholds=rising("red", green=1),
                unit="bool_yes_no",
            ),
            ago("Attempt", "rtcmpu_collection_last_attempt_timestamp_seconds"),
            ago("Update", "rtcmpu_collection_last_update_timestamp_seconds"),
            said("every", "rtcmpu_collection_interval_seconds"),
            Queried(title="Sweep", query=sweep_age(scope), unit="s", decimals=0, width=100),
            said("at least every", "rtcmpu_collection_sweep_interval_seconds"),
            said("Stale after", "rtcmpu_collection_stale_after_seconds"),
            Queried(
                title="Stretch",
                query=scope.each("rtcmpu_collection_interval_stretch_ratio"),
                unit="none",
                decimals=2,
                thresholds=rising("text", orange=1.01, red=4),
                width=80,
            ),
            said("Sweep took", "rtcmpu_collection_duration_seconds"),
            said("Requests", "rtcmpu_collection_requests", unit="short"),
        ),
        sorted_by="State",
        no_value="No app is configured, or no exporter is scraped",
    )


def ages(scope: Scope) -> Band:
    """Return how old the data of each app is, against what holds for it."""
    since = f"time() - {scope.each('rtcmpu_collection_last_update_timestamp_seconds')}"
    return pair(
        graph(
            About(
                21,
                "Age of sweeps",
                "Since the last accepted sweep, as a share of the age at which the data is withdrawn (red line).",
            ),
            [history(share_of_stale_after(scope), OF_APP)],
            unit="percentunit",
            limit=limit(red=1.0),
            soft_highest=1,
            many_series=True,
            no_value="No sweep yet",
        ),
        graph(
            About(
                22,
                "Age of updates, in intervals",
                "Since the last successful update, counted in update intervals in force. One to two is usual; above "
                "the orange line updates fail or wait.",
            ),
            [history(f"({since}) / {scope.each('rtcmpu_collection_interval_seconds')}", OF_APP)],
            unit="none",
            decimals=1,
            limit=limit(orange=5),
            soft_highest=5,
            many_series=True,
            no_value="No update yet",
        ),
    )


def failures(scope: Scope) -> Band:
    """Return what did not succeed, or was not even tried."""
    failed = scope.work_rate("rtcmpu_collection_attempts_total", 'outcome!="ok"', by=("account", "kind", "outcome"))
    skipped = scope.work_rate("rtcmpu_exporter_sweeps_skipped_total", by=("reason",))
    stretched = f"max by (account) ({scope.series('rtcmpu_collection_interval_stretch_ratio')})"
    return pair(
        graph(
            About(
                23,
                "Failed attempts per minute",
                "Updates and sweeps that did not succeed, by how they ended. Single ones are repeated soon and harm "
                "nothing.",
            ),
            [history(f"60 * {failed} > 0", "{{account}} {{kind}} {{outcome}}")],
            no_value="Nothing failed",
        ),
        graph(
            About(
                24,
                "Stretched intervals and skipped sweeps",
                "The factor by which intervals are stretched (1: as configured), and sweeps a minute that were due "
                "and did not start: `still_running`, no `budget`, or `backoff` after failures.",
            ),
            (
                history(stretched, "stretch {{account}}"),
                history(f"60 * {skipped} > 0", "skipped {{reason}}", ref="B"),
            ),
            unit="none",
            decimals=2,
        ),
    )


def requests(scope: Scope) -> tuple[Band, ...]:
    """Return what is asked of the API, and how it answers."""
    sent = "rtcmpu_exporter_api_requests_total"
    budget = f"sum by (account) ({scope.series('rtcmpu_exporter_rate_limit_requests_per_second')})"
    wait = "rtcmpu_exporter_rate_limit_wait_seconds"
    retries = scope.work_rate("rtcmpu_exporter_api_retries_total", by=("reason",))
    throttled = scope.work_rate("rtcmpu_exporter_api_throttled_total", by=("account",))
    latency = scope.work_rate("rtcmpu_exporter_api_request_duration_seconds_bucket", by=("le",))
    return (
        pair(
            graph(
                About(31, "Requests by outcome", "Requests a second by how they ended, repeated ones too, stacked."),
                [history(f"{scope.work_rate(sent, by=('outcome',))} > 0", "{{outcome}}")],
                unit="reqps",
                stacked=True,
                colours={"ok": FINE},
                no_value="No requests",
            ),
            graph(
                About(
                    32,
                    "Requests and budget",
                    "Requests a second of each account, and the budget in force (dashed), over all replicas. The "
                    "budget falls after throttling and recovers slowly.",
                ),
                (
                    history(scope.work_rate(sent, by=("account",)), "{{account}}"),
                    history(budget, "budget {{account}}", ref="B"),
                ),
                unit="reqps",
                dashed="budget .*",
            ),
        ),
        pair(
            distribution(
                About(
                    33,
                    "Time of requests",
                    "From sending a request to the end of its answer. Each column is a moment; the stronger "
                    "a cell's colour, the more requests a second took that long.",
                ),
                latency,
                unit="s",
            ),
            graph(
                About(
                    34,
                    "Waiting for a turn",
                    "Nineteen of 20 requests wait less than this for their turn, by what they are for. "
                    "Updates go first; sweeps may wait for seconds.",
                ),
                [history(scope.work_quantile(0.95, wait, by=("priority",)), "{{priority}}")],
                unit="s",
                no_value="No requests",
            ),
        ),
        pair(
            graph(
                About(35, "Throttled per minute", "Answers by which the API asked for fewer requests. 0 is well."),
                [history(f"60 * {throttled}", "{{account}}")],
                soft_highest=1,
            ),
            graph(
                About(36, "Retries per minute", "Requests that were sent again, by why the first attempt failed."),
                [history(f"60 * {retries} > 0", "{{reason}}")],
                no_value="Nothing was sent again",
            ),
        ),
    )


def sweeps(scope: Scope) -> tuple[Band, ...]:
    """Return what the last sweep of each app cost, and what it repaired."""

    def last_sweep(id_: int, title: str, description: str, sample: str, unit: str = "short") -> Panel:
        query = history(scope.each(sample), OF_APP)
        return graph(About(id_, title, description), [query], unit=unit, many_series=True, no_value="No sweep yet")

    repairs, duplicates = "rtcmpu_collection_repairs_total", "rtcmpu_collection_duplicates_seen_total"
    unmoved, doubtful = "rtcmpu_collection_unmoved_changes", "rtcmpu_collection_doubtful_tasks"
    return (
        pair(
            last_sweep(
                41,
                "Duration",
                "How long the last sweep of each app took, waits for the budget included.",
                "rtcmpu_collection_duration_seconds",
                "s",
            ),
            last_sweep(
                42,
                "Requests",
                "Requests that the last sweep took. It grows with the app's tasks, 100 at most in each.",
                "rtcmpu_collection_requests",
            ),
        ),
        pair(
            graph(
                About(
                    43,
                    "Repaired tasks per hour",
                    "Tasks that sweeps missed because the list moved, and that were found again. Above 0 is no fault: "
                    "naive paging would lose them.",
                ),
                [history(f"3600 * {scope.rate(repairs, by=APP)}", OF_APP)],
                many_series=True,
                no_value="No sweep yet",
            ),
            graph(
                About(
                    44,
                    "A list that moves",
                    "Rows an hour that came more than once in a sweep, and changes that the last sweep found below the "
                    "front of the list. The latter above 0: the service does not move every change to the front, so "
                    "some show only with the sweep. Doubtful tasks are those that a lookup can't settle.",
                ),
                (
                    history(f"3600 * {scope.rate(duplicates, by=('account',))}", "duplicate rows per hour {{account}}"),
                    history(scope.total(unmoved, by=("account",)), "unmoved changes {{account}}", ref="B"),
                    history(scope.total(doubtful, by=("account",)), "doubtful tasks {{account}}", ref="C"),
                ),
                no_value="No sweep yet",
            ),
        ),
    )
