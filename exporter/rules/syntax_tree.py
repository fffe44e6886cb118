"""The syntax tree of an expression, read from the library's serialized form (protobuf `cel.expr.CheckedExpr`)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias, cast

from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

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
