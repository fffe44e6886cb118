"""Mistakes of a configuration: collected, then raised together."""

from collections.abc import Sequence
from typing import Final, NamedTuple

MOST_MISTAKES: Final = 1000


class Position(NamedTuple):
    """A place in a file, or a flag; sorts by the order in which the files were read."""

    file_order: int
    file: str  # the file's name as it is shown, or the flag's
    line: int = 0  # from 1; 0 for a flag
    column: int = 0  # from 1; 0 for a flag

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Mistake(NamedTuple):
    """One mistake: where, and what with what was expected."""

    position: Position
    text: str

    def __str__(self) -> str:
        return f"{self.position}: {self.text}"


class ConfigError(Exception):
    """A configuration that can't be used; `str()` has a line for each mistake, by place, without secrets."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.position))
        super().__init__("\n".join(map(str, self.mistakes)))


class UsageError(ValueError):
    """A command line, or something that it names, that can't be used; `str()` is a line that says why."""


class Mistakes:
    """Collects mistakes, up to a bound that keeps a hopeless file from being read to its end."""

    def __init__(self) -> None:
        self._found: dict[Mistake, None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, position: Position, text: str) -> None:
        """Note a mistake, once. Raises ConfigError if there are more than anyone reads."""
        self._found[Mistake(position, text)] = None
        if len(self._found) >= MOST_MISTAKES:
            last = max(mistake.position for mistake in self._found)
            self._found[Mistake(last, f"more than {MOST_MISTAKES} mistakes, the rest is left out")] = None
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """Raise what was found so far; raises ConfigError if there is at least one mistake."""
        if self._found:
            raise ConfigError(tuple(self._found))
