"""When outcomes can change as time passes."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.inventory import Entry
from exporter.config.model import App
from exporter.rules.app_engine import AppPolicy
from exporter.rules.cel_language import compile_condition
from exporter.rules.rule import CompiledRule
from exporter.rules.subject import Subject, app_facts
from exporter.rules.syntax_tree import AT_ANY_TIME, TimeLimit, passed
from tests.metrics.builders import configuration
from tests.support.policy_world import PolicyWorld, make_task, rule

HOUR: Final = 3600.0
KNOWN: Final[dict[str, frozenset[TimeLimit]]] = {
    'task_id == "a"': frozenset(),
    'age < duration("1h")': frozenset({TimeLimit("first_seen", HOUR)}),
    "duration('1h') <= now - first_seen && size(task_id) > 0": frozenset({TimeLimit("first_seen", HOUR)}),
    'now - last_changed != duration("1h0.5s")': frozenset({TimeLimit("last_changed", HOUR + 0.5)}),
    'now > timestamp("1970-01-01T01:00:00Z") ? age > duration("0s") : true': frozenset(
        {TimeLimit("epoch", HOUR), TimeLimit("first_seen", 0.0)}
    ),
    "task.outputs.exists(one, one.host != '' && age >= duration('1h'))": frozenset({TimeLimit("first_seen", HOUR)}),
}
UNKNOWN: Final = (
    "age.getHours() > 3",
    "now.getHours() < 6 && age > duration('1h')",
    "first_seen + duration('1h') < now",
    "age < duration('1h') + duration('1m')",
    "age < duration(task_id)",
    "age < duration('an hour')",
    "[age].all(one, one < duration('1h'))",
    "now - first_seen == age",
)


@pytest.mark.parametrize(("expect", "limits"), KNOWN.items())
def test_comparisons_with_constants_have_limits(expect: str, limits: frozenset[TimeLimit]) -> None:
    """Each known comparison gives its moment, wherever in an expression it is."""
    assert compile_condition(expect).limits == limits


@pytest.mark.parametrize("expect", UNKNOWN)
def test_other_uses_of_the_time_have_none(expect: str) -> None:
    """One use of the time that is not known makes the whole expression so."""
    assert AT_ANY_TIME in compile_condition(expect).limits
    assert AT_ANY_TIME in rule("a", "true", when=expect).limits
    assert AT_ANY_TIME in rule("a", expect, when="age < duration('1h')").limits


RULES: Final = [rule(f"rule-{place}", expect) for place, expect in enumerate(KNOWN)]
_seconds = st.sampled_from([0.0, HOUR, 2 * HOUR]) | st.floats(0, 3 * HOUR)


@given(st.sampled_from(RULES), _seconds, _seconds, st.tuples(_seconds, _seconds))
def test_an_outcome_changes_only_at_limits(
    each: CompiledRule, first: float, changed: float, times: tuple[float, float]
) -> None:
    """A task with another outcome than before is among those that passed a limit."""
    entry = Entry.of(make_task("a", 1, configuration()), first_seen=first, last_changed=changed, sent_at=0.0)
    after, until = sorted(times)

    def outcome(now: float) -> object:
        subject = Subject(entry, app_facts("prod", App(id="a")), now=now, shared_outputs=lambda _: 0)
        return each.evaluate(subject.activation(each.uses))

    found = passed(each.limits, [entry], after=after, until=until)
    assert found == ["a"] or outcome(after) == outcome(until)


def test_only_tasks_that_reached_a_limit_are_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule about the age costs what is due; one about the time of day costs all tasks, each minute."""
    evaluated: list[str] = []
    honest = AppPolicy._evaluate

    def watched(self: AppPolicy, subject: Subject, *others: Any) -> bool:
        evaluated.append(subject.entry.task_id)
        return honest(self, subject, *others)

    monkeypatch.setattr(AppPolicy, "_evaluate", watched)
    young = rule("young", 'age < duration("210s")')
    world = PolicyWorld(young)
    for number in range(3):
        world.update(f"task-{number}")
        world.clock.advance(60.0)
    evaluated.clear()
    found = []
    for _ in range(3):
        world.clock.advance(60.0)
        world.policy.tick()
        found.append((sorted(evaluated), world.report("young").violations))
        evaluated.clear()
    assert found == [(["task-0"], 1), (["task-1"], 2), (["task-2"], 3)]

    world.apply(young, rule("even", "now.getMinutes() % 2 == 0"))
    evaluated.clear()
    world.clock.advance(60.0)
    world.policy.tick()
    assert sorted(evaluated) == ["task-0", "task-1", "task-2"]
