"""The files that a configuration is made of: each read once, within bounds, with every mistake noted."""

import glob
import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from exporter.config.mistakes import Mistake, Mistakes, Position
from exporter.config.yaml_nodes import Node, Scalar, compose
from exporter.core.regular_file import read_regular

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WHITE: Final = " \t\n\r\x85\u2028\u2029"
_SOLID: Final = {
    "": re.compile(f"[^{_WHITE}]"),
    "'": re.compile(f"''|[^{_WHITE}']"),
    '"': re.compile(rf'\\.|[^{_WHITE}"\\]', re.DOTALL),
}
"""What one character that is no white space looks like in a file, by the style of the text that it belongs to."""
_PLAIN_ESCAPES: Final = frozenset({r"\"", r"\/", r"\\"})  # those that stand for one character that is no white space


class SourceText(Struct, frozen=True):
    """The text of one file."""

    file: str  # the name by which positions show it
    file_order: int  # its place among the files, for sorting
    text: str

    def place_within(self, scalar: Scalar, line: int, column: int) -> Position:
        """Return where a line and column of a value's text, from 1, is in the file; the value itself if unknown."""
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
        return scalar.plain and re.match(r"[ \t]+#", self.text[scalar.end :]) is not None

    def _offset_of_solid(self, scalar: Scalar, count: int) -> int | None:
        """Return the place of the last of this many characters of a value that are no white space."""
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
        begin = self.text[scalar.begin : scalar.begin + 1]
        if scalar.plain:
            return scalar.begin if begin == scalar.text[:1] else None
        if begin != scalar.style:
            return None
        if scalar.style in "'\"":
            return scalar.begin + 1
        end = _BREAK.search(self.text, scalar.begin)
        return None if end is None else end.end()

    def _position(self, offset: int) -> Position:
        breaks = [match.end() for match in _BREAK.finditer(self.text, 0, offset)]
        begin = breaks[-1] if breaks else 0
        return Position(self.file_order, self.file, len(breaks) + 1, offset - begin + 1)


_DOLLAR: Final = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(\{))")


class ExpansionError(ValueError):
    """What can't be expanded: one sentence each, names of variables alone, never values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with each `${NAME}` replaced, once; `$$` is `$`, as is any other `$`. Raises ExpansionError."""
    problems: list[str] = []

    def replace(match: re.Match[str]) -> str:
        dollar, name, brace = match.groups()
        if dollar:
            return "$"
        if brace:
            problems.append("${ without a name and }, expected ${NAME} or $${ for a literal ${")
        elif name not in environ:
            problems.append(f"the environment variable {name} is not set, expected a value for it")
        else:
            return environ[name]
        return ""

    expanded = _DOLLAR.sub(replace, text)
    if problems:
        raise ExpansionError(problems)
    return expanded


MOST_BYTES: Final = 8 * 1024 * 1024  # the largest file that is read: some 80,000 apps


class Files:
    """What one load has read so far, and what is wrong with it; relative paths start at `directory`."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.mistakes = Mistakes()
        self.warnings: list[Mistake] = []
        self.contents: dict[Path, bytes] = {}  # of every file that was read, in order
        self.globs: dict[str, None] = {}  # the patterns that were looked for, in order; of names those that match them
        self._directory = directory
        self._environ = environ
        self._texts: dict[Path, SourceText | None] = {}
        self._nodes: dict[Path, Node | None] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was looked at, in order, also where it could not be read."""
        return tuple(self._texts)

    @property
    def sha256(self) -> str:
        """A digest over the contents of all files in order."""
        return digest_of(self.contents.values())

    def node(self, path: Path) -> Node | None:
        """Return the tree of a YAML file; None where it has none."""
        if path not in self._nodes:
            source = self.text(path)
            self._nodes[path] = (
                None
                if source is None
                else compose(source.text, file=source.file, file_order=source.file_order, mistakes=self.mistakes)
            )
        return self._nodes[path]

    def expanded(self, name: Scalar) -> str:
        """Return a name with the environment in it; as it is written where that has a mistake, noted elsewhere."""
        try:
            return expand(name.text, self._environ)
        except ExpansionError:
            return name.text

    def text(self, path: Path) -> SourceText | None:
        """Return the text of a file; None where it has none that can be used."""
        if path not in self._texts:
            self._texts[path] = self._decoded(path, order=len(self._texts))
        return self._texts[path]

    def matching(self, name: str, place: Position, expected: str) -> list[Path]:
        """Find the files that a name or pattern stands for, in a stable order; `expected` is what such a file holds."""
        is_pattern = glob.has_magic(name)
        pattern = str(Path(glob.escape(str(self._directory)) if is_pattern else self._directory) / name)
        self.globs[pattern if is_pattern else glob.escape(pattern)] = None
        names = glob.glob(pattern, recursive=True) if is_pattern else [pattern]  # noqa: PTH207 - it may be absolute
        found = [path for path in map(Path, sorted(names)) if is_file(path)]
        if not found and is_pattern:
            self.warnings.append(Mistake(place, f"no file matches {pattern!r}, expected {expected} in at least one"))
        elif not found:
            self.mistakes.add(place, f"the file {pattern!r} is not there, expected {expected} in it")
        return found

    def follow(self, path: Path) -> None:
        """Count a file that is used elsewhere among those that the configuration is made of."""
        self.globs[glob.escape(str(path))] = None
        with suppress(OSError):
            self.contents[path] = read_regular(path, MOST_BYTES + 1)

    def _decoded(self, path: Path, order: int) -> SourceText | None:
        start = Position(order, str(path), 1, 1)
        try:
            content = read_regular(path, MOST_BYTES + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self.mistakes.add(start, f"the file can't be read ({reason}), expected a readable YAML file")
            return None
        self.contents[path] = content
        if len(content) > MOST_BYTES:
            self.mistakes.add(start, f"the file is too large, expected at most {MOST_BYTES >> 20} MiB")
            return None
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start]
            column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
            place = Position(order, str(path), before.count(b"\n") + 1, column)
            self.mistakes.add(place, "the file is not UTF-8, expected UTF-8")
            return None
        return SourceText(str(path), order, text)


def digest_of(contents: Iterable[bytes]) -> str:
    """Return a digest over the contents of files, in order."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False
