"""YAML text as a tree of nodes that know their places: bounded in depth and size, whatever the text is.

Built from the parser's events, since the library's own composer has no bound: many thousand brackets overflow
its stack, and nested aliases unfold to any size.
"""

import re
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

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


class _Open(Struct):
    """A list or mapping whose end has not come yet."""

    position: Position
    is_mapping: bool
    anchor: str | None
    children: list[Node]
    values: int = 1


class _Stop(Exception):  # noqa: N818 - no error, but the way out of the walk over the events
    """The rest of the text can't be read; the reason is noted."""


class _Builder:
    """Puts the parser's events together."""

    def __init__(
        self, file_order: int, file: str, mistakes: Mistakes, advice: Callable[[Position], str] | None
    ) -> None:
        self.root: Node | None = None
        self._file_order = file_order
        self._file = file
        self._mistakes = mistakes
        self._advice = advice
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._documents = 0

    def position(self, mark: _Mark | None) -> Position:
        """Return a mark of the parser as people count: from 1."""
        if mark is None:
            return Position(self._file_order, self._file, 1, 1)
        return Position(self._file_order, self._file, mark.line + 1, mark.column + 1)

    def note(self, mark: _Mark | None, text: str) -> None:
        """Note what is wrong with the YAML itself."""
        place = self.position(mark)
        if self._advice is not None and (advice := self._advice(place)):
            text = text.partition(", expected")[0] + advice
        self._mistakes.add(place, text)

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(event, "a second document, expected one in a file")
            case yaml.ScalarEvent():
                self._refuse_tag(event)
                style = TAGGED if event.tag is not None else event.style or ""
                scalar = Scalar(self.position(event.start_mark), event.value, style)
                self._remember(event.anchor, scalar)
                self._attach(event, scalar)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._refuse_tag(event)
                self._remember(event.anchor, None)
                if len(self._open) >= DEEPEST:
                    self._stop(event, f"nested more than {DEEPEST} levels deep")
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                self._open.append(_Open(self.position(event.start_mark), is_mapping, event.anchor, []))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                closed = self._open.pop()
                node = self._mapping(closed) if closed.is_mapping else self._items(closed)
                self._remember(closed.anchor, node)
                self._attach(event, node)
            case yaml.AliasEvent():
                self._attach(event, self._aliased(event))
            case _:
                pass

    def _attach(self, event: yaml.Event, node: Node) -> None:
        """Put a finished node where it belongs."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.children.append(node)
        parent.values += node.values
        if parent.values > MOST_VALUES:
            self._stop(event, f"more than {MOST_VALUES} values, aliases counted each time")

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        """Return the node that an alias names; its name is not shown, it could be a secret without quotes."""
        name = event.anchor or ""
        if name not in self._anchors:
            self._stop(event, "an alias without its anchor, expected quotes around a text that starts with *")
        node = self._anchors[name]
        if node is None:
            self._stop(event, "an alias inside of what it stands for, expected what has an end")
        return node

    def _remember(self, anchor: str | None, node: Node | None) -> None:
        """Keep an anchored node for its aliases; None while it is not complete."""
        if anchor is not None:
            self._anchors[anchor] = node

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        """Note a tag: types come from the keys."""
        if event.tag is not None:
            self.note(event.start_mark, "a tag (!), expected a plain value")

    def _items(self, closed: _Open) -> Items:
        """Finish a list."""
        return Items(closed.position, tuple(closed.children), closed.values)

    def _mapping(self, closed: _Open) -> Mapping:
        """Finish a mapping."""
        pairs = []
        for key, value in zip(closed.children[::2], closed.children[1::2], strict=True):
            if isinstance(key, Scalar):
                pairs.append((key, value))
            else:
                self._mistakes.add(key.position, "a list or mapping as a key, expected a name")
        return Mapping(closed.position, tuple(pairs), closed.values)

    def _stop(self, event: yaml.Event, text: str) -> NoReturn:
        """Note why the rest is not read."""
        self.note(event.start_mark, text)
        raise _Stop


def compose(
    text: str, *, file: str, file_order: int, mistakes: Mistakes, advice: Callable[[Position], str] | None = None
) -> Node | None:
    """Return the tree of a YAML text.

    Args:
        text: The whole file.
        file: Its name, as positions show it.
        file_order: Its place among the files, for sorting.
        mistakes: Receives what is wrong.
        advice: What to add to a mistake of the YAML itself at a place; it goes on from the mistake's sentence.

    Returns:
        None where there is nothing to go on with: the text is empty, or no YAML.
    """
    odd = _NOT_TEXT.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        column = odd.start() - text.rfind("\n", 0, odd.start())
        position = Position(file_order, file, line, column)
        mistakes.add(position, f"the character U+{ord(odd[0]):04X}, expected text")
        return None
    builder = _Builder(file_order, file, mistakes, advice)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if error.problem == _NO_COLON:  # it is noticed on the next line
            mark = error.context_mark or mark
        builder.note(mark, _syntax(error, text))
        return None
    except _Stop:
        return None
    if builder.root is None or (isinstance(builder.root, Scalar) and builder.root.is_null):
        mistakes.add(builder.position(None), "the file is empty, expected keys and values")
        return None
    return builder.root


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
}
"""By what the parser says."""


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
