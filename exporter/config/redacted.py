"""A configuration to be shown: as YAML, complete, without its secrets."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import yaml
from msgspec import Struct

from exporter.config import values
from exporter.config.durations import format_duration
from exporter.config.model import Config
from exporter.config.secret import HIDDEN, Secret, SecretFile
from exporter.config.shapes import FILE_SUFFIX, TAG_FIELD, Shape, keys_of, tag_of


def redacted(config: Config) -> str:
    """Return the configuration in effect as YAML, defaults included, each secret as `<secret>`."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, width=100)


def plain(struct: Struct) -> dict[str, object]:
    """Return a part of the configuration as a mapping by its keys in YAML, without secrets."""
    shown: dict[str, object] = {}
    if type(struct).__struct_config__.tag is not None:
        shown[TAG_FIELD] = tag_of(type(struct))
    for key in keys_of(type(struct)):
        value = getattr(struct, key.attribute)
        if isinstance(value, SecretFile):
            shown[key.name + FILE_SUFFIX] = str(value.path)
        elif value is not None or key.shape.kind == "number":
            shown[key.name] = plain_value(key.shape, value)
    return shown


def plain_value(shape: Shape, value: object) -> object:  # noqa: PLR0911 - a line for each kind
    """Return one value as YAML has it, without secrets."""
    match value:
        case Secret():
            return HIDDEN
        case Struct():
            return plain(value)
        case tuple():
            return [plain(item) if isinstance(item, Struct) else item for item in value]
        case Mapping() if shape.item is not None:
            return {name: plain_value(shape.item, item) for name, item in value.items()}
        case Path():
            return str(value)
        case None:
            return values.NONE
        case int() | float() if shape.kind == "duration":
            return format_duration(value)
        case str() if shape.kind in {"proxy", "url"}:
            return _without_credentials(value)
        case _:
            return value


def _without_credentials(url: str) -> str:
    """Return a URL with what may be a secret in it hidden: user and password, and the query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{HIDDEN}@{host}" if "@" in parts.netloc else host
    return urlunsplit((parts.scheme, netloc, parts.path, HIDDEN if parts.query else "", ""))
