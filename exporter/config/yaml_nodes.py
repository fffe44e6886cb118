"""YAML text as a tree of nodes that know their places: bounded in depth and size, as PyYAML's own composer is not."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn, Protocol

import yaml
from msgspec import Struct

from exporter.config.mistakes import Mistakes, Position

DEEPEST: Final = 50
MOST_VALUES: Final = 500_000

_NOT_TEXT: Final = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})

TAGGED: Final = "!"  # the style of a value with a tag, which means nothing: the mistake is noted


class Scalar(Struct, frozen=True):
    """A single value, by its literal text: what it means depends on the key."""

    position: Position
    text: str
    style: str = ""  # how it is written: by its quote, or `|` or `>` for a block; empty for neither
    values: int = 1  # how many values it stands for, itself included; so for the other kinds of node
    begin: int = 0  # where it is in the text, its quotes included, as the next one
    end: int = 0

    @property
    def plain(self) -> bool:
        """Whether it is written without quotes and not as a block."""
        return not self.style

    @property
    def is_null(self) -> bool:
        """Whether nothing, `~` or `null` is there."""
        return self.plain and self.text in _NULLS


class Items(Struct, frozen=True):
    """A list."""

    position: Position
    items: "tuple[Node, ...]"
    values: int


class Mapping(Struct, frozen=True):
    """Keys with values, in the order of the file, duplicates included."""

    position: Position
    pairs: "tuple[tuple[Scalar, Node], ...]"
    values: int


Node = Scalar | Items | Mapping


class _Mark(Protocol):
    """A place as the parser counts: from 0."""

    line: int
    column: int


class _Stop(Exception):  # noqa: N818 - no error, but the way out of the walk over the events
    """The rest of the text can't be read; the reason is noted."""


class _Builder:
    def __init__(
        self, text: str, file_order: int, file: str, mistakes: Mistakes, advice: Callable[[Position], str] | None
    ) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self._file_order = file_order
        self._file = file
        self._mistakes = mistakes
        self._advice = advice
        self._anchors: dict[str, Node | None] = {}  # None while what is anchored is not complete

    def root(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._stop(event, "a second document, expected one in a file")
                root = self._node(next(self._events), 0)
        return root

    def position(self, mark: _Mark | None) -> Position:
        """Return a mark of the parser as people count: from 1."""
        if mark is None:
            return Position(self._file_order, self._file, 1, 1)
        return Position(self._file_order, self._file, mark.line + 1, mark.column + 1)

    def note(self, mark: _Mark | None, text: str) -> None:
        place = self.position(mark)
        if self._advice is not None and (advice := self._advice(place)):
            text = text.partition(", expected")[0] + advice
        self._mistakes.add(place, text)

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        begin, end = event.start_mark, event.end_mark
        position = self.position(begin)
        if event.tag is not None:  # types come from the keys
            self.note(begin, "a tag (!), expected a plain value")
        if isinstance(event, yaml.ScalarEvent):
            style = TAGGED if event.tag is not None else event.style or ""
            node: Node = Scalar(position, event.value, style, 1, begin.index, end.index)
        else:
            if event.anchor is not None:
                self._anchors[event.anchor] = None
            if depth >= DEEPEST:
                self._stop(event, f"nested more than {DEEPEST} levels deep")
            children, values = self._children(depth + 1)
            is_list = isinstance(event, yaml.SequenceStartEvent)
            node = Items(position, children, values) if is_list else Mapping(position, self._pairs(children), values)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _children(self, depth: int) -> "tuple[tuple[Node, ...], int]":
        """Return what is in a list or mapping, and how many values that are, itself included."""
        children: list[Node] = []
        values = 1
        for event in self._events:
            if isinstance(event, yaml.CollectionEndEvent):
                break
            children.append(self._node(event, depth))
            values += children[-1].values
            if values > MOST_VALUES:
                self._stop(event, f"more than {MOST_VALUES} values, aliases counted each time")
        return tuple(children), values

    def _pairs(self, children: "Sequence[Node]") -> "tuple[tuple[Scalar, Node], ...]":
        pairs = []
        for key, value in zip(children[::2], children[1::2], strict=True):
            if isinstance(key, Scalar):
                pairs.append((key, value))
            else:
                self._mistakes.add(key.position, "a list or mapping as a key, expected a name")
        return tuple(pairs)

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        """Return the node that an alias names; its name is not shown, it could be a secret without quotes."""
        name = event.anchor or ""
        if name not in self._anchors:
            self._stop(event, "an alias without its anchor, expected quotes around a text that starts with *")
        node = self._anchors[name]
        if node is None:
            self._stop(event, "an alias inside of what it stands for, expected what has an end")
        return node

    def _stop(self, event: yaml.Event, text: str) -> NoReturn:
        self.note(event.start_mark, text)
        raise _Stop


def compose(
    text: str, *, file: str, file_order: int, mistakes: Mistakes, advice: Callable[[Position], str] | None = None
) -> Node | None:
    """Return the tree of a YAML text, None if it is empty or no YAML; `advice` ends the sentence of a mistake."""
    odd = _NOT_TEXT.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        column = odd.start() - text.rfind("\n", 0, odd.start())
        position = Position(file_order, file, line, column)
        mistakes.add(position, f"the character U+{ord(odd[0]):04X}, expected text")
        return None
    builder = _Builder(text, file_order, file, mistakes, advice)
    try:
        root = builder.root()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if error.problem == _NO_COLON:  # it is noticed on the next line
            mark = error.context_mark or mark
        builder.note(mark, _syntax(error, text))
        return None
    except _Stop:
        return None
    if root is None or (isinstance(root, Scalar) and root.is_null):
        mistakes.add(builder.position(None), "the file is empty, expected keys and values")
        return None
    return root


_NO_COLON: Final = "could not find expected ':'"
_SENTENCES: Final = {
    _NO_COLON: "a key without a colon, expected key: value",
    "block sequence entries are not allowed in this context": "a - behind other text, expected it on the next line",
    "did not find expected '-' indicator": "no - in the list of line {line}, expected - or less indentation",
    "did not find expected ',' or ']'": "the [ of line {line} is not closed, expected a comma or ]",
    "did not find expected ',' or '}'": "the {{ of line {line} is not closed, expected a comma or }}",
    "did not find expected alphabetic or numeric character": "text that begins with * or &, expected quotes around it",
    "did not find expected comment or line break": "text behind | or >, expected it on the next line",
    "did not find expected key": (
        "text that is no key of the mapping of line {line}, expected the indentation of its other keys, or quotes"
    ),
    "did not find expected node content": "a bracket that nothing has opened, expected quotes around it",
    "found character that cannot start any token": "text that begins with @, % or `, expected quotes around it",
    "found unexpected end of stream": "the quote of line {line} is not closed, expected another one",
    "found unknown escape character": "an unknown escape, expected \\\\ for a backslash in double quotes",
    "mapping values are not allowed in this context": (
        "a colon where no key can be, expected the indentation of the other keys, or quotes around a text with a colon"
    ),
}  # by what the parser says


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    """Say what the parser stumbled on; the sentences are fixed, they quote nothing of the text."""
    mark, begin = error.problem_mark, error.context_mark or error.problem_mark
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        sentence = "a tab, expected spaces"
    elif begin is not None and error.problem in _SENTENCES:
        sentence = _SENTENCES[error.problem].format(line=begin.line + 1)
    else:
        sentence = " ".join(part for part in (error.context, error.problem) if part)
    return f"no valid YAML: {sentence}"
