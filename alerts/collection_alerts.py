"""Alerts about the collection: whether the figures can be trusted, and what to do where they can't."""

from collections.abc import Sequence

from alerts.annotations import annotations
from alerts.rules import Alert, duration, promql
from alerts.thresholds import Links, Thresholds


def collection_alerts(thresholds: Thresholds, links: Links) -> Sequence[Alert]:
    """Return the alerts, the gravest first."""
    return (
        _exporter_down(thresholds, links),
        _replica_down(thresholds, links),
        _authentication_failing(thresholds, links),
        _data_stale(thresholds, links),
        _app_failing(thresholds, links),
        _throttled(thresholds, links),
        _budget_insufficient(thresholds, links),
        _clock_skewed(thresholds, links),
        _credentials_ending(thresholds, links),
        _reload_failed(thresholds, links),
        _series_omitted(thresholds, links),
        _scrape_slow(thresholds, links),
    )


def _exporter_down(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuExporterDown"
    return Alert(
        name=name,
        severity="critical",
        expression=promql(
            """
            sum by (job) (up{job="<job>"}) == 0
            or
            absent(up{job="<job>"})
            """,
            job=links.job,
        ),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="No rtcmpu-exporter answers.",
            description=(
                "Prometheus can scrape no target of job {{ $labels.job }}: nothing is known about any task. "
                "See whether the exporter runs, and what /targets of Prometheus says of the scrape."
            ),
            dashboard="exporter",
        ),
    )


def _replica_down(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuExporterReplicaDown"
    return Alert(
        name=name,
        severity="warning",
        expression=promql(
            """
            count by (job) (up{job="<job>"} == 0)
            and on (job)
            sum by (job) (up{job="<job>"}) > 0
            """,
            job=links.job,
        ),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="A replica of rtcmpu-exporter does not answer.",
            description=(
                "{{ $value }} of the targets of job {{ $labels.job }} can't be scraped, others can. "
                "See which on /targets of Prometheus."
            ),
            dashboard="exporter",
        ),
    )


def _authentication_failing(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuAuthenticationFailing"
    return Alert(
        name=name,
        severity="critical",
        expression=promql(
            """
            count by (account) (
              max by (account, app_id) (rtcmpu_collection_state{state="auth_error"}) == 1
            )
            """
        ),
        for_seconds=thresholds.sustained_seconds,
        keep_firing_seconds=thresholds.keep_firing_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The API refuses the key of an account.",
            description=(
                "The API refuses the key of account {{ $labels.account }}, or the exporter can't get one. Apps that "
                "can't be read: {{ $value }}. Run `rtcmpu-exporter check-config --probe` with the exporter's "
                "configuration: it says which."
            ),
            dashboard="account",
        ),
    )


def _data_stale(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuDataStale"
    return Alert(
        name=name,
        severity="critical",
        # The second part: never read since the exporter was started or the app was added, for just as long.
        expression=promql(
            """
            time() - max by (account, app_id) (
              last_over_time(rtcmpu_collection_last_sweep_timestamp_seconds[<hold>])
            ) > on (account, app_id) max by (account, app_id) (rtcmpu_collection_stale_after_seconds)
            or on (account, app_id)
            (
              0 * max by (account, app_id) (rtcmpu_collection_stale_after_seconds)
              + time() - scalar(max(rtcmpu_exporter_config_last_reload_success_timestamp_seconds))
              > max by (account, app_id) (rtcmpu_collection_stale_after_seconds)
            )
            unless on (account, app_id)
            max by (account, app_id) (
              last_over_time(rtcmpu_collection_last_sweep_timestamp_seconds[<hold>])
            )
            """,
            hold=duration(thresholds.hold_seconds),
        ),
        for_seconds=thresholds.sustained_seconds,
        keep_firing_seconds=thresholds.keep_firing_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The data of an app is too old and is withdrawn.",
            description=(
                "App {{ $labels.app_id }} of account {{ $labels.account }} was last read completely "
                "{{ $value | humanizeDuration }} ago or never: its task metrics are withdrawn, and alerts about its "
                "tasks hold their last state. Look for the reason in rtcmpu_collection_state."
            ),
            dashboard="collection",
        ),
    )


def _app_failing(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuAppFailing"
    return Alert(
        name=name,
        severity="warning",
        # What alternates between two reasons fails for both: hence a state counts for some minutes.
        expression=promql(
            """
            max by (account, app_id, state) (
              max_over_time(rtcmpu_collection_state{state!~"ok|pending|auth_error"}[5m]) == 1
              unless ignoring (state)
              (
                time() - rtcmpu_collection_last_update_timestamp_seconds
                <= <missed> * rtcmpu_collection_interval_seconds + <slack>
                and
                time() - rtcmpu_collection_last_sweep_timestamp_seconds
                <= <missed> * rtcmpu_collection_sweep_interval_seconds + <slack>
              )
            )
            """,
            missed=f"{thresholds.missed_intervals:g}",
            slack=thresholds.scrape_slack_seconds,
        ),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="An app can't be read.",
            description=(
                "App {{ $labels.app_id }} of account {{ $labels.account }} was not brought up to date for more than "
                f"{thresholds.missed_intervals:g} intervals: {{{{ $labels.state }}}}. Its last data is served until "
                "it is too old. The exporter's status page has the reason in plain words."
            ),
            dashboard="collection",
        ),
    )


def _throttled(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuThrottled"
    return Alert(
        name=name,
        severity="warning",
        expression=promql(
            """
            60 * sum by (account) (rate(rtcmpu_exporter_api_throttled_total[10m])) > <limit>
            """,
            limit=f"{thresholds.throttled_answers_per_minute:g}",
        ),
        for_seconds=thresholds.lasting_seconds,
        keep_firing_seconds=thresholds.keep_firing_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The API throttles an account.",
            description=(
                "The API refuses {{ $value | humanize }} requests a minute of account {{ $labels.account }}. "
                "Who else uses the account's 50 requests a second? Lower requests_per_second of this exporter, or of "
                "the other."
            ),
            dashboard="account",
        ),
    )


def _budget_insufficient(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuBudgetInsufficient"
    return Alert(
        name=name,
        severity="warning",
        expression=f"max by (account) (rtcmpu_collection_interval_stretch_ratio) > {thresholds.stretch_ratio:g}",
        for_seconds=thresholds.lasting_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The request budget of an account does not suffice for the configured intervals.",
            description=(
                "The apps of account {{ $labels.account }} are read {{ $value | humanize }} times less often than "
                "configured. Give the account a larger share of requests_per_second, or longer intervals: "
                "`rtcmpu-exporter check-config` forecasts both."
            ),
            dashboard="account",
        ),
    )


def _clock_skewed(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuClockSkewed"
    return Alert(
        name=name,
        severity="warning",
        expression=(f"max by (account) (abs(rtcmpu_exporter_clock_skew_seconds)) > {thresholds.clock_skew_seconds:g}"),
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The exporter's clock and the API's differ.",
            description=(
                "Seen from account {{ $labels.account }}, the clocks are {{ $value | humanizeDuration }} apart. At 15 "
                "minutes the API refuses signatures, and ages of data are wrong already. Check time synchronisation "
                "on the exporter's machine."
            ),
            dashboard="account",
        ),
    )


def _credentials_ending(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuCredentialsEnding"
    return Alert(
        name=name,
        severity="warning",
        expression=promql(
            """
            min by (account) (rtcmpu_exporter_credentials_expiry_timestamp_seconds) - time() < <left>
            """,
            left=thresholds.credentials_left_seconds,
        ),
        for_seconds=min(60, thresholds.sustained_seconds),
        annotations=annotations(
            name,
            links=links,
            summary="Temporary credentials are not renewed and end soon.",
            description=(
                "The key of account {{ $labels.account }} ends in {{ $value | humanizeDuration }}, and the renewal "
                "that should have happened by now did not succeed. The exporter's log says why."
            ),
            dashboard="account",
        ),
    )


def _reload_failed(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuReloadFailed"
    return Alert(
        name=name,
        severity="warning",
        expression="min by (job) (rtcmpu_exporter_config_last_reload_successful) == 0",
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="The configuration could not be reloaded.",
            description=(
                "An exporter of job {{ $labels.job }} refuses its new configuration and goes on with the one before; "
                "a restart would fail. Run `rtcmpu-exporter check-config` on the file: it names every mistake."
            ),
            dashboard="exporter",
        ),
    )


def _series_omitted(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuSeriesOmitted"
    return Alert(
        name=name,
        severity="warning",
        expression="max by (path) (rtcmpu_exporter_series_omitted) > 0",
        for_seconds=thresholds.sustained_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="Series are left out because a configured limit is reached.",
            description=(
                "{{ $value | humanize }} series are missing on {{ $labels.path }}. Raise the limit of the "
                "configuration (metrics.per_task.max_series), or collect fewer apps."
            ),
            dashboard="exporter",
        ),
    )


def _scrape_slow(thresholds: Thresholds, links: Links) -> Alert:
    name = "RtcmpuScrapeSlow"
    return Alert(
        name=name,
        severity="warning",
        expression=promql(
            """
            max by (job) (scrape_duration_seconds{job="<job>"}) > <limit>
            """,
            job=links.job,
            limit=f"{thresholds.scrape_seconds:g}",
        ),
        for_seconds=thresholds.lasting_seconds,
        annotations=annotations(
            name,
            links=links,
            summary="Scrapes of the exporter take long.",
            description=(
                "A scrape of job {{ $labels.job }} takes {{ $value | humanizeDuration }}; milliseconds are usual. "
                "Compare rtcmpu_exporter_event_loop_lag_seconds, the CPU that the exporter may use, and the network."
            ),
            dashboard="exporter",
        ),
    )
