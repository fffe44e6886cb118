"""Cases of the alerts about the collection: each fires at its minute, for what it should, and not before."""

from typing import Any, Final

from tests.alerts.alert_cases import STALE, Case, Firing, away, begins, healthy, of_app, restarting, series

MINUTES: Final = 45
OF_APP: Final = {"account": "prod", "app_id": "live"}


def of_account(account: str, severity: str, value: object) -> Firing:
    """Return an alert about an account."""
    return Firing(labels={"account": account, "severity": severity}, value=str(value))


def of_job(value: str = "", *, severity: str = "warning", **labels: str) -> Firing:
    """Return an alert about the exporters of the job."""
    return Firing(labels={"job": "rtcmpu", "severity": severity, **labels}, value=value)


def stale(age: str) -> Firing:
    """Return the alert that an app's data is too old."""
    return Firing(labels={**OF_APP, "severity": "critical"}, value=age)


def failing(state: str) -> Firing:
    """Return the alert that an app can't be read."""
    return Firing(labels={**OF_APP, "state": state, "severity": "warning"})


DOWN: Final = of_job(severity="critical")
EXPORTER_DOWN: Final = "RtcmpuExporterDown"
REPLICA_DOWN: Final = "RtcmpuExporterReplicaDown"
AUTHENTICATION: Final = "RtcmpuAuthenticationFailing"
DATA_STALE: Final = "RtcmpuDataStale"
APP_FAILING: Final = "RtcmpuAppFailing"


def in_state(state: str, *, since: int, instance: str = "one", interval: float = 10) -> dict[str, Any]:
    """Return an app that is in a state from a minute on, without a success."""
    bad = [0] * since + [1] * (MINUTES - since)
    success = [60.0 * min(minute, since - 1) for minute in range(MINUTES)]
    return {
        of_app("rtcmpu_collection_state", state="ok", instance=instance): [1 - one for one in bad],
        of_app("rtcmpu_collection_state", state=state, instance=instance): bad,
        of_app("rtcmpu_collection_last_update_timestamp_seconds", instance=instance): success,
        of_app("rtcmpu_collection_last_sweep_timestamp_seconds", instance=instance): success,
        of_app("rtcmpu_collection_interval_seconds", instance=instance): [interval] * MINUTES,
        of_app("rtcmpu_up", instance=instance): [1 - one for one in bad],
    }


UNREAD: Final = "RtcmpuAppsUnread"


CASES: Final = (
    Case(
        about="An exporter that can't be scraped for five minutes is down.",
        alert=EXPORTER_DOWN,
        world=healthy(30) | {series("up"): [1] * 10 + [0] * 20},
        fires={"14m": [], "15m": [DOWN]},
    ),
    Case(
        about="A job that has no target at all is down too.",
        alert=EXPORTER_DOWN,
        world={series("up"): [*[1] * 10, STALE]},
        fires={"9m": [], "14m": [], "15m": [DOWN]},
    ),
    Case(
        about="While one replica answers, the exporter is not down; the replica is.",
        alert=EXPORTER_DOWN,
        world=healthy(30) | healthy(30, instance="two") | {series("up"): [0] * 30},
        fires={"25m": []},
    ),
    Case(
        about="One replica of three is down for five minutes.",
        alert=REPLICA_DOWN,
        world={
            series("up", instance="one"): [1] * 10 + [0] * 20,
            series("up", instance="two"): [1] * 30,
            series("up", instance="three"): [1] * 30,
        },
        fires=begins("15m", of_job("1")),
    ),
    Case(
        about="Where no replica answers, none is reported by itself.",
        alert=REPLICA_DOWN,
        world={series("up", instance="one"): [0] * 30, series("up", instance="two"): [0] * 30},
        fires={"25m": []},
    ),
    Case(
        about="Of two exporters in one job, the one that reads an account is down: critical for that account alone.",
        alert=UNREAD,
        world=healthy(30)
        | healthy(30, account="dev", app_id="a", instance="two")
        | restarting(healthy(30, account="dev", app_id="b", instance="two"), after=10, minutes=20, instance="two")
        | restarting(healthy(30, account="dev", app_id="a", instance="two"), after=10, minutes=20, instance="two"),
        fires={"14m": [], "15m": [of_account("dev", "critical", 2)]},
    ),
    Case(
        about="An app counts by itself: another exporter that reads other apps of the account does not hide it.",
        alert=UNREAD,
        world=healthy(30)
        | restarting(healthy(30, app_id="radio", instance="two"), after=10, minutes=20, instance="two"),
        fires={"14m": [], "15m": [of_account("prod", "critical", 1)]},
    ),
    Case(
        about="While another replica reads the app, or where its exporter dropped it, nothing is unread.",
        alert=UNREAD,
        world=healthy(30)
        | restarting(healthy(30, instance="two"), after=10, minutes=20, instance="two")
        | {of_app("rtcmpu_collection_data_available", app_id="removed"): [*[1] * 10, STALE]},
        fires={"15m": [], "25m": []},
    ),
    Case(
        about="A pod with another configuration that takes the place of one that had more apps ends the alert in time.",
        alert=UNREAD,
        world={name: [*samples[:10], STALE] for name, samples in healthy(30, app_id="removed").items()}
        | {name: [*["_"] * 12, *samples[12:]] for name, samples in healthy(30, instance="two").items()},
        fires={"14m": [], "15m": [], "20m": []},
    ),
    Case(
        about="A refused key is one alert for the account, whichever replica says it, and counts the apps.",
        alert=AUTHENTICATION,
        world=healthy(MINUTES)
        | healthy(MINUTES, instance="two")
        | healthy(MINUTES, app_id="radio")
        | in_state("auth_error", since=10)
        | in_state("auth_error", since=10, instance="two")
        | {of_app("rtcmpu_collection_state", app_id="radio", state="auth_error"): [0] * 20 + [1] * (MINUTES - 20)},
        fires={"14m": [], "15m": [of_account("prod", "critical", 1)], "20m": [of_account("prod", "critical", 2)]},
    ),
    Case(
        about="The alert about a key survives a restart of the exporter, and ends five minutes after the key works.",
        alert=AUTHENTICATION,
        world=healthy(MINUTES)
        | {
            of_app("rtcmpu_collection_state", state="auth_error"): away(
                [0] * 5 + [1] * 15 + [0] * (MINUTES - 20), after=15, steps=2
            )
        },
        fires={
            "10m": [of_account("prod", "critical", 1)],
            "15m": [of_account("prod", "critical", 1)],
            "16m": [of_account("prod", "critical", 1)],
            "24m": [of_account("prod", "critical", 1)],
            "25m": [],
        },
    ),
    Case(
        about="Data is stale once it is older than the effective stale_after, for five minutes.",
        alert=DATA_STALE,
        world=healthy(MINUTES) | in_state("timeout", since=10),
        fires={"29m": [], "30m": [stale("21m 0s")]},
    ),
    Case(
        about="A longer stale_after needs no other rule.",
        alert=DATA_STALE,
        world=healthy(MINUTES)
        | in_state("timeout", since=10)
        | {of_app("rtcmpu_collection_stale_after_seconds"): [1800] * MINUTES},
        fires={"44m": []},
    ),
    Case(
        about="As long as one replica reads the app, its data is not stale.",
        alert=DATA_STALE,
        world=healthy(MINUTES) | healthy(MINUTES, instance="two") | in_state("timeout", since=10),
        fires={"40m": []},
    ),
    Case(
        about="An app that was never read is stale as long after the start as one whose sweep is too old.",
        alert=DATA_STALE,
        world={
            name: samples
            for name, samples in (healthy(MINUTES) | in_state("timeout", since=1)).items()
            if "_last_sweep_" not in name
        },
        fires={"20m": [], "21m": [stale("21m 0s")]},
    ),
    Case(
        about="A restart does not end the alert about stale data, though the new process has read nothing yet.",
        alert=DATA_STALE,
        world=healthy(MINUTES)
        | in_state("timeout", since=5)
        | {
            of_app("rtcmpu_collection_last_sweep_timestamp_seconds"): [0, 60, 120, 180, 240, *[240] * 22, STALE],
            of_app("rtcmpu_collection_stale_after_seconds"): away([900] * MINUTES, after=27, steps=2),
        },
        fires={"25m": [stale("21m 0s")], "27m": [stale("22m 0s")], "40m": [stale("36m 0s")]},
    ),
    Case(
        about="The alert about an app ends with the app.",
        alert=DATA_STALE,
        world=healthy(30)
        | in_state("timeout", since=5)
        | {of_app("rtcmpu_collection_stale_after_seconds"): [*[900] * 28, STALE]},
        fires={"27m": [stale("23m 0s")], "34m": []},
    ),
    Case(
        about="An app fails once it has missed two intervals and the slack of scrapes, for five minutes.",
        alert=APP_FAILING,
        world=healthy(MINUTES) | in_state("timeout", since=10),
        fires={"16m": [], "17m": [failing("timeout")]},
    ),
    Case(
        about="An app that is read every ten minutes has failed only after twenty and the slack.",
        alert=APP_FAILING,
        world=healthy(MINUTES)
        | in_state("timeout", since=10, interval=600)
        | {of_app("rtcmpu_collection_sweep_interval_seconds"): [600] * MINUTES},
        fires={"36m": [], "37m": [failing("timeout")]},
    ),
    Case(
        about="An app that recovers now and then does not fail.",
        alert=APP_FAILING,
        world=healthy(MINUTES)
        | {
            of_app("rtcmpu_collection_state", state="timeout"): [0, 1] * (MINUTES // 2),
            of_app("rtcmpu_collection_state", state="ok"): [1, 0] * (MINUTES // 2),
        },
        fires={"40m": []},
    ),
    Case(
        about="An app that fails for two reasons in turn is reported with both.",
        alert=APP_FAILING,
        world=healthy(MINUTES)
        | in_state("timeout", since=10)
        | {
            of_app("rtcmpu_collection_state", state="timeout"): [0] * 10 + [1, 0] * 18,
            of_app("rtcmpu_collection_state", state="server_error"): [0] * 10 + [0, 1] * 18,
        },
        fires={"16m": [], "17m": [failing("timeout"), failing("server_error")]},
    ),
    Case(
        about="An app that one of two replicas can't read is reported once.",
        alert=APP_FAILING,
        world=healthy(MINUTES) | healthy(MINUTES, instance="two") | in_state("partial", since=10, instance="two"),
        fires={"17m": [failing("partial")]},
    ),
    Case(
        about="A refused key is another alert's, and an app that was not read yet has not failed.",
        alert=APP_FAILING,
        world=healthy(MINUTES) | in_state("auth_error", since=10) | in_state("pending", since=10),
        fires={"40m": []},
    ),
    Case(
        about="Throttling that lasts half an hour is reported, over both replicas and a restart.",
        alert="RtcmpuThrottled",
        world={
            series("rtcmpu_exporter_api_throttled_total", account="prod"): [
                *[10 * minute for minute in range(20)],
                *[10 * minute for minute in range(40)],
            ],
            series("rtcmpu_exporter_api_throttled_total", account="prod", instance="two"): [
                10 * minute for minute in range(60)
            ],
            series("rtcmpu_exporter_api_throttled_total", account="dev"): [minute // 2 for minute in range(60)],
        },
        fires=begins("31m", of_account("prod", "warning", 20)),
    ),
    Case(
        about="A budget that stretches the intervals for half an hour does not suffice; a moment is fine.",
        alert="RtcmpuBudgetInsufficient",
        world=healthy(MINUTES)
        | healthy(MINUTES, app_id="radio")
        | healthy(MINUTES, account="dev")
        | {
            of_app("rtcmpu_collection_interval_stretch_ratio"): [1] * 10 + [2.5] * 35,
            of_app("rtcmpu_collection_interval_stretch_ratio", account="dev"): [1] * 10 + [2.5] * 29 + [1] * 6,
        },
        fires=begins("40m", of_account("prod", "warning", 2.5)),
    ),
    Case(
        about="A clock that is fast or slow by more than two minutes is reported for each account that sees it.",
        alert="RtcmpuClockSkewed",
        world={
            series("rtcmpu_exporter_clock_skew_seconds", account="fast"): [0] * 5 + [180] * 15,
            series("rtcmpu_exporter_clock_skew_seconds", account="slow"): [0] * 5 + [-240] * 15,
            series("rtcmpu_exporter_clock_skew_seconds", account="fine"): [-119] * 20,
        },
        fires={"9m": [], "10m": [of_account("fast", "warning", "3m 0s"), of_account("slow", "warning", "4m 0s")]},
    ),
    Case(
        about="Credentials with 150 s left were not renewed; those renewed in time, and a permanent key, are fine.",
        alert="RtcmpuCredentialsEnding",
        world={
            series("rtcmpu_exporter_credentials_expiry_timestamp_seconds", account="prod"): [3600] * 70,
            series("rtcmpu_exporter_credentials_expiry_timestamp_seconds", account="dev"): [3600] * 45 + [7200] * 25,
            # Of a token of 15 minutes a quarter is left when it is renewed.
            series("rtcmpu_exporter_credentials_expiry_timestamp_seconds", account="short"): [
                900 + 675 * (60 * minute // 675) for minute in range(70)
            ],
            series("rtcmpu_exporter_credentials_expiry_timestamp_seconds", account="permanent"): [*[3600] * 58, STALE],
        },
        fires={**{f"{minute}m": [] for minute in range(59)}, "59m": [of_account("prod", "warning", "1m 0s")]},
    ),
    *(
        Case(
            about=f"A {what} that one of two replicas refuses is reported after five minutes.",
            alert="RtcmpuReloadFailed",
            world=healthy(30)
            | healthy(30, instance="two")
            | {series(f"rtcmpu_exporter_{name}_last_reload_successful", instance="two"): [1] * 10 + [0] * 20},
            fires=begins("15m", of_job()),
        )
        for what, name in (("configuration", "config"), ("web configuration", "web_config"))
    ),
    Case(
        about="Series that are left out are reported for their path.",
        alert="RtcmpuSeriesOmitted",
        world=healthy(30) | {series("rtcmpu_exporter_series_omitted", path="/metrics/tasks"): [0] * 10 + [1500] * 20},
        fires=begins("15m", Firing(labels={"path": "/metrics/tasks", "severity": "warning"}, value="1.5k")),
    ),
    Case(
        about="A database that can't be written for five minutes is reported.",
        alert="RtcmpuStorageFailing",
        world=healthy(MINUTES) | {series("rtcmpu_exporter_storage_up"): [1] * 10 + [0] * 35},
        fires=begins("15m", of_job(instance="one")),
    ),
    Case(
        about="An account is reported if no exporter knows of a holder of its lease for a minute.",
        alert="RtcmpuBudgetWithoutHolder",
        world=healthy(MINUTES)
        | {
            series("rtcmpu_exporter_lease_unheld_seconds", account="prod"): [90] * 45,
            series("rtcmpu_exporter_lease_unheld_seconds", account="prod", instance="two"): [0] * 10 + [90] * 35,
        },
        fires=begins("11m", of_account("prod", "critical", "1m 30s")),
    ),
    Case(
        about="Scrapes that take long for half an hour are reported.",
        alert="RtcmpuScrapeSlow",
        world=healthy(MINUTES) | {series("scrape_duration_seconds"): [0.1] * 10 + [3] * 35},
        fires=begins("40m", of_job("3s")),
    ),
)
