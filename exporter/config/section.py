"""Mappings of a configuration, and what the types of their values are in words."""

import difflib
import itertools
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, Self, TypeVar, Union, get_args, get_origin, overload

import annotated_types as bounds
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from exporter.config.value_types import DURATION_WORDS, NONE, Choices, Expected, Matches, OrNone, format_duration
from exporter.core.secret import Secret, SecretFile

FILE_SUFFIX: Final = "_file"
T = TypeVar("T")
V = TypeVar("V")


class ValueType(NamedTuple):
    """A type without its annotations, and what they say."""

    core: Any
    metadata: tuple[Any, ...]

    def find(self, kind: type[T]) -> T | None:
        """Return the outermost annotation of a type."""
        return next((one for one in reversed(self.metadata) if isinstance(one, kind)), None)

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        """The mappings that it can be."""
        members = get_args(self.core) if _is_union(self.core) else (self.core,)
        cores = [kind_of(member).core for member in members]
        return tuple(core for core in cores if isinstance(core, type) and issubclass(core, BaseModel))

    @property
    def item(self) -> Any:
        """The type of a list's items or of a table's values; None for anything else."""
        arguments = get_args(self.core)
        origin = get_origin(self.core)
        if origin in {tuple, list}:
            return arguments[0]
        return arguments[1] if isinstance(origin, type) and issubclass(origin, Mapping) else None


def kind_of(annotation: Any, metadata: Sequence[Any] = ()) -> ValueType:
    """Take a type's annotations and its None apart from it."""
    found = tuple(metadata)
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            fields = [one.metadata if isinstance(one, FieldInfo) else [one] for one in more]
            found = (*itertools.chain.from_iterable(fields), *found)
        elif _is_union(annotation) and type(None) in get_args(annotation):
            annotation = Union[tuple(one for one in get_args(annotation) if one is not type(None))]  # noqa: UP007 - built
        else:
            return ValueType(annotation, found)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in {Union, types.UnionType}


def describe(kind: ValueType) -> str:  # noqa: PLR0911 - one for each kind
    """Return what a value must be, in words that go on from `expected`."""
    expected = kind.find(Expected) or kind.find(Matches)
    if expected is not None:
        return expected.words + (_describe_bounds(kind, format_duration) if expected is DURATION_WORDS else "")
    if kind.models:
        return "a mapping (key: value)"
    origin = get_origin(kind.core)
    choices = kind.find(Choices)
    if choices is not None:
        return one_of([str(value) for value in choices.values])
    if origin in {tuple, list}:
        return "a list"
    if kind.item is not None:
        return "a mapping (name: value)"
    if kind.core is bool:
        return "true or false"
    if kind.core in {int, float}:
        number = "a whole number" if kind.core is int else "a number"
        return number + _describe_bounds(kind, "{:.15g}".format) + (f", or {NONE}" if OrNone in kind.metadata else "")
    longest = kind.find(bounds.MaxLen)
    return f"at most {longest.max_length} characters" if longest else "a text"


def nearest(text: str, names: Sequence[str], cutoff: float = 0.6) -> str | None:
    """Return the one of the names that a mistyped one may mean."""
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(text.casefold()[:80], folded, n=1, cutoff=cutoff)
    return folded[near[0]] if near else None


def one_of(names: Sequence[str]) -> str:
    """Join names as alternatives."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def is_secret(kind: ValueType) -> bool:
    """Whether a value can also be in a file that the key with `_file` names."""
    return isinstance(kind.core, type) and issubclass(kind.core, Secret)


def _describe_bounds(kind: ValueType, show: Callable[[float], str]) -> str:
    words = ((bounds.Gt, "gt", "more than"), (bounds.Ge, "ge", "at least"), (bounds.Le, "le", "at most"))
    found = [(word, getattr(kind.find(bound), name, None)) for bound, name, word in words]
    parts = [f"{word} {show(value)}" for word, value in found if value is not None]
    return ", " + " and ".join(parts) if parts else ""


def _describe_secret_files(schema: dict[str, Any], model: type[BaseModel]) -> None:
    conditions = []
    for name, kind in kinds_of(model).items():
        if is_secret(kind):
            file = name + FILE_SUFFIX
            schema["properties"][file] = {"type": "string", "description": f"The file that holds `{name}`."}
            both = [{"required": [name]}, {"required": [file]}]
            required = name in schema.get("required", [])
            conditions.append({"oneOf": both} if required else {"not": {"required": [name, file]}})
            schema["required"] = [key for key in schema.get("required", []) if key != name]
    if conditions:
        schema["allOf"] = conditions


class Section(BaseModel):
    """An immutable mapping with a closed set of keys; any secret can be in a file of its own."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        json_schema_extra=_describe_secret_files,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any, info: ValidationInfo) -> Any:
        """Take `KEY_file` for the key of a secret; a known key without a value counts as left out."""
        if info.context is None or not isinstance(data, dict):
            return data
        both = []
        kinds = kinds_of(cls)
        data = {key: value for key, value in data.items() if value is not None or key not in kinds}
        for name, kind in kinds.items():
            file = name + FILE_SUFFIX
            if is_secret(kind) and file in data:
                if name in data:
                    both.append(
                        (max(name, file, key=list(data).index), f"both {name} and {file}, expected one of them")
                    )
                path = data.pop(file)
                readable = isinstance(path, str) and path and "\0" not in path
                data[name] = SecretFile(info.context["directory"] / str(path)) if readable else path
        return problems(both, data)

    @model_serializer(mode="wrap", when_used="json")
    def _name_secret_files(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Show what a file would say: the name of a secret's file, never a secret."""
        shown = {}
        kinds = kinds_of(type(self))
        for key, value in dump(self).items():
            held = getattr(self, key, None)
            if isinstance(held, SecretFile):
                shown[key + FILE_SUFFIX] = str(held.path)
            elif value is not None or OrNone in kinds[key].metadata:
                shown[key] = NONE if value is None else value
        return shown

    def changed(self, **changes: Any) -> Self:
        """Return a copy with other values, unchecked."""
        return self.model_copy(update=changes)


@overload
def about(description: str, **rest: Any) -> Any: ...
@overload
def about(description: str, default: T, **rest: Any) -> T: ...
def about(description: str, default: Any = ..., **rest: Any) -> Any:
    """Return what a key means, its default (in `Annotated`: none), and the rest of what pydantic's `Field` takes."""
    return Field(default, description=description, **rest)


def problems(found: list[tuple[str, str]], value: V) -> V:
    """Return the value of a mapping, or raise what is wrong with it: pairs of a key and a sentence."""
    if found:
        raise PydanticCustomError("problems", "several keys do not go together", {"found": found})
    return value


@cache
def kinds_of(model: type[BaseModel]) -> dict[str, ValueType]:
    """Return the types of a mapping's values by key."""
    return {key: kind_of(field.annotation, field.metadata) for key, field in keys_of(model).items()}


@cache
def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a mapping by key, in their order."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
