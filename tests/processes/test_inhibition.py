"""Which alerts a real Alertmanager mutes for which others, with the shipped example."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import pytest

from tests.support.http import ask, ask_json
from tests.support.processes import Programs, eventually
from tests.support.prometheus import start_alertmanager

pytestmark = pytest.mark.processes

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
