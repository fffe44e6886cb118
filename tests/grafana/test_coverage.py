"""Nothing is published in vain: each family is on a dashboard, in an alert, or unused for a reason."""

import re

import pytest

from exporter.metrics.exposition import declarations
from exporter.metrics.family import Declaration
from exporter.metrics.per_task_families import per_task_families
from tests.generate import ROOT
from tests.support.dashboards import all_queries

SINGLE_TASKS = "about single tasks: off by default, on a path of its own, and for questions that someone asks by hand"
LAST_SWEEP = "about the last sweep alone: the counter of the same is shown"
SHOWN_TASKS = {"info", "config_video_bitrate_bytes_per_second", "config_outputs"} | {
    f"{moment}_timestamp_seconds" for moment in ("first_seen", "last_changed")
}
UNUSED = {
    family.name: SINGLE_TASKS
    for family in per_task_families()
    if family.name.removeprefix("rtcmpu_task_") not in SHOWN_TASKS
} | {
    "rtcmpu_collection_repaired_tasks": LAST_SWEEP,
    "rtcmpu_collection_duplicate_rows": LAST_SWEEP,
    "rtcmpu_task_frame_pixels": "the bars of resolutions say the same in words",
    "rtcmpu_exporter_api_retries_total": "the requests by outcome show why attempts failed",
    "rtcmpu_exporter_lease_takeovers_total": "the bars of who collects each account show each takeover",
    "rtcmpu_exporter_credentials_info": "which source a key comes from is a question that someone asks by hand",
    "rtcmpu_exporter_config_unmatched_patterns": "a pattern without files may be meant: the log and check-config warn",
    "rtcmpu_exporter_http_requests_total": "who asks the exporter for what is a question that someone asks by hand",
}
"""Families that nothing shows, each with the reason."""


@pytest.fixture(scope="module")
def used() -> set[str]:
    """All names that are in queries of dashboards and in rules."""
    texts = [query.expression for query in all_queries()]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "deploy" / "prometheus").glob("*.yml")]
    return {name for text in texts for name in re.findall(r"rtcmpu_[a-z_]+", text)}


@pytest.mark.parametrize("family", declarations(), ids=lambda family: family.name)
def test_a_family_is_shown_or_unused_for_a_reason(family: Declaration, used: set[str]) -> None:
    """Exactly one holds: something reads the family, or the list of unused ones says why nothing does."""
    name = family.name
    shown = any(sample in used for sample in (name, *(f"{name}_{part}" for part in ("bucket", "gcount", "gsum"))))

    assert shown != (name in UNUSED), UNUSED.get(name, "is neither shown nor listed")


def test_reasons_are_about_what_exists() -> None:
    """The list names families that are declared, and says something."""
    assert set(UNUSED) <= {family.name for family in declarations()}
    assert all(len(reason) > 20 for reason in UNUSED.values())
