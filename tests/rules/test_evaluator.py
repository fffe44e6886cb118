"""Tests of how often rules are evaluated, and of what waits for it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pytest

from exporter.collector.inventory import Entry
from exporter.config.model import App
from exporter.rules import subject
from exporter.rules.app_engine import Backlog
from exporter.rules.cel_language import Activation, activation_of
from exporter.rules.evaluator import Evaluator, Scope, SharedEvaluations
from exporter.rules.rule import ERROR, NOT_APPLICABLE, PASS, UNKNOWN, VIOLATION, CompiledRule, nothing_known
from exporter.rules.subject import Subject, app_facts
from tests.metrics.builders import configuration
from tests.support.policy_world import make_task, rule

CONFIGURED = rule("configured", 'task.mix_mode == "mixed"')
OF_APP = rule("of-app", 'app.id == "live"')
SHARED = rule("shared", "shared_outputs == 0")
NAMED = rule("named", 'task_id != "b"')
YOUNG = rule("young", 'age < duration("1m")')


Made: TypeAlias = list[tuple[str, ...]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Note what variables tasks are evaluated against."""
    noted: Made = []

    def note(variables: Mapping[str, Any]) -> Activation:
        noted.append(tuple(sorted(variables)))
        return activation_of(variables)

    monkeypatch.setattr(subject, "activation_of", note)
    return noted


def _subject(task_id: str, *, shared: int = 0, app_id: str = "live", now: float = 0.0, idle: int = 10) -> Subject:
    task = make_task(task_id, 1, configuration(idle_timeout_seconds=idle))
    return Subject(
        Entry.of(task, first_seen=0.0, last_changed=0.0, sent_at=0.0),
        app_facts("prod", App(id=app_id)),
        now=now,
        shared_outputs=lambda _: shared,
    )


def _evaluate(evaluator: Evaluator, subject: Subject, scope: Scope = Scope.ALL, before: bytes | None = None) -> bytes:
    outcomes = evaluator.outcomes(subject, before or nothing_known(len(evaluator.rules)), scope)
    assert outcomes is not None
    return outcomes


def _evaluator(rules: Sequence[CompiledRule], app: str = "live", shared: SharedEvaluations | None = None) -> Evaluator:
    return Evaluator(rules, app, shared or SharedEvaluations())


@pytest.mark.parametrize(("evaluated", "times"), [(CONFIGURED, 1), (OF_APP, 1), (SHARED, 1), (NAMED, 3), (YOUNG, 3)])
def test_tasks_that_are_set_up_alike_are_evaluated_once(evaluated: CompiledRule, times: int, made: Made) -> None:
    """Only rules that name the task or the time are evaluated for each task."""
    evaluator = _evaluator([evaluated])
    for task_id in ("a", "c", "d"):
        assert _evaluate(evaluator, _subject(task_id)) == bytes([PASS])
    assert len(made) == times


def test_another_configuration_or_number_is_evaluated_again(made: Made) -> None:
    """What is remembered belongs to exactly what the rules ask for."""
    evaluator = _evaluator([CONFIGURED, SHARED])
    place = evaluator.rules.index(SHARED)
    assert _evaluate(evaluator, _subject("a"))[place] == PASS
    assert _evaluate(evaluator, _subject("b", shared=1))[place] == VIOLATION
    _evaluate(evaluator, _subject("c", idle=11))
    assert made == [("shared_outputs", "task"), ("shared_outputs",), ("shared_outputs", "task")]


def test_apps_with_the_same_rules_share_what_is_remembered(made: Made) -> None:
    """A configuration is evaluated once for all apps, but for rules that name the app, and for other rules."""
    shared = SharedEvaluations()
    evaluators = [_evaluator([CONFIGURED, OF_APP], app, shared) for app in ("live", "other")]
    for evaluator, app_id in zip(evaluators, ("live", "other"), strict=True):
        _evaluate(evaluator, _subject("a", app_id=app_id))
    assert made == [("app", "task"), ("app",)]


def test_what_is_remembered_survives_another_list_of_the_same_rules(made: Made) -> None:
    """Anyone who evaluates by the same expressions goes on with what was found, whatever else of the rules differs."""
    shared = SharedEvaluations()
    before = _evaluator([CONFIGURED], shared=shared)
    _evaluate(before, _subject("a"))
    after = _evaluator([rule("configured", 'task.mix_mode == "mixed"', message='"x"')], shared=shared)
    _evaluate(after, _subject("b"))
    assert len(made) == 1


@pytest.mark.parametrize(
    ("scope", "known"),
    [
        (Scope.EXEMPTIONS, set()),
        (Scope.TIME, {"young"}),
        (Scope.RELATIONS, {"young", "shared"}),
        (Scope.ALL, {"young", "shared", "configured", "of-app", "named"}),
    ],
)
def test_a_scope_leaves_other_rules_alone(scope: Scope, known: set[str]) -> None:
    """Only the rules in scope are evaluated; the outcomes of the others stay as they were."""
    evaluator = _evaluator([CONFIGURED, OF_APP, SHARED, NAMED, YOUNG])
    outcomes = _evaluate(evaluator, _subject("a"), scope)
    evaluated = {each.rule.name for each, outcome in zip(evaluator.rules, outcomes, strict=True) if outcome != UNKNOWN}
    assert evaluated == known


BROKEN = rule("broken", "task.users > 1", when="task.mix_mode != '' // not for all")
NOT_FOR_ALL = rule("not-for-all", "true", when='task.mix_mode == "single"')


def test_rules_are_evaluated_in_one_program() -> None:
    """Several rules cost about as much as one, also where an expression ends with a comment."""
    commented = rule("commented", 'task.mix_mode == "mixed" // as agreed')
    shared = SharedEvaluations()
    program = shared.program([CONFIGURED, commented, NOT_FOR_ALL])
    assert program is not None
    assert program.evaluate_list(_subject("a").activation({"task"})) == [PASS, PASS, NOT_APPLICABLE]
    assert shared.program([CONFIGURED, commented, NOT_FOR_ALL]) is program


def test_one_rule_that_fails_leaves_the_others_their_outcomes() -> None:
    """Where the program has no value, rules are evaluated one by one."""
    evaluator = _evaluator([CONFIGURED, BROKEN, NOT_FOR_ALL])
    outcomes = dict(zip(evaluator.rules, _evaluate(evaluator, _subject("a")), strict=True))
    assert outcomes == {CONFIGURED: PASS, BROKEN: ERROR, NOT_FOR_ALL: NOT_APPLICABLE}


def test_rules_that_are_nested_deeply_are_evaluated_one_by_one() -> None:
    """They fit into no common program."""
    deep = rule("deep", "(" * 31 + "true" + ")" * 31)
    shared = SharedEvaluations()
    assert shared.program([CONFIGURED, deep]) is None
    assert _evaluate(_evaluator([CONFIGURED, deep]), _subject("a")) == bytes([PASS, PASS])


def test_changes_come_before_reviews() -> None:
    """Tasks that changed are evaluated first, whenever they came, and in full; nothing is no work."""
    backlog = Backlog()
    backlog.add_changed([])
    backlog.review([], Scope.ALL)
    assert (bool(backlog), backlog.next_tasks) == (False, 0)
    backlog.review(["a"], Scope.TIME)
    backlog.add_changed(["c"])
    backlog.mark("d", Scope.RELATIONS)
    assert (backlog.next_tasks, backlog.has_changes) == (2, True)
    assert {backlog.take(), backlog.take()} == {("d", Scope.RELATIONS), ("c", Scope.ALL)}
    assert (backlog.next_tasks, backlog.has_changes) == (1, False)
    assert (backlog.take(), bool(backlog)) == (("a", Scope.TIME), False)


@pytest.mark.parametrize("scopes", [(Scope.TIME, Scope.ALL), (Scope.ALL, Scope.TIME)])
def test_the_larger_scope_stands_for_the_smaller(scopes: tuple[Scope, ...]) -> None:
    """A task that is to be evaluated twice waits once, with all that either asks for."""
    for note in (Backlog.mark, lambda backlog, task_id, scope: backlog.review([task_id], scope)):
        backlog = Backlog()
        for scope in scopes:
            note(backlog, "a", scope)
        assert (backlog.next_tasks, backlog.take()) == (1, ("a", Scope.ALL))
