"""Tests of what an audit takes from the engine."""

from msgspec.structs import replace

from exporter.commands.audit_report import Violation, gather
from tests.metrics.builders import STATUS
from tests.support.policy_world import LIVE, NOON, PolicyWorld, rule


async def test_half_a_character_of_a_task_id_becomes_a_question_mark() -> None:
    """No format can hold it."""
    world = PolicyWorld(rule("slow", "task.idle_timeout_seconds <= 60", message="task_id"))
    world.put("t-\ud800", idle_timeout_seconds=600)
    world.collect_all()
    await world.settle()
    audit = gather((), [(replace(STATUS, account=LIVE[0], app_id=LIVE[1], up=True), 1)], world.policy, NOON, {})
    assert audit.apps[0].rules[0].violations == (Violation("t-?", "t-?"),)
