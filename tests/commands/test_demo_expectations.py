"""The demonstration: what is expected of its apps finds what is wrong on purpose."""

from collections.abc import Mapping

from exporter.commands.simulator_commands import EXPECTATIONS
from exporter.rules.rule import Outcome, compile_rule
from exporter.rules.rule_set import expectation_rules, expected_of
from exporter.simulator import simulation as demo
from exporter.simulator.service import Service
from tests.support.evaluated_rows import evaluate_rows
from tests.support.virtual_time import SetClock

FOUND_BY = {
    "bitrate_too_high": "expect-video-bitrate-kbps",
    "idle_timeout_too_long": "expect-idle-timeout-seconds",
    "foreign_push_host": "expect-push-hosts",
    "framerate_too_low": "expect-video-framerate",
    "odd_resolution": "expect-resolution",
}


def violations(service: Service, app_id: str) -> Mapping[str, set[str]]:
    """Return the tasks of an app that are not as expected, by rule."""
    rules = expected_of(EXPECTATIONS[app_id], map(compile_rule, expectation_rules())).rules
    evaluated = evaluate_rows({app_id: service.listed(app_id)}, rules, EXPECTATIONS)[app_id]
    return {
        name: {task_id for task_id, outcome in outcomes.items() if outcome is Outcome.VIOLATION}
        for name, outcomes in evaluated.items()
    }


def marked(service: Service, app_id: str, mark: str) -> set[str]:
    """Return the tasks of an app that are wrong in one way."""
    return {row.task_id for row in service.fleet.apps[app_id].order if mark in row.marks}


def test_each_app_is_one_of_the_demonstration() -> None:
    """Nothing is expected of an app that there is not."""
    assert {*EXPECTATIONS} <= {app.id for account in demo.ACCOUNTS for app in account.apps}


def test_what_an_owner_alone_can_know_is_found() -> None:
    """Of the main app's tasks exactly those are not as expected that are wrong on purpose, also after changes."""
    clock = SetClock()
    service = demo.demo_service(now=clock.now)
    clock.seconds += 60
    found = violations(service, "live-main")
    for mark, rule in FOUND_BY.items():
        assert marked(service, "live-main", mark) <= found[rule]
    wrong = {row.task_id for row in service.fleet.apps["live-main"].order if row.marks}
    assert set[str]().union(*found.values()) <= wrong


def test_a_wrong_region_is_found() -> None:
    """The staging app is expected in two regions alone."""
    service = demo.demo_service(now=SetClock().now)
    assert marked(service, "staging-stage", "wrong_region") <= violations(service, "staging-stage")["expect-region"]


def test_what_changes_can_become_a_violation() -> None:
    """New tasks of the relaying app are mixed now and then, which is not expected of it: the demonstration lives."""
    clock = SetClock()
    service = demo.demo_service(now=clock.now)
    assert violations(service, "relay-only")["expect-mix-mode"] == set()
    clock.seconds += 1800
    assert violations(service, "relay-only")["expect-mix-mode"]
