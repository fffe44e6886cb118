"""The tables of `docs/configuration.md`: a description and the keys of each mapping, derived from the model."""

import inspect
from collections.abc import Iterator

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from exporter.config.model import Config
from exporter.config.section import FILE_SUFFIX, ValueType, describe, is_secret, keys_of, kind_of, kinds_of
from exporter.config.value_types import Choices, DefaultNote
from tests.references.markdown import table


def mappings(model: type[BaseModel] = Config) -> Iterator[type[BaseModel]]:
    """Yield a mapping and all that can be within it."""
    yield model
    for kind in kinds_of(model).values():
        for inner in (kind if kind.item is None else kind_of(kind.item)).models:
            yield from mappings(inner)


def keys_of_mapping(model: type[BaseModel]) -> str:
    """Return what a mapping is for, and its keys."""
    kinds = kinds_of(model)
    rows = [
        (_names(key, kinds[key]), _type(kinds[key]), _default(field, kinds[key]), field.description or "")
        for key, field in keys_of(model).items()
        if key != "type"
    ]
    about = inspect.cleandoc(model.__doc__ or "")
    return f"{about}\n" + (f"\n{table(('key', 'type', 'default', 'meaning'), rows)}" if rows else "")


def _names(key: str, kind: ValueType) -> str:
    return f"`{key}`" + (f" or `{key}{FILE_SUFFIX}`" if is_secret(kind) else "")


def _type(kind: ValueType) -> str:
    """Return what a value has to be, shortly."""
    if kind.models:
        return "mapping"
    if kind.item is None or describe(kind) not in {"a list", "a mapping (name: value)"}:
        return describe(kind)
    return f"list of {_items(kind_of(kind.item))}" if describe(kind) == "a list" else "mapping by name"


def _items(kind: ValueType) -> str:
    """Return what the items of a list are."""
    if kind.models:
        return "mappings"
    is_closed = kind.core is bool or (kind.find(Choices) is not None and describe(kind) != "a text")
    return describe(kind) if is_closed else "texts"


def _default(field: FieldInfo, kind: ValueType) -> str:
    """Return the default as it would be written."""
    if field.is_required():
        return "**required**"
    note = kind.find(DefaultNote)
    if note is not None:
        return note.words
    if kind.models or field.default in (None, "", (), {}):
        return ""
    return f"`{_shown(TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode='json'))}`"


def _shown(value: object) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
