"""Values that are used but never shown."""

import errno
import re
from pathlib import Path
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from exporter.core.regular_file import read_regular

HIDDEN: Final = "<secret>"  # shown in place of a secret

KEY_PATTERN: Final = r"^[!-~]+$"
"""Ids, secrets and tokens of keys: printable ASCII without white space, fit for a header."""
_LARGEST_FILE_BYTES: Final = 64 * 1024
_AROUND: Final = re.compile(r"^[\s\ufeff\0]+|[\s\ufeff\0]+$")


def stripped(text: str) -> str:
    """Return a text without white space and byte order marks around it, as editors and copying leave them."""
    return _AROUND.sub("", text)


class Secret:
    """A text that no repr, str, format or encoder shows; equal and hashed by value."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take a text that is fit for a header once it is stripped, or a secret."""
        text = core_schema.no_info_before_validator_function(
            lambda value: stripped(value) if isinstance(value, str) else value,
            core_schema.str_schema(pattern=KEY_PATTERN),
        )
        from_text = core_schema.no_info_after_validator_function(Secret, text)
        return core_schema.union_schema(
            [core_schema.is_instance_schema(Secret), from_text],
            custom_error_type="secret",
            custom_error_message="not a text",
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: HIDDEN, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}

    def reveal(self) -> str:
        """Return the text itself; keep it out of anything that is shown."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return type(other) is Secret and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, _spec: str) -> str:
        return HIDDEN


class SecretFile(Secret):
    """A secret in a file, read again each time it is revealed: keys rotate."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        super().__init__("")
        self._path = path

    @property
    def path(self) -> Path:
        """Where the secret is."""
        return self._path

    def reveal(self) -> str:
        """Return the file's text, stripped; raises OSError (also for no file, or over 64 KiB), UnicodeDecodeError."""
        content = read_regular(self._path, _LARGEST_FILE_BYTES + 1)
        if len(content) > _LARGEST_FILE_BYTES:
            raise OSError(errno.EFBIG, "it is larger than 64 KiB", str(self._path))
        return stripped(content.decode("utf-8"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretFile) and self._path == other._path

    def __hash__(self) -> int:
        return hash((SecretFile, self._path))

    def __repr__(self) -> str:
        return f"SecretFile({str(self._path)!r})"
