"""The configuration as a JSON Schema, for editors: derived from the model."""

import inspect
import json
from typing import Final

from msgspec import Struct

from exporter.config import values
from exporter.config.durations import PATTERN as DURATION_PATTERN
from exporter.config.model import Config
from exporter.config.redacted import plain_value
from exporter.config.shapes import FILE_SUFFIX, TAG_FIELD, UNTAGGED, Key, Shape, keys_of, tag_of

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = r"\$\{"
"""What a value that comes from the environment has in it; its real form is not known to an editor."""
_ADDRESS_PATTERN: Final = "^https?://"

Schema = dict[str, object]


def json_schema() -> Schema:
    """Return the schema of a configuration file (draft 2020-12).

    It is a little stricter than the loader, which also takes an empty value for one that is left out; and what
    concerns several keys at once is the loader's alone.
    """
    definitions: dict[str, Schema] = {}
    _define(Config, definitions, tagged=False)
    return {
        "$schema": _DIALECT,
        "title": "Configuration of rtcmpu-exporter",
        **definitions.pop(Config.__name__),
        "$defs": definitions,
    }


def json_schema_text() -> str:
    """Return the schema as the text of `docs/config.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _define(struct: type[Struct], definitions: dict[str, Schema], *, tagged: bool) -> Schema:
    """Describe a mapping under its name, and all that it uses; return the reference to it."""
    reference: Schema = {"$ref": f"#/$defs/{struct.__name__}"}
    if struct.__name__ in definitions:
        return reference
    properties: dict[str, Schema] = {}
    required: list[str] = []
    conditions: list[Schema] = []
    if tagged:
        properties[TAG_FIELD] = {"const": tag_of(struct)}
        if tag_of(struct) != UNTAGGED:
            required.append(TAG_FIELD)
    for key in keys_of(struct):
        properties[key.name] = _property(key, definitions)
        if key.shape.kind == "secret":
            properties[key.name + FILE_SUFFIX] = {
                "type": "string",
                "description": f"The file that holds `{key.name}`.",
            }
            conditions.append(_secret_condition(key))
        elif key.required:
            required.append(key.name)
    definitions[struct.__name__] = {
        "description": inspect.cleandoc(struct.__doc__ or ""),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        **({"allOf": conditions} if conditions else {}),
    }
    return reference


def _secret_condition(key: Key) -> Schema:
    """Say that a secret stands in the file or beside it, not both."""
    names = [key.name, key.name + FILE_SUFFIX]
    if key.required:
        return {"oneOf": [{"required": [name]} for name in names]}
    return {"not": {"required": names}}


def _property(key: Key, definitions: dict[str, Schema]) -> Schema:
    """Describe one key."""
    schema = {"description": key.description, **_value(key.shape, definitions)}
    if not key.required and key.default is not None and not key.default_note and not key.shape.structs:
        schema["default"] = plain_value(key.shape, key.default)
    return schema


def _value(shape: Shape, definitions: dict[str, Schema]) -> Schema:  # noqa: C901, PLR0911 - one for each kind
    """Describe one value."""
    match shape.kind:
        case "mapping":
            return _define(shape.structs[0], definitions, tagged=False)
        case "tagged":
            return {"oneOf": [_define(struct, definitions, tagged=True) for struct in shape.structs]}
        case "list" | "bounds":
            items = {} if shape.item is None else _value(shape.item, definitions)
            return {"type": "array", "items": items, "minItems": shape.shortest}
        case "table":
            return _table(shape, definitions)
        case "choice":
            return _choice(shape)
        case "number":
            return _number(shape)
        case "switch":
            return {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _VARIABLE}]}
        case "duration":
            return {"type": "string", "pattern": f"^(?:{DURATION_PATTERN})$|{_VARIABLE}", "minLength": 1}
        case "text":
            return _text(shape)
        case "path" | "secret" | "date" | "timestamp":
            return {"type": "string", "minLength": 1}
        case "endpoint" | "proxy" | "url":
            return {"type": "string", "pattern": f"{_ADDRESS_PATTERN}|{_VARIABLE}"}


def _table(shape: Shape, definitions: dict[str, Schema]) -> Schema:
    """Describe a mapping whose keys are free."""
    names = {} if shape.name is None else {"propertyNames": {"pattern": f"{shape.name.pattern}|{_VARIABLE}"}}
    return {
        "type": "object",
        **names,
        "additionalProperties": {} if shape.item is None else _value(shape.item, definitions),
    }


def _choice(shape: Shape) -> Schema:
    """Describe a value of a closed set, or one that may be another."""
    others = _text(shape) if shape.open else {"type": "string", "pattern": _VARIABLE}
    return {"anyOf": [{"enum": list(shape.choices)}, others]}


def _number(shape: Shape) -> Schema:
    """Describe a number, `none` where it may be absent, or a variable."""
    bounds = {"exclusiveMinimum": shape.greater_than, "minimum": shape.least, "maximum": shape.most}
    number = {
        "type": "integer" if shape.whole else "number",
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }
    none: list[Schema] = [{"const": values.NONE}] if shape.nullable else []
    return {"anyOf": [number, *none, {"type": "string", "pattern": _VARIABLE}]}


def _text(shape: Shape) -> Schema:
    """Describe a text; what YAML takes for a number or a boolean counts as it is written."""
    schema: Schema = {"type": ["string", "number", "boolean"]}
    if shape.shortest:
        schema["minLength"] = shape.shortest
    if shape.longest is not None:
        schema["maxLength"] = shape.longest
    if shape.pattern is not None:
        schema["pattern"] = f"{shape.pattern}|{_VARIABLE}"
    return schema
