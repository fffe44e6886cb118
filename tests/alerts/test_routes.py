"""Tests of the example for Alertmanager: who is told what."""

import subprocess

import pytest

from tests.support.processes import needed_tool
from tests.support.prometheus import ALERTMANAGER_FILE


def amtool(*words: str) -> subprocess.CompletedProcess[str]:
    """Run amtool without anyone's settings."""
    return subprocess.run(
        [needed_tool("amtool"), *words], capture_output=True, text=True, check=False, timeout=30, env={"HOME": "/"}
    )


@pytest.mark.processes
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "critical", "owner": "live-ops"}, "on-call,live-ops"),
        ({"severity": "critical", "owner": "radio"}, "on-call,other-owners"),
        ({"severity": "critical"}, "on-call,nobody-else"),
        ({"severity": "warning", "owner": "live-ops"}, "live-ops"),
        ({"severity": "warning", "owner": "radio"}, "other-owners"),
        ({"severity": "warning"}, "platform"),
        ({"severity": "info", "owner": "live-ops"}, "low-priority"),
        ({"severity": "info"}, "low-priority"),
    ],
)
def test_severity_and_owner_decide_who_is_reported(labels: dict[str, str], receivers: str) -> None:
    """Critical goes to on-call and to the owner, a warning to the owner or the platform team, info to no pager."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    done = amtool(
        "config", "routes", "test", f"--config.file={ALERTMANAGER_FILE}", f"--verify.receivers={receivers}", *pairs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == receivers
