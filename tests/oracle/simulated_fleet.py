"""The fleet of a running simulator, and what an exporter should publish about it."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from tests.oracle.metrics_truth import truth_of_app
from tests.oracle.rule_truth import rule_truth
from tests.support.http import ask

SLOW_SECONDS = 120.0  # a simulator with many tasks needs some seconds for its answer


class ListedApp(Struct, frozen=True):
    """One app as the simulator lists it."""

    rows: list[msgspec.Raw]
    marked: Mapping[str, list[str]]  # TaskIds by what is wrong with them on purpose


Fleet: TypeAlias = Mapping[str, ListedApp]


def listed_fleet(simulator: str) -> Fleet:
    """Ask the simulator at this URL for all its apps at one moment."""
    answer = ask(f"{simulator}/-/fleet", seconds=SLOW_SECONDS)
    assert answer.status == 200, answer.text
    return msgspec.json.decode(answer.body, type=dict[str, ListedApp])


def true_metrics(fleet: Fleet) -> Mapping[str, Mapping[str, Any]]:
    """Return the samples that an exporter should publish, by AppId and metric."""
    return {app_id: truth_of_app(map(bytes, app.rows))["samples"] for app_id, app in fleet.items()}


def true_violations(fleet: Fleet) -> Mapping[str, Mapping[str, Any]]:
    """Return what an exporter should find, by AppId and rule."""
    return rule_truth({app_id: map(bytes, app.rows) for app_id, app in fleet.items()})
