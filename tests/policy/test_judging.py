"""Tests of how often rules are evaluated."""

from collections.abc import Sequence

import pytest

from exporter.collect.inventory import Entry
from exporter.config.model import App
from exporter.policy.backlog import Scope
from exporter.policy.compiled import CompiledRule
from exporter.policy.judging import Judging, Memos
from exporter.policy.language import Activation, Language
from exporter.policy.outcomes import PASS, UNKNOWN, VIOLATION, nothing_known
from exporter.policy.subject import Subject, app_facts
from tests.metrics.builders import configuration
from tests.support.policy_world import make_task, rule

CONFIGURED = rule("configured", 'task.mix_mode == "mixed"')
OF_APP = rule("of-app", 'app.id == "live"')
SHARED = rule("shared", "shared_outputs == 0")
NAMED = rule("named", 'task_id != "b"')
YOUNG = rule("young", 'age < duration("1m")')


class _Counting(Language):
    """Counts how often something is evaluated against new variables."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, ...]] = []

    def activation(self, variables: object) -> Activation:
        """Note the variables."""
        assert isinstance(variables, dict)
        self.made.append(tuple(sorted(variables)))
        return super().activation(variables)


LANGUAGE = _Counting()


@pytest.fixture(autouse=True)
def _forget() -> None:
    """Count from nothing in each test."""
    LANGUAGE.made.clear()


def _subject(task_id: str, *, shared: int = 0, app_id: str = "live", now: float = 0.0, idle: int = 10) -> Subject:
    task = make_task(task_id, 1, configuration(idle_timeout_seconds=idle))
    return Subject(
        Entry(task, first_seen=0.0, last_changed=0.0, sent_at=0.0),
        app_facts("prod", App(id=app_id)),
        now=now,
        shared_outputs=lambda _: shared,
        language=LANGUAGE,
    )


def _judge(judging: Judging, subject: Subject, scope: Scope = Scope.ALL, before: bytes | None = None) -> bytes:
    return judging.outcomes(subject, before or nothing_known(len(judging.rules)), scope)


def _judging(rules: Sequence[CompiledRule], app: str = "live", memos: Memos | None = None) -> Judging:
    return Judging(rules, app, memos or Memos())


@pytest.mark.parametrize(("judged", "times"), [(CONFIGURED, 1), (OF_APP, 1), (SHARED, 1), (NAMED, 3), (YOUNG, 3)])
def test_tasks_that_are_set_up_alike_are_judged_once(judged: CompiledRule, times: int) -> None:
    """Only rules that name the task or the time are evaluated for each task."""
    judging = _judging([judged])
    for task_id in ("a", "c", "d"):
        assert _judge(judging, _subject(task_id)) == bytes([PASS])
    assert len(LANGUAGE.made) == times


def test_another_configuration_or_number_is_judged_anew() -> None:
    """What is remembered belongs to exactly what the rules ask for."""
    judging = _judging([CONFIGURED, SHARED])
    place = judging.rules.index(SHARED)
    assert _judge(judging, _subject("a"))[place] == PASS
    assert _judge(judging, _subject("b", shared=1))[place] == VIOLATION
    assert len(LANGUAGE.made) == 3
    _judge(judging, _subject("c", idle=11))
    assert len(LANGUAGE.made) == 5


def test_apps_with_the_same_rules_share_what_is_remembered() -> None:
    """A configuration is judged once for all apps, but for rules that name the app, and for other rules."""
    memos = Memos()
    judgings = [_judging([CONFIGURED, OF_APP], app, memos) for app in ("live", "other")]
    for judging, app_id in zip(judgings, ("live", "other"), strict=True):
        _judge(judging, _subject("a", app_id=app_id))
    assert sorted(LANGUAGE.made) == [("app",), ("app",), ("task",)]


def test_what_is_remembered_survives_another_list_of_the_same_rules() -> None:
    """Whoever judges by the same expressions goes on with what was found, whatever else of the rules differs."""
    memos = Memos()
    before = _judging([CONFIGURED], memos=memos)
    _judge(before, _subject("a"))
    after = _judging([rule("configured", 'task.mix_mode == "mixed"', message='"x"')], memos=memos)
    _judge(after, _subject("b"))
    assert len(LANGUAGE.made) == 1


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
    judging = _judging([CONFIGURED, OF_APP, SHARED, NAMED, YOUNG])
    outcomes = _judge(judging, _subject("a"), scope)
    judged = {each.rule.name for each, outcome in zip(judging.rules, outcomes, strict=True) if outcome != UNKNOWN}
    assert judged == known


def test_what_rules_need_of_time_and_exemptions_is_known() -> None:
    """Whether anything is to be done as time goes by follows from the rules."""
    assert _judging([YOUNG]).depends_on_time
    assert not _judging([CONFIGURED, SHARED, NAMED]).depends_on_time
    assert not _judging([CONFIGURED]).has_exemptions
