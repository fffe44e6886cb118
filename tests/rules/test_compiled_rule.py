"""Compiled rules: what comes of one for one task."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.rules.cel_language import Activation, activation_of
from exporter.rules.facts import facts_of_case
from exporter.rules.rule import (
    LONGEST_MESSAGE,
    Exemption,
    Outcome,
    Rule,
    RuleError,
    Severity,
    TaskCountRule,
    Verdict,
    compile_rule,
)

MIDNIGHT = datetime(2030, 2, 1, tzinfo=UTC).timestamp()


def rule(expect: str = "true", **more: Any) -> Rule:
    """Return a rule that is unremarkable unless a test says otherwise."""
    return Rule(name="a-rule", title="As agreed", severity=Severity.WARNING, expect=expect, **more)


def of_task(**task: Any) -> Activation:
    """Return what a rule sees of a task."""
    return activation_of({"task": facts_of_case(task)})


def test_a_condition_without_value_is_an_error() -> None:
    """What can't be said about `when` can't be said about the rule."""
    verdict = compile_rule(rule(when="task.users > 1")).evaluate(of_task())
    assert (verdict.outcome, verdict.reason) == (Outcome.ERROR, 'Key not found in map : "users": guard it with has()')


def test_all_mistakes_of_a_rule_are_raised_at_once() -> None:
    """Each is named with the key that it is in."""
    broken = rule("task.x", when="tsk.y", message="1")
    with pytest.raises(RuleError, match=r"^when: 1:4: undeclared reference") as raised:
        compile_rule(broken)
    assert [(key, mistake.column) for key, mistake in raised.value.mistakes] == [
        ("when", 4),
        ("expect", 5),
        ("message", 1),
    ]


def test_what_a_rule_uses_is_what_its_outcome_follows_from() -> None:
    """The message is made for those who look, so it does not count."""
    compiled = compile_rule(rule("shared_outputs == 0", when="task.audio_only", message="string(now) + app.name"))
    assert compiled.uses == {"task", "shared_outputs"}
    assert compile_rule(rule("task_id != ''")).uses == {"task_id"}


@pytest.mark.parametrize(
    ("apps", "applies"),
    [((), True), (("live-*",), True), (("x", "live-main"), True), (("LIVE-*",), False), (("live",), False)],
)
def test_a_rule_is_for_the_apps_that_it_names(apps: tuple[str, ...], applies: bool) -> None:
    """AppIds and globs count as they are written; none at all are all apps."""
    assert compile_rule(rule(apps=apps)).applies_to_app("live-main") is applies


def test_an_exemption_without_end_holds_for_good() -> None:
    """The first that holds is the one that counts."""
    ended = Exemption(name="ended", tasks=("*",), until=date(2000, 1, 1))
    for_good = Exemption(name="for-good", tasks=("a", "b?"))
    compiled = compile_rule(rule(exempt=(ended, for_good)))
    assert compiled.rule.exemption_of("b1", 1e12) is for_good
    assert compiled.rule.exemption_of("b", 1e12) is None
    assert compiled.rule.exemption_of("B1", 1e12) is None


def test_people_read_the_message_or_the_title() -> None:
    """A message is one line of bounded length; where it has no value the title is, with the reason."""
    texts = {
        "": "As agreed",
        r'"at\n " + string(task.users)': "at 2",
        '"é" + task.region': 'As agreed (no message: Key not found in map : "region": guard it with has())',
        '"%s".format(["x".replace("x", "' + "y" * 600 + '")])': "y" * LONGEST_MESSAGE + "…",
    }
    reported = {message: compile_rule(rule(message=message)).text_for(of_task(users=2)) for message in texts}
    assert reported == texts


@given(st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), st.integers(0, 10))
def test_a_number_of_tasks_is_within_its_bounds_or_not(least: int | None, most: int | None, tasks: int) -> None:
    """Both bounds belong to what is expected; a missing one bounds nothing."""
    is_fine = (least is None or least <= tasks) and (most is None or tasks <= most)
    counted = TaskCountRule(rule(), least, most)
    assert counted.evaluate(tasks) == Verdict(Outcome.PASS if is_fine else Outcome.VIOLATION)


def test_a_wrong_number_of_tasks_is_reported_with_what_was_expected() -> None:
    """Too few and too many are said apart."""
    counted = TaskCountRule(rule(), 2, 4)
    assert counted.text_for(1) == "too few tasks: 1, expected at least 2"
    assert counted.text_for(9) == "too many tasks: 9, expected at most 4"
