"""From a file, and the files of apps that it names, to a checked configuration."""

import glob
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from exporter.config.checks import check, drafts
from exporter.config.mistakes import Mistakes, Position
from exporter.config.model import App, Config
from exporter.config.reader import Draft, Reader
from exporter.config.shapes import Shape
from exporter.config.yaml_nodes import compose

MOST_BYTES: Final = 8 * 1024 * 1024
"""The largest file that is read: some 80,000 apps."""

_CONFIG: Final = Shape(kind="mapping", structs=(Config,))
_APPS: Final = Shape(kind="list", item=Shape(kind="mapping", structs=(App,)))
_GLOB_CHARACTERS: Final = frozenset("*?[")


class Loaded(Struct, frozen=True):
    """A configuration and where it came from."""

    config: Config
    files: tuple[Path, ...]
    """Every file that was read, the main one first."""
    globs: tuple[str, ...]
    """The names and patterns of the files of apps, as they are looked for."""
    sha256: str
    """Over the contents of all files in order: another one when any has changed, come or gone."""


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Return the configuration that stands in a file.

    Args:
        path: The main file.
        environ: What `${NAME}` stands for.

    Raises:
        ConfigError: With every mistake of every file.
    """
    loading = _Loading(path.parent, environ)
    draft = loading.read(path, _CONFIG)
    if isinstance(draft, Draft):
        for account in drafts(draft, "accounts"):
            loading.add_apps_of_files(account)
            loading.check_ca_file(account)
        check(draft, loading.mistakes)
    loading.mistakes.raise_if_any()
    return Loaded(
        config=cast("Config", cast("Draft", draft).build()),
        files=tuple(loading.contents),
        globs=tuple(loading.globs),
        sha256=_digest(loading.contents.values()),
    )


class _Loading:
    """One load: what was read so far, and what is wrong with it."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.mistakes = Mistakes()
        self.contents: dict[Path, bytes] = {}
        self.globs: dict[str, None] = {}
        self._directory = directory
        self._environ = environ
        self._read: dict[Path, object] = {}

    def read(self, path: Path, shape: Shape) -> object:
        """Return what a file holds; once for each file, so that its mistakes are told once."""
        if path not in self._read:
            self._read[path] = self._read_anew(path, shape)
        return self._read[path]

    def add_apps_of_files(self, account: Draft) -> None:
        """Add the apps that stand in files of their own to those of the account."""
        names = account.values.get("app_files", ())
        places = account.item_places.get("app_files", ())
        apps = cast("tuple[object, ...]", account.values.get("apps", ()))
        seen: set[Path] = set()
        for name, place in zip(cast("tuple[object, ...]", names), places, strict=True):
            for path in self._files(name, place) if isinstance(name, str) else ():
                if path not in seen:
                    seen.add(path)
                    found = self.read(path, _APPS)
                    apps += found if isinstance(found, tuple) else ()
        account.values["apps"] = apps

    def check_ca_file(self, account: Draft) -> None:
        """Note authorities that are not there: without them nothing can start."""
        path = account.values.get("ca_file")
        if isinstance(path, Path) and not _is_file(path):
            text = f"ca_file {str(path)!r} is not there, expected a PEM file"
            self.mistakes.add(account.places["ca_file"], text)

    def _files(self, name: str, place: Position) -> Iterator[Path]:
        """Find the files that a name or pattern stands for, in a stable order."""
        pattern = str(Path(glob.escape(str(self._directory))) / name)
        if _GLOB_CHARACTERS.isdisjoint(name):
            pattern = str(self._directory / name)
            self.globs[pattern] = None
            if _is_file(Path(pattern)):
                yield Path(pattern)
            else:
                self.mistakes.add(place, f"the file {pattern!r} is not there, expected a list of apps in it")
            return
        self.globs[pattern] = None
        found = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        yield from (path for path in map(Path, sorted(found)) if _is_file(path))

    def _read_anew(self, path: Path, shape: Shape) -> object:
        """Read, decode and walk one file; None where nothing of it can be used."""
        order = len(self._read)
        start = Position(order, str(path), 1, 1)
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
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
        node = compose(text, file=str(path), file_order=order, mistakes=self.mistakes)
        reader = Reader(directory=self._directory, environ=self._environ, mistakes=self.mistakes)
        return None if node is None else reader.read(node, shape, "the file")


def _is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _digest(contents: Iterable[bytes]) -> str:
    """Return one digest over several contents."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()
