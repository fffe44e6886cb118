"""The syntax tree of an expression (protobuf `cel.expr.CheckedExpr`), and the moments at which its value can change."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

from exporter.collector.inventory import Entry

_ANY_VALUE, _CHECKED_EXPR, _CHECKED_SOURCE, _POSITIONS = 2, 4, 5, 4  # field numbers of the messages around the tree
_ID, _CONSTANT, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = range(2, 10)  # field numbers of `Expr`
_STRING, _BYTES = 6, 7  # field numbers of `Constant`


class Constant(NamedTuple):
    """A literal; numbers and conditions have no text."""

    id: int
    text: str | None


class Ident(NamedTuple):
    """A variable, of the vocabulary or of a macro."""

    id: int
    name: str


class Select(NamedTuple):
    """A field of a value, or `has()` of one."""

    id: int
    operand: "Node"
    field: str


class Call(NamedTuple):
    """A function or an operator; what it is called on is its first argument."""

    id: int
    function: str
    arguments: tuple["Node", ...]


class Elements(NamedTuple):
    """A list or map literal; keys and values alternate in that of a map."""

    id: int
    items: tuple["Node", ...]


class Loop(NamedTuple):
    """A macro such as `all` or `map`."""

    id: int
    variable: str
    over: "Node"
    result_name: str
    start: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node: TypeAlias = Constant | Ident | Select | Call | Elements | Loop
_Message: TypeAlias = Mapping[int, list[int | bytes]]


def read_tree(serialized: bytes) -> tuple[Node, Mapping[int, int]]:
    """Return the tree, and the place in the expression's text, in characters, of each node by id."""
    checked = _message(_bytes(_message(serialized), _ANY_VALUE))
    source = _message(_bytes(checked, _CHECKED_SOURCE))
    entries = (_message(cast("bytes", entry)) for entry in source.get(_POSITIONS, ()))
    return _node(_bytes(checked, _CHECKED_EXPR)), {_int(entry, 1): _int(entry, 2) for entry in entries}


def _node(data: bytes) -> Node:  # noqa: PLR0911 - one for each kind
    message = _message(data)
    number = _int(message, _ID)
    (kind,) = message.keys() - {_ID} or {0}
    body = _message(_bytes(message, kind))
    if kind == _IDENT:
        return Ident(number, _text(body, 1))
    if kind == _SELECT:
        return Select(number, _node(_bytes(body, 1)), _text(body, 2))
    if kind == _CALL:
        return Call(number, _text(body, 2), (*_nodes(body, 1), *_nodes(body, 3)))
    if kind == _LIST:
        return Elements(number, tuple(_nodes(body, 1)))
    if kind == _STRUCT:
        entries = (_message(cast("bytes", entry)) for entry in body.get(2, ()))
        return Elements(number, tuple(node for entry in entries for key in (3, 4) for node in _nodes(entry, key)))
    if kind == _COMPREHENSION:
        over, start, condition, step, result = (_node(_bytes(body, field)) for field in (2, 4, 5, 6, 7))
        return Loop(number, _text(body, 1), over, _text(body, 3), start, condition, step, result)
    is_text = bool(body.keys() & {_STRING, _BYTES})
    return Constant(number, _text(body, _STRING) + _text(body, _BYTES) if is_text else None)


def _nodes(message: _Message, field: int) -> Iterator[Node]:
    return (_node(cast("bytes", data)) for data in message.get(field, ()))


def _bytes(message: _Message, field: int) -> bytes:
    return cast("bytes", message.get(field, [b""])[-1])


def _text(message: _Message, field: int) -> str:
    return _bytes(message, field).decode("utf-8", "replace")


def _int(message: _Message, field: int) -> int:
    return cast("int", message.get(field, [0])[-1])


def _message(data: bytes) -> _Message:
    """Return the fields of a message by number: whole numbers, and bytes of everything else."""
    fields: dict[int, list[int | bytes]] = {}
    found = UnknownFieldSet(Empty.FromString(data))
    for field in map(found.__getitem__, range(len(found))):
        fields.setdefault(field.field_number, []).append(field.data)
    return fields


TIME: Final = frozenset({"now", "age"})
MARGIN_SECONDS: Final = 5.0
"""So much earlier and later is near enough to a limit: a step of the clock that nobody saw makes no difference."""

Evaluate: TypeAlias = Callable[[str], object]  # returns the value of an expression without variables; None: it has none

_COMPARISONS: Final = frozenset({"_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"})
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class TimeLimit(NamedTuple):
    """An amount of time that an expression compares with how much has passed since a moment."""

    since: Literal["first_seen", "last_changed", "epoch", "any"]
    seconds: float


AT_ANY_TIME: Final = TimeLimit("any", 0.0)  # the value can change at any time


def time_limits(node: Node, evaluate: Evaluate) -> frozenset[TimeLimit]:
    """Return when the value can change: known for comparisons of `age`, `now` and `now - …` with a constant."""
    match node:
        case Ident(name=name) if name in TIME:
            return frozenset({AT_ANY_TIME})
        case Call(function=function, arguments=(one, other)) if function in _COMPARISONS:
            for elapsed, constant in ((one, other), (other, one)):
                if (since := _since(elapsed)) is not None:
                    seconds = _seconds(constant, evaluate)
                    return frozenset({AT_ANY_TIME if seconds is None else TimeLimit(since, seconds)})
    return frozenset[TimeLimit]().union(*(time_limits(part, evaluate) for part in _parts(node)))


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
            reached = [entry.task_id for entry in entries] if since == "any" or first <= 0 <= last else []
        found.update(dict.fromkeys(reached))
    return list(found)


def _since(node: Node) -> Literal["first_seen", "last_changed", "epoch"] | None:
    match node:
        case Ident(name="age") | Call(function="_-_", arguments=(Ident(name="now"), Ident(name="first_seen"))):
            return "first_seen"
        case Call(function="_-_", arguments=(Ident(name="now"), Ident(name="last_changed"))):
            return "last_changed"
        case Ident(name="now"):
            return "epoch"
    return None


def _seconds(node: Node, evaluate: Evaluate) -> float | None:
    match node:
        case Call(function="duration" | "timestamp" as function, arguments=(Constant(text=str() as text),)):
            value = evaluate(f"{function}({text!r})")
            if isinstance(value, datetime):
                value -= _EPOCH
            return value.total_seconds() if isinstance(value, timedelta) else None
    return None


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Select(operand=operand):
            return (operand,)
        case Elements(items=parts) | Call(arguments=parts):
            return parts
        case Loop():
            return (node.over, node.start, node.condition, node.step, node.result)
    return ()
