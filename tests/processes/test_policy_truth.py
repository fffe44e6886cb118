"""What a real Prometheus knows of the findings, while the fleet changes, and what is true."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from exporter.simulator.simulation import ACCOUNTS
from tests.oracle.simulated_fleet import listed_fleet, true_violations
from tests.support.http import ask_json
from tests.support.processes import Programs, eventually
from tests.support.prometheus import Prometheus, start_prometheus

pytestmark = pytest.mark.processes

CHURN_SECONDS = 10
EVENTS_PER_SECOND = 15
ACCOUNT = """\
- name: {account.name}
  endpoint: {endpoint}
  credentials: {{access_key_id: {account.access_key_id}, access_key_secret: {account.access_key_secret}}}
  apps: [{apps}]
"""
CONFIGURATION = """\
accounts:
{accounts}
collection: {{interval: 500ms, sweep_interval: 2s, stale_after: 60s}}
"""
EXPECTED = "expect: {video_bitrate_kbps: {max: 1500}}"
"""Tasks change across this border all the time; that is beside what the simulator knows to be wrong."""

SHARES = ("evaluated", "not_applicable", "exempted", "unevaluable")


class World(NamedTuple):
    """The demonstration's fleet, the exporter that reads it, and a Prometheus that scrapes that."""

    fleet: str
    prometheus: Prometheus


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start everything, with the fleet at rest."""
    with Programs(tmp_path_factory.mktemp("findings")) as programs:
        fleet = programs.start(sys.executable, "-m", "tests.support.demo_fleet", name="fleet")
        url = fleet.wait_for(r"^simulator (\S+)$")[1]
        accounts = "".join(
            ACCOUNT.format(
                account=account, endpoint=url, apps=", ".join(f"{{id: {app.id}, {EXPECTED}}}" for app in account.apps)
            )
            for account in ACCOUNTS
        )
        configuration = programs.directory / "rtcmpu.yml"
        configuration.write_text(CONFIGURATION.format(accounts=accounts))
        _, exporter = programs.start_daemon(configuration)
        yield World(url, start_prometheus(programs, exporter.removeprefix("http://")))


def _churn(world: World, events_per_second: float) -> None:
    kinds = ("update", "create", "delete")
    ask_json(f"{world.fleet}/-/churn", method="POST", body=dict.fromkeys(kinds, events_per_second / len(kinds)))


def _numbers_by_truth(world: World) -> Mapping[tuple[str, str, str], int]:
    """Return what is true, by AppId, rule and what it is a number of."""
    numbers = {}
    for app_id, rules in true_violations(listed_fleet(world.fleet)).items():
        for rule, outcomes in rules.items():
            numbers[app_id, rule, "violations"] = len(outcomes["violations"])
            numbers[app_id, rule, "evaluated_tasks"] = outcomes["evaluated"]
            numbers[app_id, rule, "not_applicable_tasks"] = outcomes["not_applicable"]
    return numbers


def _numbers_by_prometheus(world: World) -> Mapping[tuple[str, str, str], int]:
    """Return what was scraped last, in the same form."""
    numbers = {}
    for what in ("violations", "evaluated_tasks", "not_applicable_tasks"):
        for (_, labels), value in world.prometheus.query(f"rtcmpu_policy_{what}").items():
            known = dict(labels)
            if known["rule"].startswith("expect-"):
                continue
            numbers[known["app_id"], known["rule"], what] = int(value)
    return numbers


def _equals_truth(world: World) -> None:
    def compare() -> None:
        truth, published = _numbers_by_truth(world), _numbers_by_prometheus(world)
        # Only violations have a series where there is none.
        absent = {key: None if key[-1] == "violations" else 0 for key in truth.keys() | published.keys()}
        different = {key: (truth.get(key, none), published.get(key, none)) for key, none in absent.items()}
        assert not {key: values for key, values in different.items() if values[0] != values[1]}

    eventually(compare)


def test_counts_by_rule_equal_the_truth_of_a_fleet_at_rest(world: World) -> None:
    """For every app and default rule: how many tasks violate it, pass it, and are none of its business."""
    _equals_truth(world)
    truth = _numbers_by_truth(world)
    assert sum(number for (*_, what), number in truth.items() if what == "violations") > 30


def test_at_every_scrape_of_a_fleet_that_changes_the_numbers_fit_together(world: World) -> None:
    """Violations are those at the baseline, plus opened, minus resolved, and a rule's four shares are all tasks."""
    _equals_truth(world)
    _churn(world, EVENTS_PER_SECOND)
    changes = "sum(rtcmpu_task_changes_total)"
    before = world.prometheus.value(changes)

    def has_changed() -> None:
        assert world.prometheus.value(changes) > before + CHURN_SECONDS * EVENTS_PER_SECOND / 3
        for counter in ("opened", "resolved"):
            assert world.prometheus.value(f"sum(rtcmpu_policy_violations_{counter}_total)") >= 5

    eventually(has_changed)
    opened = world.prometheus.scrapes("rtcmpu_policy_violations_opened_total", 3 * CHURN_SECONDS)
    resolved = world.prometheus.scrapes("rtcmpu_policy_violations_resolved_total", 3 * CHURN_SECONDS)
    violations = world.prometheus.scrapes("rtcmpu_policy_violations", 3 * CHURN_SECONDS)
    shares = [world.prometheus.scrapes(f"rtcmpu_policy_{share}_tasks", 3 * CHURN_SECONDS) for share in SHARES]
    tasks = world.prometheus.scrapes("rtcmpu_tasks", 3 * CHURN_SECONDS)
    _churn(world, 0)

    baselines = defaultdict(set)
    for labels, samples in violations.items():
        for at in samples.keys() & opened[labels].keys() & resolved[labels].keys():
            baselines[labels].add(samples[at] - opened[labels][at] + resolved[labels][at])
    assert len(baselines) > 100
    assert {labels: found for labels, found in baselines.items() if len(found) != 1} == {}
    assert sum(max(samples.values()) for samples in opened.values()) >= 5
    assert sum(max(samples.values()) for samples in resolved.values()) >= 5

    compared = 0
    for labels_of_violations, samples in violations.items():
        labels = frozenset(pair for pair in labels_of_violations if pair[0] != "severity")
        app = {pair for pair in labels if pair[0] in {"account", "app_id"}}
        of_app = [one for labels_of_tasks, one in tasks.items() if app <= labels_of_tasks]
        for at in samples:
            if all(at in one for one in of_app):
                assert sum(share.get(labels, {}).get(at, 0) for share in shares) == sum(one[at] for one in of_app)
                compared += 1
    assert compared > 1000
    _equals_truth(world)
