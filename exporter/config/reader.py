"""From YAML nodes to values of the model: a walk that the model's types direct.

What it returns for a mapping is a draft: the values by attribute, and what stood there.
"""

import difflib
import itertools
import re
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from exporter.config import values
from exporter.config.draft import INVALID, Draft, Invalid
from exporter.config.expansion import ExpansionError, expand
from exporter.config.mistakes import Mistakes, Position
from exporter.config.secret import Secret, SecretFile, stripped
from exporter.config.shapes import FILE_SUFFIX, TAG_FIELD, UNTAGGED, Key, Shape, keys_of, tag_of
from exporter.config.yaml_nodes import TAGGED, Items, Mapping, Node, Scalar

_KEY_SHAPED: Final = re.compile(r"[a-z][a-z_-]{0,39}")
_LONGEST_SHOWN: Final = 40
_PARSERS: Final = {
    "text": values.parse_text,
    "number": values.parse_number,
    "choice": values.parse_choice,
    "switch": values.parse_switch,
    "duration": values.parse_duration_within,
    "date": values.parse_date,
    "timestamp": values.parse_timestamp,
    "endpoint": values.parse_endpoint,
    "proxy": values.parse_proxy,
    "url": values.parse_url,
}
_SHOWN_KINDS: Final = frozenset({"text", "choice", "number", "switch", "duration", "date", "timestamp"})
_UNQUOTED_KINDS: Final = frozenset({"number", "switch"})


class Reader:
    """Reads the nodes of one file.

    Args:
        directory: Where relative paths start.
        environ: What `${NAME}` stands for; None: it has no meaning here.
        mistakes: Is told what is wrong.
    """

    def __init__(self, *, directory: Path, environ: AnyMapping[str, str] | None, mistakes: Mistakes) -> None:
        self._directory = directory
        self._environ = environ
        self._mistakes = mistakes

    def read(self, node: Node, shape: Shape, label: str, *, may_show: bool = True) -> object:
        """Return the value of a node, or INVALID with the mistakes noted.

        Args:
            node: What stands in the file.
            shape: What it has to be.
            label: How the value is called in a mistake: its key.
            may_show: Whether a mistake may show what stands there.
        """
        match shape.kind:
            case "mapping":
                return self._mapping(node, shape.structs[0], shape, label)
            case "tagged":
                return self._tagged(node, shape, label)
            case "table":
                return self._table(node, shape, label)
            case "list" | "bounds":
                return self._list(node, shape, label, may_show=may_show)
            case _:
                return self._scalar(node, shape, label, may_show=may_show)

    def _mapping(self, node: Node, struct: type[Struct], shape: Shape, label: str) -> Draft | Invalid:
        """Read a mapping into a draft, all keys whatever is wrong with some."""
        if not isinstance(node, Mapping):
            return self._wrong_kind(node, shape, label)
        return self._draft(node, struct, tag=None)

    def _tagged(self, node: Node, shape: Shape, label: str) -> Draft | Invalid:
        """Read a mapping whose `type` says what it is; without one it is an access key."""
        if not isinstance(node, Mapping):
            return self._wrong_kind(node, shape, label)
        structs = {tag_of(struct): struct for struct in shape.structs}
        tag = next((value for key, value in node.pairs if key.text == TAG_FIELD), None)
        if tag is None:
            return self._draft(node, structs[UNTAGGED], tag=TAG_FIELD)
        name = self._expanded(tag) if isinstance(tag, Scalar) else ""
        if name is None:
            return INVALID
        if name not in structs:
            self._mistakes.add(tag.position, f"unknown {TAG_FIELD} of {label}, expected {values.one_of([*structs])}")
            return INVALID
        return self._draft(node, structs[name], tag=TAG_FIELD)

    def _draft(self, node: Mapping, struct: type[Struct], *, tag: str | None) -> Draft:
        """Read the pairs of a mapping."""
        draft = Draft(struct, node.position, {}, {})
        known = _spellings(struct)
        seen: dict[str, Position] = {}
        given: dict[str, str] = {}
        for name, value in node.pairs:
            if name.text in seen:
                self._mistakes.add(
                    name.position,
                    f"duplicate key {name.text if name.text in known else ''}".rstrip()
                    + f", expected once: it stands at {seen[name.text]}",
                )
                continue
            seen[name.text] = name.position
            if name.text == tag:
                continue
            if name.text not in known:
                self._unknown_key(name, [*known, tag] if tag else [*known], is_secretive=tag is not None)
                continue
            key = known[name.text]
            if key.attribute in given:
                self._mistakes.add(name.position, f"both {given[key.attribute]} and {name.text}, expected one of them")
                continue
            given[key.attribute] = name.text
            self._value(draft, key, name.text, value, may_show=tag is None)
        for key in keys_of(struct):
            if key.required and key.attribute not in given:
                names = values.one_of([one for one, other in known.items() if other is key])
                self._mistakes.add(node.position, f"missing key {names}, expected {_describe(key.shape)}")
        return draft

    def _value(self, draft: Draft, key: Key, name: str, node: Node, *, may_show: bool) -> None:
        """Read the value of a known key into the draft; an empty one counts as left out."""
        if isinstance(node, Scalar) and node.is_null:
            if key.required:
                self._mistakes.add(node.position, f"{name} is empty, expected {_describe(key.shape)}")
            return
        draft.nodes[key.attribute] = node
        value = (
            self._secret(node, key.shape, name, in_file=name != key.name)
            if key.shape.kind == "secret"
            else self.read(node, key.shape, name, may_show=may_show)
        )
        if not isinstance(value, Invalid):
            draft.values[key.attribute] = value

    def _unknown_key(self, name: Scalar, known: list[str], *, is_secretive: bool) -> None:
        """Note an unknown key, and what it may have been meant to be."""
        if name.plain and name.text == "<<":
            self._mistakes.add(name.position, "a merge key (<<), expected each key written out")
            return
        near = difflib.get_close_matches(name.text[: 2 * _LONGEST_SHOWN], known, n=1)
        expected = near[0] if near else values.one_of(known)
        if ":" in name.text:
            expected = "a space after the colon"
        shown = _key(name.text) if near or not is_secretive else ""
        self._mistakes.add(name.position, f"unknown key {shown}".rstrip() + f", expected {expected}")

    def _table(self, node: Node, shape: Shape, label: str) -> dict[str, object] | Invalid:
        """Read a mapping whose keys are free; a name without a value counts as left out."""
        if not isinstance(node, Mapping) or shape.item is None or shape.name is None:
            return self._wrong_kind(node, shape, label)
        table: dict[str, object] = {}
        seen: dict[str, Position] = {}
        for key, value in node.pairs:
            try:
                name = values.parse_text(key.text, shape.name)
            except values.Unfit as expected:
                self._mistakes.add(key.position, f"a key of {label} {_shown(key)}, expected {expected}")
                continue
            if name in seen:
                self._mistakes.add(key.position, f"duplicate key {name}, expected once: it stands at {seen[name]}")
                continue
            seen[name] = key.position
            if not (isinstance(value, Scalar) and value.is_null):
                table[name] = self.read(value, shape.item, name)
        return table

    def _list(self, node: Node, shape: Shape, label: str, *, may_show: bool) -> tuple[object, ...] | Invalid:
        """Read a list; an item that is wrong is INVALID, so that the others are still checked."""
        if not isinstance(node, Items) or shape.item is None:
            return self._wrong_kind(node, shape, label)
        if len(node.items) < shape.shortest:
            self._mistakes.add(node.position, f"{label} is empty, expected at least one item")
            return INVALID
        read = [self._item(item, shape.item, label, may_show=may_show) for item in node.items]
        if shape.kind == "bounds" and not any(isinstance(value, Invalid) for value in read):
            self._check_rising(node, read, label)
        return tuple(read)

    def _item(self, node: Node, shape: Shape, label: str, *, may_show: bool) -> object:
        """Read one item of a list."""
        if isinstance(node, Scalar) and node.is_null:
            self._mistakes.add(node.position, f"an empty item of {label}, expected {_describe(shape)}")
            return INVALID
        return self.read(node, shape, f"an item of {label}", may_show=may_show)

    def _check_rising(self, node: Items, bounds: list[object], label: str) -> None:
        """Note each bound that is not above the one before it."""
        for place, (lower, upper) in enumerate(itertools.pairwise(bounds), start=1):
            if isinstance(lower, float) and isinstance(upper, float) and upper <= lower:
                text = f"{upper:g} follows {lower:g} in {label}, expected each bound above the one before"
                self._mistakes.add(node.items[place].position, text)

    def _scalar(self, node: Node, shape: Shape, label: str, *, may_show: bool) -> object:
        """Read a single value."""
        if not isinstance(node, Scalar):
            return self._wrong_kind(node, shape, label)
        text = None if node.style == TAGGED else self._expanded(node)
        if text is None:
            return INVALID
        if not may_show:
            text = stripped(text)
        if shape.kind == "path":
            return self._path(node, text, label)
        if shape.kind in _UNQUOTED_KINDS and not node.plain and not self._is_expanded(node):
            self._mistakes.add(node.position, f"{label} is quoted, expected {_describe(shape)}, without quotes")
            return INVALID
        try:
            return _PARSERS[shape.kind](text, shape)
        except values.Unfit as expected:
            shown = _shown(node) + (" (expanded)" if self._is_expanded(node) else "")
            what = shown if may_show and shape.kind in _SHOWN_KINDS else "is not usable"
            self._mistakes.add(node.position, f"{label} {what}, expected {expected}")
            return INVALID

    def _path(self, node: Scalar, text: str, label: str) -> Path | Invalid:
        """Read the name of a file, relative to the directory of the file that names it."""
        if not text or "\0" in text:
            self._mistakes.add(node.position, f"{label} is empty, expected the name of a file")
            return INVALID
        return self._directory / text

    def _secret(self, node: Node, shape: Shape, label: str, *, in_file: bool) -> Secret | Invalid:
        """Read a secret, or the name of the file that holds it."""
        if in_file:
            path = self._scalar(node, Shape(kind="path"), label, may_show=True)
            return SecretFile(path) if isinstance(path, Path) else INVALID
        if not isinstance(node, Scalar):
            return self._wrong_kind(node, Shape(kind="secret"), label)
        text = self._expanded(node)
        if text is None:
            return INVALID
        text = stripped(text)
        if not text:
            self._mistakes.add(node.position, f"{label} is empty, expected a text")
            return INVALID
        if shape.pattern and not re.fullmatch(shape.pattern, text):
            self._mistakes.add(node.position, f"{label} is not usable, expected {shape.expected}")
            return INVALID
        return Secret(text)

    def _expanded(self, node: Scalar) -> str | None:
        """Return a scalar's text with the environment in it; None with the mistakes noted."""
        if self._environ is None:
            return node.text
        try:
            return expand(node.text, self._environ)
        except ExpansionError as error:
            for problem in error.problems:
                self._mistakes.add(node.position, problem)
            return None

    def _is_expanded(self, node: Scalar) -> bool:
        """Whether the environment has a part in what a scalar means."""
        return self._environ is not None and "${" in node.text

    def _wrong_kind(self, node: Node, shape: Shape, label: str) -> Invalid:
        """Note a list where a text belongs, and the like."""
        what = {Scalar: "a single value", Items: "a list", Mapping: "a mapping"}[type(node)]
        self._mistakes.add(node.position, f"{label} is {what}, expected {_describe(shape)}")
        return INVALID


def _spellings(struct: type[Struct]) -> dict[str, Key]:
    """Return the keys by each name that they can have in YAML."""
    known = {}
    for key in keys_of(struct):
        known[key.name] = key
        if key.shape.kind == "secret":
            known[key.name + FILE_SUFFIX] = key
    return known


def _describe(shape: Shape) -> str:
    """Say what a value has to be."""
    return values.describe(shape)


def _key(text: str) -> str:
    """Return a key to be shown; nothing where it could be a secret in the wrong place."""
    return text if _KEY_SHAPED.fullmatch(text) else ""


def _shown(node: Scalar) -> str:
    """Return what stands in the file, as one short line, before expansion."""
    if not node.text:
        return "is empty"
    text = node.text if len(node.text) <= _LONGEST_SHOWN else node.text[:_LONGEST_SHOWN] + "…"
    return f"is {text!r}"
