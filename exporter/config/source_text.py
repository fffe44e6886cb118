"""The text of a file, and which place in it a character of one of its values came from."""

import re
from typing import Final

from msgspec import Struct

from exporter.config.mistakes import Position
from exporter.config.yaml_nodes import Scalar

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WHITE: Final = " \t\n\r\x85\u2028\u2029"
_SOLID: Final = {
    "": re.compile(f"[^{_WHITE}]"),
    "'": re.compile(f"''|[^{_WHITE}']"),
    '"': re.compile(rf'\\.|[^{_WHITE}"\\]', re.DOTALL),
}
"""What one character that is no white space looks like in a file, by the style of the text that it belongs to."""
_PLAIN_ESCAPES: Final = frozenset({r"\"", r"\/", r"\\"})
"""Those that stand for one character that is no white space."""


class SourceText(Struct, frozen=True):
    """The text of one file."""

    file: str
    """The name by which positions show it."""
    file_order: int
    """Its place among the files, for sorting."""
    text: str

    def start(self) -> Position:
        """Return the place of its first character."""
        return Position(self.file_order, self.file, 1, 1)

    def place_within(self, scalar: Scalar, line: int, column: int) -> Position:
        """Return where a character of a value stands in the file.

        YAML folds, indents and quotes, all of which changes white space and quotes alone: so the characters that
        are neither are counted.

        Args:
            scalar: A value of this file.
            line: Of the character in the value's text, from 1.
            column: From 1; one past the end of a line is the place behind its last character.

        Returns:
            The place of the value itself where that of the character can't be told.
        """
        lines = scalar.text.split("\n")
        before = "".join(lines[: line - 1]) + lines[line - 1][: column - 1] if line <= len(lines) else ""
        rest = lines[line - 1][column - 1 :] if line <= len(lines) else ""
        on_solid = bool(rest) and rest[0] not in _WHITE
        count = sum(character not in _WHITE for character in before) + on_solid
        offset = self._offset_of_solid(scalar, count)
        if offset is None:
            return scalar.position
        return self._position(offset if on_solid else offset + 1)

    def is_followed_by_comment(self, scalar: Scalar) -> bool:
        """Whether a plain value ends at ` #`, where YAML lets a comment begin."""
        last = self._offset_of_solid(scalar, sum(character not in _WHITE for character in scalar.text))
        return scalar.plain and last is not None and re.match(r"[ \t]+#", self.text[last + 1 :]) is not None

    def _offset_of_solid(self, scalar: Scalar, count: int) -> int | None:
        """Return where the last of so many characters of a value stands that are no white space."""
        start = self._first_offset(scalar)
        if start is None or not count:
            return None
        solid = _SOLID.get(scalar.style, _SOLID[""])
        for place, match in enumerate(solid.finditer(self.text, start), start=1):
            if match[0][0] == "\\" and scalar.style == '"' and match[0] not in _PLAIN_ESCAPES:
                return None
            if place == count:
                return match.start()
        return None

    def _first_offset(self, scalar: Scalar) -> int | None:
        """Return where a value's own characters begin, behind its quote or the line that opens a block."""
        offset = self._offset(scalar.position)
        if scalar.plain:
            return offset if self.text[offset : offset + 1] == scalar.text[:1] else None
        if self.text[offset : offset + 1] != scalar.style:
            return None
        if scalar.style in "'\"":
            return offset + 1
        end = _BREAK.search(self.text, offset)
        return None if end is None else end.end()

    def _offset(self, position: Position) -> int:
        """Return the offset of a place."""
        begin = 0
        for found, match in enumerate(_BREAK.finditer(self.text), start=2):
            if found > position.line:
                break
            begin = match.end()
        return begin + position.column - 1

    def _position(self, offset: int) -> Position:
        """Return the place of an offset."""
        breaks = [match.end() for match in _BREAK.finditer(self.text, 0, offset)]
        begin = breaks[-1] if breaks else 0
        return Position(self.file_order, self.file, len(breaks) + 1, offset - begin + 1)
