"""Tests that nothing was forgotten: every alert has its cases and its page, and every page its alert."""

import re
from pathlib import Path
from typing import Final

import promql_parser
import pytest

from tests.alerts.alert_cases import ALERTS_FILE, FROM_ELSEWHERE, RECORDS_FILE, exported, rules
from tests.alerts.test_cases import CASES
from tests.support.processes import ROOT
from tests.support.promql import uses

RUNBOOKS: Final = ROOT / "docs" / "runbooks"
RULES: Final = [rule for file in (ALERTS_FILE, RECORDS_FILE) for rule in rules(file.read_text())]
ALERTS: Final = sorted({rule["alert"] for rule in RULES if "alert" in rule})
PAGES: Final = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet(alert: str) -> None:
    """No alert is without a test of the minute from which it fires."""
    moments = [bool(firings) for case in CASES if case.alert == alert for firings in case.fires.values()]
    assert set(moments) == {True, False}


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    """The runbooks are those of the alerts, no more and no fewer."""
    assert [page.stem for page in PAGES] == ALERTS


def test_the_index_names_every_page_once() -> None:
    """Anyone who looks for a runbook finds it in the index."""
    linked = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) ", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert sorted(linked) == [(alert, alert) for alert in ALERTS]


@pytest.mark.parametrize("page", [*PAGES, RUNBOOKS / "README.md"], ids=lambda page: page.stem)
def test_queries_of_a_page_work(page: Path) -> None:
    """Every query of a runbook can be parsed, and asks for what is published or recorded."""
    known = exported().keys() | FROM_ELSEWHERE | {rule["record"] for rule in RULES if "record" in rule}
    for block in blocks(page, "promql"):
        for query in re.split(r"\n\n+", block.strip()):
            promql_parser.parse(query)
            assert {use.name for use in uses(query)} <= known, query
