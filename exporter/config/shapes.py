"""What the model's annotations say about each key, in the form that loader and schema use."""

import functools
from typing import Final, Literal, cast

import msgspec
from msgspec import Struct, inspect

from exporter.config.secret import Secret

Kind = Literal[
    "mapping", "tagged", "table", "list", "bounds", "text", "choice", "number", "switch", "duration", "date",
    "timestamp", "path", "secret", "endpoint", "proxy", "url",
]  # fmt: skip

TAG_FIELD: Final = "type"
UNTAGGED: Final = "access_key"
"""What credentials are that do not say their type."""
FILE_SUFFIX: Final = "_file"


class Shape(Struct, frozen=True, kw_only=True):
    """What a value has to be."""

    kind: Kind
    nullable: bool = False
    """Whether None is one of its values; for a number it is written `none`."""
    whole: bool = False
    """Of a number, choice or duration: no fraction."""
    greater_than: float | None = None
    least: float | None = None
    most: float | None = None
    shortest: int = 0
    """Of a text, in characters; of a list, in items."""
    longest: int | None = None
    pattern: str | None = None
    expected: str = ""
    """The pattern in words."""
    choices: tuple[str | int, ...] = ()
    """Of a choice: the values that are known."""
    open: bool = False
    """Of a choice: other texts that fit the pattern are values too, and the case of the known ones does not matter.
    Of a switch: all the words of YAML 1.1 are values."""
    item: "Shape | None" = None
    """Of a list: its items; of a table: its values."""
    name: "Shape | None" = None
    """Of a table: its keys."""
    structs: tuple[type[Struct], ...] = ()
    """Of a mapping its type; of a tagged one all of them."""


class Key(Struct, frozen=True, kw_only=True):
    """One key of a mapping."""

    name: str
    """As in YAML."""
    attribute: str
    """As in the Struct."""
    shape: Shape
    required: bool
    default: object
    default_note: str
    """Where the default follows from another key."""
    description: str


@functools.cache
def keys_of(struct: type[Struct]) -> tuple[Key, ...]:
    """Return the keys of a Struct of the model, in their order."""
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct} is no Struct")
    return tuple(_key(field) for field in info.fields)


def tag_of(struct: type[Struct]) -> str:
    """Return what `type` says for a Struct of a tagged union."""
    return str(struct.__struct_config__.tag)


def _key(field: inspect.Field) -> Key:
    """Describe one field."""
    shape, description, extra = _describe(field.type)
    return Key(
        name=field.encode_name,
        attribute=field.name,
        shape=shape,
        required=field.required,
        default=None if field.default is msgspec.NODEFAULT else field.default,
        default_note=str(extra.get("default", "")),
        description=description,
    )


def _describe(kind: inspect.Type) -> tuple[Shape, str, dict[str, object]]:
    """Return the shape of a type, its description and what else its annotation holds."""
    description = ""
    extra: dict[str, object] = {}
    nullable = False
    while True:
        if isinstance(kind, inspect.Metadata):
            description = description or str((kind.extra_json_schema or {}).get("description", ""))
            extra = {**(kind.extra or {}), **extra}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType) and any(isinstance(t, inspect.NoneType) for t in kind.types):
            nullable = True
            (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
        else:
            break
    shape = _shape(kind)
    shape = msgspec.structs.replace(
        shape,
        kind=cast("Kind", extra.get("kind", "choice" if "choices" in extra else shape.kind)),
        nullable=nullable,
        pattern=cast("str | None", extra.get("pattern", shape.pattern)),
        expected=str(extra.get("expected", "")),
        choices=cast("tuple[str | int, ...]", extra.get("choices", ())),
        open=bool(extra.get("open")),
    )
    return shape, description, extra


def _shape(kind: inspect.Type) -> Shape:  # noqa: C901, PLR0911 - one for each kind
    """Return the shape of a bare type."""
    match kind:
        case inspect.StructType():
            return Shape(kind="mapping", structs=(kind.cls,))
        case inspect.UnionType():
            structs = tuple(one.cls for one in kind.types if isinstance(one, inspect.StructType))
            return Shape(kind="tagged", structs=structs)
        case inspect.VarTupleType():
            item = _describe(kind.item_type)[0]
            return Shape(kind="list", item=item, shortest=kind.min_length or 0)
        case inspect.DictType():
            return Shape(kind="table", name=_describe(kind.key_type)[0], item=_describe(kind.value_type)[0])
        case inspect.DateType():
            return Shape(kind="date")
        case inspect.DateTimeType():
            return Shape(kind="timestamp")
        case inspect.TimeDeltaType():
            return Shape(kind="duration")
        case inspect.BoolType():
            return Shape(kind="switch")
        case inspect.StrType():
            return Shape(kind="text", shortest=kind.min_length or 0, longest=kind.max_length, pattern=kind.pattern)
        case inspect.IntType() | inspect.FloatType():
            return Shape(
                kind="number",
                whole=isinstance(kind, inspect.IntType),
                greater_than=kind.gt,
                least=kind.ge,
                most=kind.le,
            )
        case inspect.CustomType(cls=cls):
            return Shape(kind="secret" if issubclass(cls, Secret) else "path")
        case _:
            raise TypeError(f"no shape for {kind}")
