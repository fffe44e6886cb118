"""What all mappings of a configuration have in common."""

from functools import cache
from typing import Any, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from exporter.config.value_types import NONE, Kind, OrNone, is_secret, kind_of
from exporter.core.secret import SecretFile

FILE_SUFFIX: Final = "_file"
V = TypeVar("V")


def _describe_secret_files(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Tell editors that a secret can stand in a file of its own, and not in both places."""
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
    """An immutable mapping with a closed set of keys; any secret can stand in a file of its own."""

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


def problems(found: list[tuple[str, str]], value: V) -> V:
    """Return the value of a mapping, or raise what is wrong with it: pairs of a key and a sentence."""
    if found:
        raise PydanticCustomError("problems", "several keys do not go together", {"found": found})
    return value


@cache
def kinds_of(model: type[BaseModel]) -> dict[str, Kind]:
    """Return the types of a mapping's values by key."""
    return {key: kind_of(field.annotation, field.metadata) for key, field in keys_of(model).items()}


@cache
def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a mapping by key, in their order."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
