"""What fires when, decided by promtool, no alert without its cases and its page; and who is told, by amtool."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.alerts.alert_cases import ALERTS_FILE, Case, in_an_environment, promtool_test, rules, run_promtool
from tests.alerts.collection_cases import CASES as COLLECTION_CASES
from tests.alerts.task_cases import RULE_CASES, TASK_CASES
from tests.alerts.withheld_cases import CASES as WITHHELD_CASES
from tests.alerts.withheld_cases import HELD
from tests.support.processes import ROOT, needed_tool
from tests.support.prometheus import ALERTMANAGER_FILE

CASES: Final[tuple[Case, ...]] = (*COLLECTION_CASES, *TASK_CASES, *RULE_CASES, *WITHHELD_CASES)
DOWN: Final = next(case for case in COLLECTION_CASES if case.alert == "RtcmpuExporterDown")
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
ALERTS: Final = sorted({rule["alert"] for rule in rules(ALERTS_FILE.read_text()) if "alert" in rule})


@pytest.mark.processes
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Each alert fires at its minute, with its labels and annotations, neither before nor elsewhere, and holds on."""
    run_promtool([*map(promtool_test, CASES), *HELD], tmp_path)


@pytest.mark.processes
def test_alerts_keep_their_environment(tmp_path: Path) -> None:
    """With a target label `env`, each alert has it, and another environment of the same names changes nothing."""
    cases = [case for case in CASES if case.alert != "RtcmpuExporterDown"]  # without a target there is no label
    run_promtool([promtool_test(in_an_environment(case)) for case in (*cases, DOWN)], tmp_path)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet(alert: str) -> None:
    """No alert is without a test of the minute from which it fires."""
    moments = [bool(firings) for case in CASES if case.alert == alert for firings in case.fires.values()]
    assert set(moments) == {True, False}


def test_every_alert_has_its_page_and_its_line_in_the_index() -> None:
    """The runbooks, and those that the index names, are those of the alerts, no more and no fewer."""
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.name != "README.md") == ALERTS
    linked = re.findall(r"^- \[(\w+)\]\((\w+)\.md\) ", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert sorted(linked) == [(alert, alert) for alert in ALERTS]


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
