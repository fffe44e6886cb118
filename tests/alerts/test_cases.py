"""Tests of what fires when: every case of every alert, decided by promtool."""

from pathlib import Path
from typing import Final

import pytest

from tests.alerts.alert_cases import Case, in_an_environment, promtool_test, run_promtool
from tests.alerts.collection_cases import CASES as COLLECTION_CASES
from tests.alerts.task_cases import RULE_CASES, TASK_CASES
from tests.alerts.withheld_cases import CASES as WITHHELD_CASES
from tests.alerts.withheld_cases import HELD

CASES: Final[tuple[Case, ...]] = (*COLLECTION_CASES, *TASK_CASES, *RULE_CASES, *WITHHELD_CASES)
DOWN: Final = next(case for case in COLLECTION_CASES if case.alert == "RtcmpuExporterDown")


@pytest.mark.processes
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Each alert fires at its minute, with its labels and annotations, neither before nor elsewhere, and holds on."""
    run_promtool([*map(promtool_test, CASES), *HELD], tmp_path)


@pytest.mark.processes
def test_alerts_keep_their_environment(tmp_path: Path) -> None:
    """With a target label `env`, each alert has it, and another environment of the same names changes nothing."""
    cases = [case for case in CASES if case.alert != "RtcmpuExporterDown"]  # without a target there is no label
    run_promtool([promtool_test(in_an_environment(case)) for case in (*cases, DOWN)], tmp_path)
