"""The numbers in the prose of the documents are those of the program, of the alerts or of the benchmarks."""

from typing import Final

import pytest

from exporter.collector import change_history as history
from exporter.collector import inventory
from exporter.collector.status import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from exporter.config.capacity import NEW_ROWS, PAGE_SIZE, USABLE_SHARE
from exporter.config.model import DEFAULT_REQUESTS_PER_SECOND, LEAST_STALE_AFTER_SWEEPS, Collection
from exporter.rules.app_engine import TIME_INTERVAL_SECONDS
from exporter.service.daemon import LONGEST_START_SECONDS
from exporter.storage.state_keeper import SAVE_SECONDS
from tests.support.alert_cases import ALERTS_FILE
from tests.support.documents import prose
from tests.support.processes import ROOT

WORDS: Final = {1: "a", 2: "two", 3: "three"}

STATEMENTS: Final = [
    ("freshness", f"a pause of {FIRST_PAUSE_SECONDS:.0f} s, then longer, to {LONGEST_PAUSE_SECONDS:.0f} s"),
    ("freshness", f"or {WORDS[LEAST_STALE_AFTER_SWEEPS]} effective sweep intervals if they are longer"),
    ("freshness", f"app of less than {PAGE_SIZE} tasks"),
    ("scaling", f"for the first {PAGE_SIZE - 1} tasks and one more for each further {NEW_ROWS}"),
    ("scaling", f"{DEFAULT_REQUESTS_PER_SECOND:.0f}, the default, leaves a fifth for others"),
    ("scaling", f"with `interval: {Collection().interval_seconds:.0f}s`"),
    ("limits", f"The newest {history.NEWEST:,} changes are remembered"),
    ("limits", f"A change back within {WORDS[int(inventory.SUPERSEDED_FOR_SECONDS)]} seconds"),
]
MEASURED: Final = [
    ("scaling", "156 MiB at 100,000 tasks", "| 100,000 | 156 MiB |"),
    ("scaling", "some 81 MiB", "| 100 | 81 MiB |"),
    ("scaling", "12 % of a core", "| CPU, of one core | 12.0 % |"),
]
"""What a document says, and the beginning of the line of benchmarks.md that it is from."""


def _text(name: str) -> str:
    return " ".join(prose(ROOT / "docs" / f"{name}.md").split())


@pytest.mark.parametrize(("name", "statement"), STATEMENTS)
def test_what_is_said_in_numbers_is_so(name: str, statement: str) -> None:
    """A document that states a number of the program states the one that is in force."""
    assert statement in _text(name)


@pytest.mark.parametrize(("name", "statement", "row"), MEASURED)
def test_what_is_cited_was_measured(name: str, statement: str, row: str) -> None:
    """A figure to plan by is one of the benchmarks, rounded."""
    assert statement in _text(name)
    assert row in (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_what_is_said_in_words_is_so() -> None:
    """A tenth, a minute, twice a minute, a day and three intervals are what the program has."""
    assert "A tenth of the budget is left for lookups and retries." in _text("scaling")
    assert round(1 - USABLE_SHARE, 6) == 0.1
    assert "until every app was tried once, at most for a minute" in _text("freshness")
    assert "| once a minute |" in _text("freshness")
    assert LONGEST_START_SECONDS == TIME_INTERVAL_SECONDS == 60
    assert "The file is written twice a minute where a sweep was accepted since" in _text("freshness")
    assert SAVE_SECONDS == 30
    assert "keep the last value for at most a day" in _text("freshness")
    assert "last_over_time(app_rule:rtcmpu_policy_violations:max[1d])" in ALERTS_FILE.read_text()
    assert "three sweep intervals by default" in _text("scaling")
    assert Collection().stale_after_seconds == 3 * Collection().sweep_interval_seconds
