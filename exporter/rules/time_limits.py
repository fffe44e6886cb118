"""The moments at which an outcome can change as time passes, from an expression's syntax tree."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

from exporter.collector.inventory import Entry
from exporter.rules.syntax_tree import Call, Constant, Elements, Ident, Loop, Node, Select

TIME: Final = frozenset({"now", "age"})
MARGIN_SECONDS: Final = 5.0
"""So much earlier and later is near enough to a limit: a step of the clock that nobody saw makes no difference."""

Evaluate: TypeAlias = Callable[[str], object]
"""Returns the value of an expression without variables; raises ValueError if it has none."""

_COMPARISONS: Final = frozenset({"_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"})
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class TimeLimit(NamedTuple):
    """An amount of time that an expression compares with how much has passed."""

    since: Literal["first_seen", "last_changed", "epoch"]
    seconds: float


class _UnknownError(Exception):
    """The outcome can change at any time."""


def time_limits(tree: Node, evaluate: Evaluate) -> frozenset[TimeLimit] | None:
    """Return all limits of an expression; None: its value can change at other times, too.

    Known are comparisons of `age`, `now`, `now - first_seen` and `now - last_changed` with a constant.
    """
    try:
        return frozenset(_limits(tree, evaluate))
    except _UnknownError:
        return None


def passed(limits: Iterable[TimeLimit], entries: Iterable[Entry], *, after: float, until: float) -> list[str]:
    """Return the TaskIds of entries that reached a limit between two wall-clock times, each once."""
    entries = list(entries)
    found: dict[str, None] = {}
    for since, seconds in limits:
        first, last = after - seconds - MARGIN_SECONDS, until - seconds + MARGIN_SECONDS
        if since == "first_seen":
            reached = [entry.task_id for entry in entries if first <= entry.first_seen <= last]
        elif since == "last_changed":
            reached = [entry.task_id for entry in entries if first <= entry.last_changed <= last]
        else:
            reached = [entry.task_id for entry in entries] if first <= 0 <= last else []
        found.update(dict.fromkeys(reached))
    return list(found)


def _limits(node: Node, evaluate: Evaluate) -> Iterator[TimeLimit]:
    if isinstance(node, Ident) and node.name in TIME:
        raise _UnknownError
    if isinstance(node, Call) and node.function in _COMPARISONS:
        one, other = node.arguments
        for elapsed, constant in ((one, other), (other, one)):
            since = _since(elapsed)
            if since is not None:
                yield TimeLimit(since, _seconds(constant, evaluate))
                return
    for part in _parts(node):
        yield from _limits(part, evaluate)


def _since(node: Node) -> Literal["first_seen", "last_changed", "epoch"] | None:
    """Return from when on the node counts the time; None: it does not."""
    match node:
        case Ident(name="age") | Call(function="_-_", arguments=(Ident(name="now"), Ident(name="first_seen"))):
            return "first_seen"
        case Call(function="_-_", arguments=(Ident(name="now"), Ident(name="last_changed"))):
            return "last_changed"
        case Ident(name="now"):
            return "epoch"
    return None


def _seconds(node: Node, evaluate: Evaluate) -> float:
    match node:
        case Call(function="duration" | "timestamp" as function, arguments=(Constant(text=str() as text),)):
            try:
                value = evaluate(f"{function}({text!r})")
            except ValueError:
                raise _UnknownError from None
            if isinstance(value, datetime):
                value -= _EPOCH
            if isinstance(value, timedelta):
                return value.total_seconds()
    raise _UnknownError


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Select(operand=operand):
            return (operand,)
        case Elements(items=parts) | Call(arguments=parts):
            return parts
        case Loop():
            return (node.over, node.start, node.condition, node.step, node.result)
    return ()
