"""What a running exporter says about its own collection, checked against the service that it reads."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from tests.oracle.simulated_fleet import listed_fleet, true_metrics
from tests.support.http import ask
from tests.support.monitored import sample

ListedTasks: TypeAlias = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Numbers of tasks by AppId, each with the labels that it is published under."""


class Collection(Struct, frozen=True):
    """The state of the collection of all apps at one moment."""

    updates: int  # that ended well, since the start
    sweeps: int
    failures: int  # updates and sweeps that did not end well
    skipped: Mapping[str, int]  # sweeps that were due and did not start, by the reason; none where none was
    longest_stretch: float  # the worst `interval_stretch_ratio` of all apps; 1 where none is stretched


def collection(url: str) -> Collection:
    """Ask the exporter at `url`."""
    text = ask(f"{url}/metrics").text
    ended = re.findall(r'^rtcmpu_collection_attempts_total\{.*kind="(\w+)",outcome="(\w+)"\} (\S+)', text, re.MULTILINE)
    skipped = re.findall(r'^rtcmpu_exporter_sweeps_skipped_total\{.*reason="(\w+)"\} (\S+)', text, re.MULTILINE)
    stretched = re.findall(r"^rtcmpu_collection_interval_stretch_ratio\{.*\} (\S+)", text, re.MULTILINE)
    return Collection(
        updates=_sum(number for kind, outcome, number in ended if (kind, outcome) == ("update", "ok")),
        sweeps=_sum(number for kind, outcome, number in ended if (kind, outcome) == ("sweep", "ok")),
        failures=_sum(number for _, outcome, number in ended if outcome != "ok"),
        skipped=Counter({reason: int(float(number)) for reason, number in skipped if float(number)}),
        longest_stretch=max(map(float, stretched), default=1.0),
    )


def listed_tasks(service_url: str) -> ListedTasks:
    """Ask the simulated service how many tasks it lists; with many tasks it answers nothing else for some seconds."""
    return {
        app_id: [(counted["labels"], counted["value"]) for counted in metrics["rtcmpu_tasks"]]
        for app_id, metrics in true_metrics(listed_fleet(service_url)).items()
    }


def assert_tasks_are(url: str, listed: ListedTasks) -> None:
    """Compare what the exporter at `url` publishes with what the service lists."""
    text = ask(f"{url}/metrics").text
    for app_id, counted in listed.items():
        for labels, number in counted:
            assert sample(text, "rtcmpu_tasks", app_id=app_id, **labels) == number, app_id


def _sum(numbers: Iterable[str]) -> int:
    """Add numbers as they are in an exposition."""
    return int(sum(map(float, numbers)))
