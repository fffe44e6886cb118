"""The whole way of an alert: from a task or a failing API to the people who are notified, and back."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import pytest

from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from tests.alerts.alert_cases import ALERTS_FILE, EXPORTER, RUNBOOKS
from tests.support.http import ask, ask_json
from tests.support.processes import Programs, eventually
from tests.support.prometheus import Prometheus, Receiver, receiver, start_alertmanager, start_prometheus

pytestmark = pytest.mark.processes

IMPATIENT: Final = {
    r"\bfor: 5m": "for: 2s",
    r"keep_firing_for: 5m": "keep_firing_for: 1s",
    r"\[5m\]": "[10s]",
    r"120 # scrapeSlackSeconds": "10",
}
"""What is another in the alerts, so that a test need not wait for minutes."""
CONFIGURATION: Final = """\
accounts:
- name: prod
  endpoint: {prod}
  credentials: {key}
  apps:
  - {{id: app-1, name: Main stage, owner: live-ops, expect: {{region: [CN-Shanghai]}}}}
- name: dev
  endpoint: {dev}
  credentials: {key}
  apps: [{{id: app-1}}, {{id: app-2}}]
collection: {{interval: 500ms, sweep_interval: 1s, stale_after: 10s}}
policy: {{default_rules: false}}
"""


class World(NamedTuple):
    """Two accounts, and everything between them and the people who are notified."""

    prod: str  # the URL of the simulator of this account
    dev: str
    exporter: str
    reported: Receiver
    prometheus: Prometheus


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start everything; all is well."""
    directory = tmp_path_factory.mktemp("alerting")
    with receiver() as reported, Programs(directory) as programs:
        _, prod = programs.start_simulator("--apps=1", "--tasks=0", "--churn=0")
        _, dev = programs.start_simulator("--apps=2", "--tasks=3", "--churn=0")
        key = f"{{access_key_id: {ACCESS_KEY_ID}, access_key_secret: {ACCESS_KEY_SECRET}}}"
        configuration = directory / "rtcmpu.yml"
        configuration.write_text(CONFIGURATION.format(prod=prod, dev=dev, key=key))
        _, exporter = programs.start_daemon(configuration)
        prometheus = start_prometheus(
            programs,
            exporter.removeprefix("http://"),
            rules=_impatient_alerts(exporter),
            alertmanager=start_alertmanager(programs, reported.url),
        )
        yield World(prod, dev, exporter, reported, prometheus)


def _impatient_alerts(exporter: str) -> str:
    """Return the alerts with short times, and links to the exporter that runs."""
    text = ALERTS_FILE.read_text().replace(EXPORTER, exporter)
    for usual, short in IMPATIENT.items():
        text = re.sub(usual, short, text)
    return text


def test_a_misconfigured_task_reaches_its_owner_until_it_is_fixed(world: World) -> None:
    """A task in a foreign region is told to the app's owner and to on-call, with links; once fixed, both hear so."""
    task = {"AppId": "app-1", "TaskId": "lost", "MixMode": "1", "Region": "AP-Singapore"}
    about = {"alertname": "RtcmpuUnexpectedTaskConfiguration", "account": "prod", "app_id": "app-1"}

    ask_json(f"{world.prod}/-/tasks", method="POST", body=task)
    notice = world.reported.wait_for("live-ops", "firing", **about)
    assert notice.labels == about | {"rule": "expect-region", "severity": "critical", "owner": "live-ops"}
    assert "For example: lost." in notice.annotations["description"]
    assert notice.annotations["runbook_url"] == f"{RUNBOOKS}/RtcmpuUnexpectedTaskConfiguration.md"
    assert notice.annotations["violations_url"] == (
        f"{world.exporter}/violations?account=prod&app_id=app-1&rule=expect-region"
    )
    assert notice.annotations["dashboard_url"].endswith("/d/rtcmpu-expectations?var-account=prod&var-app_id=app-1")
    world.reported.wait_for("on-call", "firing", **about)

    ask_json(f"{world.prod}/-/tasks/app-1/lost", method="PATCH", body={"Region": "CN-Shanghai"})
    world.reported.wait_for("live-ops", "resolved", **about)
    world.reported.wait_for("on-call", "resolved", **about)


def test_a_revoked_key_wakes_somebody_until_it_works_again(world: World) -> None:
    """A key that is revoked is one alert about its account, not one for each app; it ends when the key works again."""
    about = {"alertname": "RtcmpuAuthenticationFailing", "account": "dev"}

    ask_json(f"{world.dev}/-/faults", method="POST", body={"name": "inactive_key"})
    notice = world.reported.wait_for("on-call", "firing", **about)
    assert notice.labels == about | {"severity": "critical"}
    assert notice.annotations["runbook_url"] == f"{RUNBOOKS}/RtcmpuAuthenticationFailing.md"
    assert "account dev" in notice.annotations["description"]

    ask_json(f"{world.dev}/-/faults", method="DELETE")
    world.reported.wait_for("on-call", "resolved", **about)
    told_of = {notice.labels["alertname"] for notice in world.reported.notices if notice.labels.get("account") == "dev"}
    assert told_of == {"RtcmpuAuthenticationFailing"}


def test_stale_data_wakes_somebody_until_it_is_fresh(world: World) -> None:
    """An app that can't be read is reported once its data is withdrawn, and again when it is there; others are not."""
    about = {"alertname": "RtcmpuDataStale", "account": "dev", "app_id": "app-2"}

    ask_json(f"{world.dev}/-/faults", method="POST", body={"name": "internal_error", "app_id": "app-2"})
    notice = world.reported.wait_for("on-call", "firing", **about)
    assert notice.labels == about | {"severity": "critical"}
    assert world.prometheus.query('rtcmpu_tasks{account="dev",app_id="app-2"}') == {}
    assert notice.annotations["runbook_url"] == f"{RUNBOOKS}/RtcmpuDataStale.md"

    ask_json(f"{world.dev}/-/faults", method="DELETE")
    world.reported.wait_for("on-call", "resolved", **about)
    assert not [
        notice
        for notice in world.reported.notices
        if notice.labels.get("app_id") == "app-1" and notice.labels["account"] == "dev"
    ]


Labels: TypeAlias = dict[str, str]

NOBODY: Final = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one; return its URL."""
    with Programs(tmp_path_factory.mktemp("inhibition")) as programs:
        yield f"http://{start_alertmanager(programs, NOBODY)}"


def alert(name: str, severity: str = "warning", **labels: str) -> Labels:
    """Return the labels of an alert."""
    return {"alertname": f"Rtcmpu{name}", "severity": severity, **labels}


PROD: Final = {"account": "prod"}
LIVE: Final = {**PROD, "app_id": "live"}
RADIO: Final = {**PROD, "app_id": "radio"}


@pytest.mark.parametrize(
    ("cause", "muted", "reported"),
    [
        (
            alert("QuotaNearlyUsed", "critical", **LIVE, mix_mode="mixed"),
            [alert("QuotaNearlyUsed", **LIVE, mix_mode="mixed")],
            [alert("QuotaNearlyUsed", **LIVE, mix_mode="single"), alert("QuotaNearlyUsed", **RADIO, mix_mode="mixed")],
        ),
        (
            alert("UnexpectedTaskConfiguration", "critical", **LIVE, rule="region", owner="live-ops"),
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="region", owner="live-ops")],
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="bitrate", owner="live-ops")],
        ),
        (
            alert("ExporterDown", "critical", job="rtcmpu"),
            [
                alert("DataStale", "critical", **LIVE),
                alert("Throttled", **PROD, env="lab"),
                alert("ExemptionEnding", "info"),
            ],
            [{"alertname": "SomethingElse", "severity": "warning"}],
        ),
        (
            alert("ExporterDown", "critical", job="rtcmpu", env="lab"),
            [alert("DataStale", "critical", **LIVE, env="lab")],
            [alert("DataStale", "critical", **LIVE, env="production"), alert("Throttled", **PROD)],
        ),
        (
            alert("DataStale", "critical", **LIVE, env="lab"),
            [alert("AppFailing", **LIVE, state="timeout", env="lab")],
            [alert("AppFailing", **LIVE, state="timeout", env="production")],
        ),
        (
            alert("AuthenticationFailing", "critical", **PROD),
            [alert("DataStale", "critical", **LIVE), alert("AppFailing", **LIVE), alert("CredentialsEnding", **PROD)],
            [alert("DataStale", "critical", account="dev", app_id="live"), alert("QuotaNearlyUsed", **LIVE)],
        ),
        (
            alert("DataStale", "critical", **LIVE),
            [alert("AppFailing", **LIVE, state="timeout")],
            [alert("AppFailing", **RADIO, state="timeout")],
        ),
        (
            alert("Throttled", **PROD),
            [alert("BudgetInsufficient", **PROD)],
            [alert("BudgetInsufficient", account="dev")],
        ),
        (
            alert("NoTasks", "critical", **LIVE, rule="expect-tasks"),
            [alert("TasksDropped", **LIVE), alert("UnexpectedTaskConfiguration", **LIVE, rule="expect-tasks")],
            [alert("TasksDropped", **RADIO)],
        ),
        (
            alert("ViolationOpenForLong", **LIVE, rule="region"),
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="region")],
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="bitrate")],
        ),
        (
            alert("PushStreamShared", "critical", **LIVE, rule="push-stream-shared"),
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="push-stream-shared")],
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="bitrate")],
        ),
        (
            alert("PushKeysExpired", **LIVE, state="expired"),
            [alert("UnexpectedTaskConfiguration", **LIVE, rule="push-auth-expired")],
            [alert("UnexpectedTaskConfiguration", "critical", **LIVE, rule="push-auth-expired-at-start")],
        ),
    ],
    ids=lambda value: value["alertname"] if isinstance(value, dict) else "",
)
def test_a_cause_mutes_what_follows_from_it(
    alertmanager: str, cause: Labels, muted: Sequence[Labels], reported: Sequence[Labels]
) -> None:
    """An alert mutes what follows from it for the same subject, and nothing else."""
    _send(alertmanager, [cause, *muted, *reported])
    try:
        eventually(lambda: _check(alertmanager, muted, [cause, *reported]))
    finally:
        _send(alertmanager, [cause, *muted, *reported], ends_at="2020-01-01T00:00:01Z")


def _check(alertmanager: str, muted: Sequence[Labels], reported: Sequence[Labels]) -> None:
    states = [(one["labels"], bool(one["status"]["inhibitedBy"])) for one in ask_json(f"{alertmanager}/api/v2/alerts")]
    assert [labels for labels in muted if (labels, True) not in states] == []
    assert [labels for labels in reported if (labels, False) not in states] == []


def _send(alertmanager: str, alerts: Sequence[Labels], ends_at: str | None = None) -> None:
    """Say that alerts fire, or that they have ended."""
    body: list[dict[str, Any]] = [{"labels": labels, "startsAt": "2020-01-01T00:00:00Z"} for labels in alerts]
    if ends_at is not None:
        body = [one | {"endsAt": ends_at} for one in body]
    assert ask(f"{alertmanager}/api/v2/alerts", method="POST", body=body, headers=_JSON).status == 200


_JSON: Final = {"Content-Type": "application/json"}
