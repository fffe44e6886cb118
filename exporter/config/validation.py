"""From YAML nodes to a model: pydantic finds what is wrong, this module says it in words and with its place."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from exporter.config.files import ExpansionError, expand
from exporter.config.mistakes import Mistakes, Position
from exporter.config.section import (
    FILE_SUFFIX,
    ValueType,
    describe,
    is_secret,
    keys_of,
    kind_of,
    kinds_of,
    nearest,
    one_of,
)
from exporter.config.value_types import Choices, Expected, Text, Unfit
from exporter.config.yaml_nodes import TAGGED, Items, Node, Scalar
from exporter.config.yaml_nodes import Mapping as MappingNode

TAG: Final = "type"  # the key that says which of several mappings is meant
REPLACED_KEYS: Final = {"state_file": "a section of its own: storage: {url: sqlite:PATH}"}
"""Keys that existed, and what to write today."""
_LONGEST_SHOWN: Final = 40
_NEAR: Final = 0.7  # how alike a value and the one that was meant are: stricter than for keys
_WRONG_KINDS: Final = {Scalar: "a single value", Items: "a list", MappingNode: "a mapping"}
_Location = Sequence[str | int]


class Plain:
    """Makes plain data of a tree of nodes; keys that are not `known` may be secrets, which no mistake shows."""

    def __init__(self, known: frozenset[str], environ: Mapping[str, str] | None, mistakes: Mistakes) -> None:
        self._known = known
        self._environ = environ
        self._mistakes = mistakes
        self.unreadable: set[Position] = set()  # the places whose mistake is noted already

    def data(self, node: Node) -> object:
        """Return dicts, lists and `Text`; None where nothing is written."""
        match node:
            case Scalar():
                return self._text(node)
            case Items():
                return [self.data(item) for item in node.items]
            case MappingNode():
                return self._mapping(node)

    def _mapping(self, node: MappingNode) -> dict[str, object]:
        read: dict[str, object] = {}
        first: dict[str, Position] = {}
        for key, value in node.pairs:
            if key.text in first:
                shown = f" {key.text}" if key.text in self._known else ""
                text = f"duplicate key{shown}, expected once: the first is at {first[key.text]}"
                self._mistakes.add(key.position, text)
                continue
            first[key.text] = key.position
            read[key.text] = self.data(value)
        return read

    def _text(self, node: Scalar) -> Text | None:
        if node.is_null:
            return None
        if node.style == TAGGED:
            self.unreadable.add(node.position)
        try:
            text = node.text if self._environ is None else expand(node.text, self._environ)
        except ExpansionError as error:
            for problem in error.problems:
                self._mistakes.add(node.position, problem)
            self.unreadable.add(node.position)
            return Text("")
        return Text(text, plain=node.plain or text != node.text)


def validate(
    node: Node,
    model: Any,
    mistakes: Mistakes,
    *,
    directory: Path = Path(),
    environ: Mapping[str, str] | None = None,
    looks_at_files: bool = True,
) -> Any:
    """Return what a tree means as a model, or None with every mistake noted; without an `environ` `${NAME}` is text.

    `looks_at_files`: whether the files that it names must be right, too.
    """
    plain = Plain(_known_keys(kind_of(model)), environ, mistakes)
    before = len(mistakes)
    data = plain.data(node)
    context = {"directory": directory, "looks_at_files": looks_at_files}
    try:
        # Keys are the aliases alone, whatever names code may use.
        value = TypeAdapter(model).validate_python(data, by_alias=True, by_name=False, context=context)
    except ValidationError as caught:
        for error in caught.errors(include_url=False, include_input=False):
            for place, text in _Report(node, kind_of(model), error, environ).mistakes():
                if place not in plain.unreadable:
                    mistakes.add(place, text)
        return None
    return value if len(mistakes) == before else None


def _known_keys(kind: ValueType) -> frozenset[str]:
    inner = [kind_of(kind.item)] if kind.item is not None else []
    keys: set[str] = set()
    for model in kind.models:
        keys |= keys_of(model).keys()
        inner += kinds_of(model).values()
    return frozenset(keys.union(*map(_known_keys, inner)))


def find(node: Node, location: _Location) -> Node | None:
    """Return the node at a location; None where nothing is there."""
    for part in location:
        if isinstance(node, MappingNode) and isinstance(part, str):
            found = next((value for key, value in node.pairs if key.text == part), None)
        elif isinstance(node, Items) and isinstance(part, int):
            found = node.items[part]
        else:
            found = None
        if found is None:
            return None
        node = found
    return node


def items_at(node: Node | None, *location: str | int) -> tuple[Node, ...]:
    """Return the items of the list at a location; nothing where there is no list."""
    found = None if node is None else find(node, location)
    return found.items if isinstance(found, Items) else ()


def text_at(node: Node, *location: str | int) -> Scalar | None:
    """Return the single value at a location."""
    found = find(node, location)
    return found if isinstance(found, Scalar) and not found.is_null else None


def place_of(node: Node, key: str) -> Position:
    """Return where a key's value is; the mapping's own place where it is left out."""
    return (find(node, [key]) or node).position


def check_unique(entries: Sequence[Node], key: str, what: str, mistakes: Mistakes, expected: str = "once") -> None:
    """Note each mapping whose value of a key is that of an earlier one."""
    first: dict[str, Position] = {}
    for entry in entries:
        name = text_at(entry, key)
        if name is not None and name.text in first:
            text = f"{what} {name.text} again, expected {expected}: the first is at {first[name.text]}"
            mistakes.add(name.position, text)
        elif name is not None:
            first[name.text] = name.position


class _Report:
    """One error of pydantic, followed through the nodes and the types."""

    def __init__(self, root: Node, kind: ValueType, error: ErrorDetails, environ: Mapping[str, str] | None) -> None:
        self._error = error
        self._environ = environ
        self._node: Node | None = root
        self._parent: Node = root
        self._key: Scalar | None = None
        self._parent_kind = self._kind = kind
        self._label = "the file"
        self._name = ""
        self._secretive = False
        for part in error["loc"]:
            self._follow(part)

    def mistakes(self) -> Iterator[tuple[Position, str]]:
        match self._error["type"]:
            case "missing" if self._node is not None:
                yield self._wrong_value()
            case "missing":
                text = f"missing key {one_of(_spellings(self._name, self._kind))}, expected {describe(self._kind)}"
                yield self._parent.position, text
            case "extra_forbidden":
                yield self._unknown_key()
            case "too_short" if isinstance(self._node, Items) and self._node.items:
                pass  # the items are what is wrong
            case "union_tag_invalid" if isinstance(self._node, MappingNode):
                tags = one_of([_tag(model) for model in self._kind.models])
                yield place_of(self._node, TAG), f"unknown {TAG} of {self._label}, expected {tags}"
            case "problems":
                for key, text in self._error["ctx"]["found"]:
                    yield self._place_of(key), text.replace("{label}", self._label)
            case _ if self._key is not None and self._error["loc"][-1] == "[key]":
                table = self._error["loc"][-3]
                yield self._key.position, f"a key of {table} {_shown(self._key)}, expected {describe(self._kind)}"
            case _:
                yield self._wrong_value()

    def _follow(self, part: str | int) -> None:
        """Go one step down; the tag of a union is in no file."""
        models = self._kind.models
        if part == "[key]":
            self._kind = kind_of(get_args(self._parent_kind.core)[0])
            return
        if len(models) > 1:
            self._kind = kind_of(next(model for model in models if _tag(model) == part))
            self._secretive = True
            return
        self._parent_kind = self._kind
        if isinstance(part, int):
            self._label = f"an item of {self._name or 'the file'}"
            self._kind = kind_of(self._kind.item)
        else:
            self._label = self._name = part if part.isprintable() and len(part) <= _LONGEST_SHOWN else "a value"
            if models:
                self._kind = kinds_of(models[0]).get(part, kind_of(object))
            else:
                self._kind = kind_of(self._kind.item)
        if self._node is not None:
            self._parent = self._node
            self._key = None
            if isinstance(self._node, MappingNode):
                names = _spellings(str(part), self._kind)
                self._key = next((key for key, _ in self._node.pairs if key.text in names), None)
            self._node = find(self._node, [self._key.text if self._key is not None else part])

    def _place_of(self, key: str) -> Position:
        node = self._node or self._parent
        if isinstance(node, MappingNode):
            for name, value in node.pairs:
                if name.text == key:
                    return value.position
        return node.position

    def _unknown_key(self) -> tuple[Position, str]:
        place = self._key.position if self._key is not None else self._parent.position
        name = str(self._error["loc"][-1])
        if name == "<<":
            return place, "a merge key (<<), expected each key written out"
        kinds = kinds_of(self._parent_kind.models[0])
        known = [spelling for key, kind in kinds.items() for spelling in _spellings(key, kind)]
        if name in REPLACED_KEYS:
            return place, f"unknown key {name}, expected {REPLACED_KEYS[name]}"
        near = nearest(name, known)
        shown = f" {name}" if _is_key(name) and (near or not self._secretive) else ""
        expected = "a space after the colon" if ":" in name else near or one_of(known)
        return place, f"unknown key{shown}, expected {expected}"

    def _wrong_value(self) -> tuple[Position, str]:  # noqa: PLR0911 - one for each way to be wrong
        node, kind, label = self._node, self._kind, self._label
        cause = self._error.get("ctx", {}).get("error")
        expected = str(cause) if isinstance(cause, Unfit) else describe(kind)
        if node is None:
            return self._parent.position, f"{label} is empty, expected {expected}"
        if isinstance(node, Scalar) and node.is_null:
            empty = f"an empty item of {self._name}" if label != self._name else f"{label} is empty"
            return node.position, f"{empty}, expected {expected}"
        if not isinstance(node, _node_type(kind)):
            return node.position, f"{label} is {_WRONG_KINDS[type(node)]}, expected {expected}"
        if self._error["type"] == "too_short":
            return node.position, f"{label} is empty, expected at least one item"
        if not isinstance(node, Scalar):
            return node.position, f"{label} is not usable, expected {expected}"
        if kind.core in {int, float, bool} and not node.plain and not kind.find(Expected):
            return node.position, f"{label} is quoted, expected {expected}, without quotes"
        choices, asks = kind.find(Choices), kind.find(Expected)
        if choices is not None and choices.closed and kind.core is str:
            expected = nearest(node.text, [*map(str, choices.values)], _NEAR) or expected
        if self._secretive or is_secret(kind) or (asks is not None and asks.secretive):
            return node.position, f"{label} {'is not usable' if node.text else 'is empty'}, expected {expected}"
        expanded = " (expanded)" if self._environ is not None and "${" in node.text else ""
        return node.position, f"{label} {_shown(node)}{expanded}, expected {expected}"


def _spellings(key: str, kind: ValueType) -> list[str]:
    return [key, key + FILE_SUFFIX] if is_secret(kind) else [key]


def _tag(model: type[BaseModel]) -> str:
    return str(model.model_fields[TAG].default)


def _node_type(kind: ValueType) -> type[Node]:
    if kind.models or (kind.item is not None and get_origin(kind.core) not in {tuple, list}):
        return MappingNode
    return Scalar if kind.item is None else Items


def _is_key(text: str) -> bool:
    """Whether a text looks like a key, not like a secret in the wrong place."""
    return len(text) <= _LONGEST_SHOWN and text.replace("-", "_").isidentifier() and text == text.lower()


def _shown(node: Scalar) -> str:
    if not node.text:
        return "is empty"
    return f"is {node.text if len(node.text) <= _LONGEST_SHOWN else node.text[:_LONGEST_SHOWN] + '…'!r}"
