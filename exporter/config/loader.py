"""From a file, and the files of apps that it names, to a checked configuration."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from exporter.config.checks import check
from exporter.config.draft import Draft
from exporter.config.files import Files, is_file
from exporter.config.model import App, Config
from exporter.config.shapes import Shape

_CONFIG: Final = Shape(kind="mapping", structs=(Config,))
_APPS: Final = Shape(kind="list", item=Shape(kind="mapping", structs=(App,)))


class Loaded(Struct, frozen=True):
    """A configuration and where it came from."""

    config: Config
    files: tuple[Path, ...]
    """Every file that was read, the main one first."""
    globs: tuple[str, ...]
    """The names and patterns of the files beside the main one, as they are looked for."""
    sha256: str
    """Over the contents of all files in order: another one when any has changed, come or gone."""


def load(path: Path, environ: Mapping[str, str], also: Callable[[Draft, Files], None] | None = None) -> Loaded:
    """Return the configuration that stands in a file.

    Args:
        path: The main file.
        environ: What `${NAME}` stands for.
        also: Reads what else the configuration names, so that all mistakes are told at once.

    Raises:
        ConfigError: With every mistake of every file.
    """
    files = Files(path.parent, environ)
    draft = files.read(path, _CONFIG)
    if isinstance(draft, Draft):
        for account in draft.drafts("accounts"):
            _add_apps_of_files(account, files)
            _check_ca_file(account, files)
        check(draft, files.mistakes)
        if also is not None:
            also(draft, files)
    files.mistakes.raise_if_any()
    return Loaded(
        config=cast("Config", cast("Draft", draft).build()),
        files=tuple(files.contents),
        globs=tuple(files.globs),
        sha256=files.sha256,
    )


def paths_of(draft: Draft, attribute: str, expected: str, files: Files) -> tuple[Path, ...]:
    """Return the files that the names and patterns of one key stand for, each once.

    Args:
        draft: The mapping that has the key.
        attribute: The key, a list of names and patterns.
        expected: What such a file holds.
        files: Looks for them.
    """
    names = cast("tuple[object, ...]", draft.values.get(attribute, ()))
    found: dict[Path, None] = {}
    for name, place in zip(names, draft.item_places(attribute), strict=False):
        if isinstance(name, str):
            found.update(dict.fromkeys(files.matching(name, place, expected)))
    return tuple(found)


def _add_apps_of_files(account: Draft, files: Files) -> None:
    """Add the apps that stand in files of their own to those of the account."""
    apps = cast("tuple[object, ...]", account.values.get("apps", ()))
    for path in paths_of(account, "app_files", "a list of apps", files):
        found = files.read(path, _APPS)
        apps += found if isinstance(found, tuple) else ()
    account.values["apps"] = apps


def _check_ca_file(account: Draft, files: Files) -> None:
    """Note authorities that are not there: without them nothing can start."""
    path = account.values.get("ca_file")
    if isinstance(path, Path) and not is_file(path):
        text = f"ca_file {str(path)!r} is not there, expected a PEM file"
        files.mistakes.add(account.place("ca_file"), text)
