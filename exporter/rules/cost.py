"""The most that an evaluation can cost in time and memory: from the sizes that values can have, by the syntax tree."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct, structs

from exporter.rules.facts import LONGEST_LIST, LONGEST_TEXT
from exporter.rules.syntax_tree import Call, Constant, Elements, Ident, Loop, Node, Select
from exporter.rules.vocabulary import ExpectFacts, Fact, FactType, Variables, facts_of

MOST_COST: Final = 128_000_000
"""A unit is less than half a nanosecond; a byte of memory counts as four: at most 0.05 s or 32 MB, usually far less."""

MOST_TOTAL_COST: Final = 8 * MOST_COST  # of all rules of files together, for one task

MESSAGE_FACTOR: Final = MOST_TOTAL_COST // MOST_COST
"""By which messages count towards that: those of all violations of a task are made in one turn of the event loop."""

TURN_COST: Final = MOST_COST // 16
"""Rules that can cost more together are evaluated in parts of so much, or of one rule, between turns of the loop."""

MOST_ITERATIONS: Final = 10_000  # of all loops of one evaluation together: the library stops at more

_STEP: Final = 100  # of any node of the tree
_BYTE: Final = 6  # to make one byte of a text
_ITEM: Final = 16  # the size of a reference to a value, and of a number
_ITEM_COPIED: Final = 256  # to put one item into a new list
_COMPARED: Final = 2  # to look at one byte
_GROWN: Final = 64
"""To copy one item of the list that `map` or `filter` make, which they do for each item that they add."""
_INSTRUCTION: Final = 4000  # to compile one instruction of a pattern; nothing remembers compiled ones
_MATCHED: Final = 40  # to match one byte against one instruction, at worst
_GLOB_MATCHED: Final = 10
_CALLED: Final = 3000  # to call a function of Python
_WRITTEN: Final = 16  # to write one byte of a text that a function makes
_REPLACED: Final = 100  # to look for what is replaced at one byte
_SPLIT: Final = 400  # to make a text of its own of one byte
_WIDE: Final = 600  # instructions of a class of Unicode, such as letters
_NUMBER_TEXT: Final = 64
_FORMATTED_NUMBER: Final = 1400  # the longest text of a number, with the most digits that a format may ask for


class TooCostlyError(Exception):
    """An expression may cost too much; `node` is where the limit is exceeded."""

    def __init__(self, node: Node) -> None:
        self.node = node
        super().__init__("it may cost too much")


class _Bound(Struct, frozen=True):
    total: int = _ITEM  # Bytes, with all that it holds
    length: int = 0  # Items, of a list or map
    item: "_Bound | None" = None  # the largest of the items
    fields: type[Struct] | None = None  # what declares its fields, of a value of the vocabulary


_SCALAR: Final = _Bound()

PUSH_AUTH: Final = "task.push_auth"
PUSH_EXPIRES: Final = "task.push_expires"
KEY_FACTS: Final = {
    **dict.fromkeys(("push_auth", "expired_at_start", "may_have_expired"), PUSH_AUTH),
    "push_expires": PUSH_EXPIRES,
}
"""Facts of a task that its configuration alone does not decide: an expression that names one depends on more."""


class Costs:
    """Adds up what an expression can cost; raises TooCostlyError if that may be more than `MOST_COST`."""

    def __init__(self, tree: Node) -> None:
        self.variables: set[str] = set()  # the variables of the vocabulary that the expression names
        self.total = 0
        self._visit(tree, {}, 1)

    def _add(self, node: Node, cost: int, times: int) -> None:
        self.total += cost * times
        if self.total > MOST_COST:
            raise TooCostlyError(node)

    def _visit(  # noqa: PLR0911 - one for each kind
        self, node: Node, local: Mapping[str, _Bound], times: int
    ) -> _Bound:
        self._add(node, _STEP, times)
        match node:
            case Constant(text=text):
                return _SCALAR if text is None else _text(len(text.encode()))
            case Ident(name=name):
                return local[name] if name in local else self._variable(name)
            case Select(operand=operand, field=field):
                value = self._visit(operand, local, times)
                if field in KEY_FACTS and value.fields is not ExpectFacts:
                    self.variables.add(KEY_FACTS[field])
                return _field(value, field)
            case Elements(items=items):
                values = [self._visit(item, local, times) for item in items]
                self._add(node, len(values) * _ITEM_COPIED, times)
                return _list(sum(value.total for value in values), len(values), _largest(values))
            case Loop():
                return self._loop(node, local, times)
            case Call():
                values = [self._visit(each, local, times) for each in node.arguments]
                if node.function == "matches":
                    self._add(node, _pattern_cost(node.arguments[1], _text_size(values[0])), times)
                    return _SCALAR
                cost, value = _CALLS.get(node.function, _other)(*values)
                self._add(node, cost, times)
                return value

    def _variable(self, name: str) -> _Bound:
        fact = next((fact for fact in facts_of(Variables) if fact.name == name), None)
        if fact is None:
            return _SCALAR
        self.variables.add(name)
        return _of_fact(fact)

    def _loop(self, loop: Loop, local: Mapping[str, _Bound], times: int) -> _Bound:
        over = self._visit(loop.over, local, times)
        rounds = min(over.length, MOST_ITERATIONS)
        loops = min(times, MOST_ITERATIONS // max(rounds, 1) + 1)
        inner = {**local, loop.variable: _item(over), loop.result_name: self._visit(loop.start, local, times)}
        self._visit(loop.condition, inner, loops * rounds)
        step = self._visit(loop.step, inner, loops * rounds)
        grown = _Bound(step.total * rounds, step.length * rounds, step.item) if step.length else _SCALAR
        self._add(loop, rounds * (step.length * rounds * _GROWN), loops)
        return self._visit(loop.result, {**inner, loop.result_name: grown}, times)


def _text(size: int) -> _Bound:
    return _Bound(_ITEM + size)


def _text_size(value: _Bound) -> int:
    return value.total - _ITEM


def _list(total: int, length: int, item: _Bound) -> _Bound:
    return _Bound(total + (length + 1) * _ITEM, length, item)


def _largest(values: Sequence[_Bound]) -> _Bound:
    if not values:
        return _SCALAR
    items = [value.item for value in values if value.item is not None]
    return _Bound(
        max(value.total for value in values),
        max(value.length for value in values),
        _largest(items) if items else None,
        values[0].fields if all(value.fields is values[0].fields for value in values) else None,
    )


def _item(value: _Bound) -> _Bound:
    """Return the largest item; of what has no known items, the value itself stands for it."""
    return value if value.item is None else value.item


def _field(value: _Bound, name: str) -> _Bound:
    known = () if value.fields is None else facts_of(value.fields)
    return next((_of_fact(fact) for fact in known if fact.name == name), _item(value))


@cache
def _of_fact(fact: Fact) -> _Bound:
    if fact.group is not None:
        parts = [_of_fact(part) for part in facts_of(fact.group)]
        value = _Bound(sum(part.total for part in parts), LONGEST_LIST, None, fact.group)
    else:
        value = _text(LONGEST_TEXT) if fact.kind is FactType.TEXT else _SCALAR
    return _list(value.total * LONGEST_LIST, LONGEST_LIST, value) if fact.is_list else value


_TOKEN: Final = re.compile(
    r"\\(?P<wide>[pP])(?:\{[^}]*\}|.)|\\Q.*?(?:\\E|$)|\\x\{[^}]*\}|\\.|(?P<wide_set>\[(?:\\.|[^\]\\])*\\[pP](?:\\.|[^\]\\])*\])"
    r"|(?P<set>\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\])"
    r"|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}|(?P<flags>\(\?[^):]*i)|.",
    re.DOTALL,
)


def _pattern_cost(pattern: Node, text_size: int) -> int:
    if not isinstance(pattern, Constant):
        return MOST_COST
    instructions = pattern_instructions(pattern.text or "")
    return instructions * (_INSTRUCTION + _MATCHED * text_size)


def pattern_instructions(pattern: str) -> int:
    """Return about how many instructions a pattern is compiled to: repetitions repeat what is before them."""
    groups: list[int] = [0]
    last = 0
    factor = 1
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if token["least"] is not None:
            most = token["most"] or token["least"]
            groups[-1] += last * max(int(most) - 1, 0)
            last *= max(int(most), 1)
        elif text == ")":
            last = groups.pop() if len(groups) > 1 else groups[0]
            groups[-1] += last
        elif text.startswith("("):
            groups.append(1)
            factor = 4 if token["flags"] else factor
        else:
            last = _WIDE if token["wide"] else 20 if token["set"] else 4 if text == "." else max(len(text) // 2, 1)
            if token["wide_set"]:
                last = _WIDE * text.lower().count("\\p")
            groups[-1] += last
    return factor * sum(groups) + 4


# What a function or operator costs, and the largest value that it has.


def _other(*values: _Bound) -> tuple[int, _Bound]:
    return sum(value.total for value in values) * _COMPARED, _SCALAR


def _kept(value: _Bound, *_: _Bound) -> tuple[int, _Bound]:
    total = max(value.total, _NUMBER_TEXT)
    return total * _BYTE, structs.replace(value, total=total)


def _added(one: _Bound, other: _Bound) -> tuple[int, _Bound]:
    total, length = one.total + other.total, one.length + other.length
    return length * _ITEM_COPIED or total * _BYTE, _Bound(total, length, _largest([_item(one), _item(other)]))


def _made(size: int, per_byte: int, *, looked_at: int = 0) -> tuple[int, _Bound]:
    """Make a text of a size; to look at what it is made of costs something, too."""
    value = _text(size)
    return value.total * per_byte + looked_at, value


def _replaced(text: _Bound, _: _Bound, other: _Bound, *__: _Bound) -> tuple[int, _Bound]:
    size = (_text_size(text) + 1) * (_text_size(other) + 1)
    return _made(size, _WRITTEN, looked_at=text.total * _REPLACED)


_CALLS: Final[Mapping[str, Callable[..., tuple[int, _Bound]]]] = MappingProxyType(
    {
        **dict.fromkeys(("_&&_", "_||_", "!_", "@not_strictly_false"), lambda *_: (0, _SCALAR)),
        **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "reverse", "substring", "charAt"), _kept),
        **dict.fromkeys(("dyn", "string", "bytes"), _kept),
        **dict.fromkeys(
            ("contains", "indexOf", "lastIndexOf"), lambda text, part, *_: (text.total * _text_size(part), _SCALAR)
        ),
        "_?_:_": lambda _, one, other: (0, _largest([one, other])),
        "_[_]": lambda value, _: (0, _item(value)),
        "size": lambda value: (value.total, _SCALAR),
        "_+_": _added,
        "join": lambda texts, *by: _made(texts.total + texts.length * _text_size(_largest(by)), _BYTE),
        "split": lambda text, *_: ((_text_size(text) + 1) * _SPLIT, _list(text.total, _text_size(text) + 1, text)),
        "replace": _replaced,
        "strings.quote": lambda text: _made(4 * text.total, _WRITTEN),
        "format": lambda text, given: _made(
            text.total + _text_size(text) * _FORMATTED_NUMBER + 8 * given.total, _WRITTEN
        ),
        "matchesGlob": lambda text, glob: (_CALLED + (text.total + glob.total) * _GLOB_MATCHED, _SCALAR),
    }
)
