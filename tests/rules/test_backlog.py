"""Tests of what waits to be evaluated."""

from exporter.rules.app_engine import Backlog
from exporter.rules.evaluator import Scope


def _taken(backlog: Backlog) -> list[tuple[str, Scope]]:
    taken = []
    while backlog:
        taken.append(backlog.take())
    return taken


def test_changes_come_before_reviews() -> None:
    """Tasks that changed are evaluated first, whenever they came, and in full."""
    backlog = Backlog()
    backlog.review(["a", "b"], Scope.TIME)
    backlog.add_changed(["c"])
    backlog.mark("d", Scope.RELATIONS)
    assert (backlog.next_tasks, backlog.has_changes, backlog.has_reviews) == (2, True, True)
    assert [backlog.take(), backlog.take()] == [("d", Scope.RELATIONS), ("c", Scope.ALL)]
    assert (backlog.next_tasks, backlog.has_changes) == (2, False)
    assert _taken(backlog) == [("a", Scope.TIME), ("b", Scope.TIME)]
    assert not backlog


def test_a_task_that_is_marked_twice_waits_once() -> None:
    """The larger scope wins, in whichever order they come."""
    for scopes in ((Scope.TIME, Scope.ALL), (Scope.ALL, Scope.TIME)):
        backlog = Backlog()
        for scope in scopes:
            backlog.mark("a", scope)
        assert _taken(backlog) == [("a", Scope.ALL)]


def test_a_review_stands_for_smaller_ones() -> None:
    """What an earlier review with no larger scope would look at is not looked at twice."""
    backlog = Backlog()
    backlog.review(["a", "b"], Scope.TIME)
    backlog.review(["a", "b"], Scope.EXEMPTIONS)
    assert backlog.next_tasks == 4
    backlog.review(["a", "b"], Scope.ALL)
    assert _taken(backlog) == [("a", Scope.ALL), ("b", Scope.ALL)]


def test_nothing_is_no_work() -> None:
    """Empty changes and reviews leave nothing to be evaluated."""
    backlog = Backlog()
    backlog.add_changed([])
    backlog.review([], Scope.ALL)
    assert not backlog
    assert backlog.next_tasks == 0
