"""What could be understood of a mapping, before anything is built from it."""

from collections.abc import Mapping as AnyMapping
from typing import Final

from msgspec import Struct

from exporter.config.mistakes import Position
from exporter.config.shapes import keys_of
from exporter.config.yaml_nodes import Items, Mapping, Node, Scalar


class Draft(Struct):
    """A mapping as read, so that what concerns several keys at once can still be checked and reported by place."""

    struct: type[Struct]
    position: Position
    values: dict[str, object]
    """By attribute; lists and tables hold drafts, values and INVALID. What is wrong or absent has no entry."""
    nodes: dict[str, Node]
    """By attribute: what stands there, be it right or wrong."""

    def place(self, attribute: str) -> Position:
        """Return where a value stands; the mapping's own place where it is left out."""
        node = self.nodes.get(attribute)
        return self.position if node is None else node.position

    def item_places(self, attribute: str) -> tuple[Position, ...]:
        """Return where each item of a list stands; nothing for a list that is left out or none."""
        node = self.nodes.get(attribute)
        return tuple(item.position for item in node.items) if isinstance(node, Items) else ()

    def table_keys(self, attribute: str) -> tuple[Scalar, ...]:
        """Return the keys of a table as they stand there, with their places."""
        node = self.nodes.get(attribute)
        return tuple(key for key, _ in node.pairs) if isinstance(node, Mapping) else ()

    def draft(self, attribute: str) -> "Draft | None":
        """Return the draft of a mapping; None where it is left out or could not be read."""
        value = self.values.get(attribute)
        return value if isinstance(value, Draft) else None

    def drafts(self, attribute: str) -> "tuple[Draft, ...]":
        """Return the drafts of a list of mappings; none where the list could not be read."""
        value = self.values.get(attribute)
        return tuple(item for item in value if isinstance(item, Draft)) if isinstance(value, tuple) else ()

    @property
    def wrong(self) -> set[str]:
        """The attributes whose values could not be read."""
        return {name for name in self.nodes if self.values.get(name, INVALID) is INVALID}

    @property
    def complete(self) -> bool:
        """Whether it can be built: nothing in it is wrong, nothing that is required is absent."""
        required = {key.attribute for key in keys_of(self.struct) if key.required}
        return required <= self.values.keys() and not self.wrong and all(map(_complete, self.values.values()))

    def build(self) -> Struct:
        """Return the value itself; only for a complete draft."""
        return self.struct(**{name: _built(value) for name, value in self.values.items()})


class Invalid:
    """Stands for a value that could not be read; the mistake is noted."""


INVALID: Final = Invalid()


def _complete(value: object) -> bool:
    """Whether a value can be built."""
    if isinstance(value, Draft):
        return value.complete
    if isinstance(value, tuple):
        return all(map(_complete, value))
    if isinstance(value, AnyMapping):
        return all(map(_complete, value.values()))
    return not isinstance(value, Invalid)


def _built(value: object) -> object:
    """Return a value with every draft in it built."""
    if isinstance(value, Draft):
        return value.build()
    if isinstance(value, tuple):
        return tuple(_built(item) for item in value)
    if isinstance(value, AnyMapping):
        return {name: _built(item) for name, item in value.items()}
    return value
