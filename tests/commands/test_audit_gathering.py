"""Tests of what an audit takes from the engine."""

from msgspec.structs import replace

from exporter.commands.audit_report import AppFindings, Exempted, RuleOutcome, Violation, gather
from exporter.core.collection_state import State
from exporter.rules.compiled_rule import TaskCountRule
from exporter.rules.expectations import AppExpectations
from exporter.rules.rule import Exemption, Rule, Severity
from tests.metrics.builders import STATUS
from tests.support.policy_world import LIVE, NOON, OTHER, PolicyWorld, rule

AGREED = Exemption(name="agreed", tasks=("load-*",))
SLOW = rule(
    "slow",
    "task.idle_timeout_seconds <= 60",
    when='task.mix_mode == "mixed"',
    message='"after " + string(task.idle_timeout_seconds) + " s"',
    exempt=(AGREED,),
)


async def _gathered(world: PolicyWorld, *, up: bool = True) -> dict[str, AppFindings]:
    """Evaluate everything; return what is gathered, by app."""
    world.collect_all()
    await world.settle()
    standings = [
        (
            replace(
                STATUS,
                account=account,
                app_id=app_id,
                up=up,
                state=State.OK if up else State.TIMEOUT,
                reason="" if up else "too late",
            ),
            len(inventory),
        )
        for (account, app_id), inventory in world.inventories.items()
    ]
    audit = gather((SLOW.rule,), standings, world.policy, NOON, {})
    assert audit.rules == (SLOW.rule,)
    return {app.app_id: app for app in audit.apps}


async def test_each_outcome_is_gathered_in_the_order_of_task_ids() -> None:
    """Violations have messages, exempted tasks an exemption, unevaluable ones a reason; the rest is counted."""
    world = PolicyWorld(SLOW)
    for task_id, seconds in {"z": 61, "a": 600, "fine": 60, "load-1": 61, "none": None}.items():
        world.put(task_id, idle_timeout_seconds=seconds)
    world.put("single", mix_mode="single", idle_timeout_seconds=61)

    live = (await _gathered(world))["live"]

    assert live.tasks == 6
    (found,) = live.rules
    assert (found.rule, found.passed, found.not_applicable) == (SLOW.rule, 1, 1)
    assert found.violations == (Violation("a", "after 600 s"), Violation("z", "after 61 s"))
    assert found.exempted == (Exempted("load-1", AGREED),)
    (unevaluable,) = found.unevaluable
    assert unevaluable.task_id == "none"
    assert "idle_timeout_seconds" in unevaluable.reason


async def test_an_app_that_could_not_be_read_has_no_findings() -> None:
    """Its state and the reason are all that is known; what was found before is not shown as if it were now."""
    world = PolicyWorld(SLOW)
    world.put("a", idle_timeout_seconds=600)

    live = (await _gathered(world, up=False))["live"]

    assert (live.tasks, live.rules) == (None, ())
    assert (live.state, live.reason) == (State.TIMEOUT, "too late")


async def test_a_violation_of_the_app_as_a_whole_has_no_task() -> None:
    """Too many tasks are one violation, with an empty TaskId, of the app that expects fewer alone."""
    count = Rule(name="expect-tasks", title="Tasks", severity=Severity.WARNING, expect="", source="app")
    world = PolicyWorld(apps=(LIVE, OTHER))
    world.apply(expectations={LIVE: AppExpectations(rules=(), count=TaskCountRule(count, least=None, most=1))})
    for app in (LIVE, OTHER):
        world.put("a", app)
        world.put("b", app)

    apps = await _gathered(world)

    assert apps["live"].rules == (
        RuleOutcome(rule=count, violations=(Violation("", "too many tasks: 2, expected at most 1"),)),
    )
    assert apps["other"].rules == ()


async def test_half_a_character_of_a_task_id_becomes_a_question_mark() -> None:
    """No format can hold it."""
    world = PolicyWorld(SLOW)
    world.put("t-\ud800", idle_timeout_seconds=600)
    (found,) = (await _gathered(world))["live"].rules
    assert found.violations == (Violation("t-?", "after 600 s"),)
