"""Tests of what fires when: every case of every alert, decided by promtool."""

from pathlib import Path
from typing import Final

import pytest

from tests.alerts.collection_cases import CASES as COLLECTION_CASES
from tests.alerts.task_cases import RULE_CASES, TASK_CASES
from tests.alerts.withheld_cases import CASES as WITHHELD_CASES
from tests.alerts.withheld_cases import HELD
from tests.support.alert_cases import Case, promtool_test, run_promtool

CASES: Final[tuple[Case, ...]] = (*COLLECTION_CASES, *TASK_CASES, *RULE_CASES, *WITHHELD_CASES)


@pytest.mark.processes
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Each alert fires at its minute, with its labels and annotations, neither before nor elsewhere, and holds on."""
    run_promtool([*map(promtool_test, CASES), *HELD], tmp_path)
