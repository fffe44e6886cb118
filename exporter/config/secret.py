"""Values that are used but never shown."""

from pathlib import Path
from typing import Final

HIDDEN: Final = "<secret>"
"""What stands wherever a secret would be shown."""


class Secret:
    """A text that no repr, str, format or encoder shows; equal and hashed by value."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

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
    """A secret that stands in a file, read anew each time it is revealed: keys rotate."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        super().__init__("")
        self._path = path

    @property
    def path(self) -> Path:
        """Where the secret stands."""
        return self._path

    def reveal(self) -> str:
        """Return the file's text without one trailing newline.

        Raises:
            OSError: The file can't be read.
            UnicodeDecodeError: The file is not UTF-8.
        """
        return self._path.read_text(encoding="utf-8").removesuffix("\n")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretFile) and self._path == other._path

    def __hash__(self) -> int:
        return hash((SecretFile, self._path))

    def __repr__(self) -> str:
        return f"SecretFile({str(self._path)!r})"
