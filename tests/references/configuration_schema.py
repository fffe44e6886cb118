"""Configuration, rule and app files as JSON Schemas, for editors: pydantic's, adapted to what the loaders take."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from exporter.config.model import App, Config
from exporter.config.value_types import NONE
from exporter.rules.rule_files import RuleFile

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = r"\$\{"  # what a value from the environment has in it; an editor does not know its real form
_ONLY_PYTHON: Final = frozenset({"title", "discriminator", "format"})
_BOUNDS: Final = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum", "min_length": "minItems"}
"""Of values that are parsed before they are checked, whose bounds pydantic leaves under its own names."""
_NUMBERS: Final = ("integer", "number")
_NAME_TAG: Final = "type"
_UNTAGGED: Final = "access_key"

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Return the schema of a configuration file (draft 2020-12).

    It is a little stricter than the loader, which also takes an empty value as left out; what concerns several keys
    together is checked by the loader alone.
    """
    schema = _adapted(Config.model_json_schema(by_alias=True))
    for definition in schema["$defs"].values():
        tag = definition.get("properties", {}).get(_NAME_TAG, {}).get("const")
        if tag not in {None, _UNTAGGED}:
            definition["required"] = [_NAME_TAG, *definition.get("required", [])]
    return {"$schema": _DIALECT, "title": "Configuration of rtcmpu-exporter", **schema}


def rules_schema() -> Schema:
    """Return the schema of a rule file."""
    return {"$schema": _DIALECT, "title": "Rules of rtcmpu-exporter", **_adapted(RuleFile.model_json_schema())}


def apps_schema() -> Schema:
    """Return the schema of a file of apps."""
    apps = TypeAdapter(list[App]).json_schema(by_alias=True)
    return {"$schema": _DIALECT, "title": "Apps of rtcmpu-exporter", **_adapted(apps)}


def schema_files() -> Mapping[str, str]:
    """Return the text of each schema file, by its path from the root."""
    schemas = {"config": json_schema(), "rules": rules_schema(), "apps": apps_schema()}
    return {
        f"docs/{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def _adapted(schema: Any) -> Any:
    """Let variables and what YAML reads as another type be values, and leave out what only Python has."""
    if isinstance(schema, list):
        return [_adapted(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "const" in schema:
        return {"const": schema["const"]}
    adapted: Schema = {}
    for key in sorted(schema, key=lambda key: key != "description"):
        value = schema[key]
        if key in {"properties", "$defs"}:
            adapted[key] = {name: _adapted(one) for name, one in value.items()}
        elif key == "default":
            adapted |= {} if value in (None, [], "") or isinstance(value, dict) else {key: value}
        elif key not in _ONLY_PYTHON:
            adapted[_BOUNDS.get(key, key)] = value if key in {"enum", "required"} else _adapted(value)
    return adapted if "properties" in schema else _with_variables(_without_null(adapted))


def _without_null(schema: Schema) -> Schema:
    """Write an absent value as a file does: a number as `none`, anything else not at all."""
    choices = schema.pop("anyOf", [])
    if {"type": "null"} not in choices:
        return schema | ({"anyOf": choices} if choices else {})
    (other,) = (choice for choice in choices if choice != {"type": "null"})
    if other.get("anyOf", [{}])[0].get("type") in _NUMBERS:
        return schema | {"anyOf": [*other["anyOf"], {"const": NONE}]}
    merged: Schema = schema | other
    return merged


def _with_variables(schema: Schema) -> Schema:
    variable = {"type": "string", "pattern": _VARIABLE}
    about = {key: schema.pop(key) for key in ("description", "default") if key in schema}
    kind = schema.get("type")
    if kind in _NUMBERS or kind == "boolean" or "enum" in schema:
        return about | {"anyOf": [schema, variable]}
    if kind == "string":
        schema["type"] = ["string", "number", "boolean"]
        if "pattern" in schema:
            schema["pattern"] += f"|{_VARIABLE}"
    return about | schema
