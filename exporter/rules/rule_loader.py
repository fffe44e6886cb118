"""From a configuration to the rules that it puts in force: every mistake of all its files together; loaded again."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from glob import glob
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from exporter.config.files import MOST_BYTES, Files, digest_of, is_file
from exporter.config.loader import paths_of, places_of, read_config
from exporter.config.mistakes import ConfigError, Mistake, Mistakes, Position
from exporter.config.model import Config, redacted
from exporter.config.policy_model import Expect
from exporter.config.section import keys_of, nearest
from exporter.config.validation import find, items_at, place_of
from exporter.config.yaml_nodes import Mapping as MappingNode
from exporter.config.yaml_nodes import Node
from exporter.core.regular_file import read_regular
from exporter.rules.facts import LONGEST_LIST
from exporter.rules.rule import AppKey, CompiledRule
from exporter.rules.rule_files import PlacedRule, check_names, compile_rules, default_rules, profile_rules, read_rules
from exporter.rules.rule_set import RuleSet, rule_name, rule_set, too_long_list


class LoadedRules(Struct, frozen=True, kw_only=True):
    """A configuration, the rules that it puts in force, and where all of it came from."""

    config: Config
    rule_set: RuleSet
    files: tuple[Path, ...]  # every file that was read, the main one first
    globs: tuple[str, ...]  # the patterns of the files beside the main one, as they are looked for
    sha256: str  # over the contents of all files in order: another one when any has changed, come or gone
    warnings: tuple[Mistake, ...] = ()  # what is probably not meant: patterns that match no file
    places: Mapping[AppKey, Position] = MappingProxyType({})  # of each app's id


class RefusedConfigError(ConfigError):
    """A configuration with mistakes, and the files in which they can be mended."""

    def __init__(self, mistakes: Sequence[Mistake], files: Files) -> None:
        super().__init__(mistakes)
        self.files = files


def load(path: Path, environ: Mapping[str, str]) -> LoadedRules:
    """Return the configuration in a file, with its rules; raises RefusedConfigError with all mistakes of all files."""
    files = Files(path.parent, environ)
    try:
        return _load(path, files, environ)
    except ConfigError as error:
        raise RefusedConfigError(error.mistakes, files) from None


def _load(path: Path, files: Files, environ: Mapping[str, str]) -> LoadedRules:
    root, config = read_config(path, files, environ)
    file_rules: Sequence[CompiledRule] = ()
    if root is not None:
        paths = paths_of(find(root, ["policy", "rule_files"]), "rules", files)
        file_rules, names = _read_rule_files(paths, files)
        if config is not None:
            _check_expectations(root, config, files.mistakes)
            if names is not None:
                _check_switches(root, names, files.mistakes)
    files.mistakes.raise_if_any()
    assert config is not None  # noqa: S101 - without mistakes there is one
    return LoadedRules(
        config=config,
        rule_set=rule_set(config, file_rules),
        files=tuple(files.contents),
        globs=tuple(files.globs),
        sha256=files.sha256,
        warnings=tuple(files.warnings),
        places=dict(places_of(config, root)),
    )


def load_rules(paths: Sequence[Path]) -> tuple[CompiledRule, ...]:
    """Return the rules of rule files; raises ConfigError with every mistake of every file."""
    files = Files(Path(), {})
    rules, _ = _read_rule_files(paths, files)
    files.mistakes.raise_if_any()
    return rules


REPLACED_RULES: Final = {"push-url-shared": "push-stream-shared"}


def _read_rule_files(paths: Sequence[Path], files: Files) -> tuple[tuple[CompiledRule, ...], frozenset[str] | None]:
    """Read and compile the rules of files; return them with the names of all rules, None where a file hides some."""
    placed: list[PlacedRule] = []
    all_named = True
    for path in paths:
        source = files.text(path)
        found = None if source is None else read_rules(source, files.mistakes)
        placed.extend(found or ())
        all_named &= found is not None and all(one.rule.name for one in found)
    packaged = [rule.name for rule in chain(default_rules(), *profile_rules().values())]
    check_names(placed, packaged, files.mistakes)
    names = frozenset([*packaged, *(one.rule.name for one in placed)]) if all_named else None
    return compile_rules(placed, files.mistakes), names


def _check_expectations(root: Node, config: Config, mistakes: Mistakes) -> None:
    for place, account in enumerate(config.accounts):
        for app, node in zip(account.apps, items_at(root, "accounts", place, "apps"), strict=True):
            if app.expect is not None and (key := too_long_list(app.expect)):
                mistakes.add(place_of(node, "expect"), f"{key} has too many values, expected at most {LONGEST_LIST}")


def _check_switches(root: Node, names: frozenset[str], mistakes: Mistakes) -> None:
    known = sorted(names | {rule_name(key) for key in keys_of(Expect)})
    switches = find(root, ["policy", "rules"])
    for key, _ in switches.pairs if isinstance(switches, MappingNode) else ():
        if key.text not in known:
            if key.text in REPLACED_RULES:
                mistakes.add(key.position, f"rule {key.text} was replaced, expected {REPLACED_RULES[key.text]}")
                continue
            expected = nearest(key.text, known) or "the name of a rule"
            mistakes.add(key.position, f"no rule is called {key.text}, expected {expected}")


class _Watched(NamedTuple):
    files: tuple[Path, ...]
    globs: tuple[str, ...]


State = tuple[frozenset[Path], str]  # the files that can be read, and a digest over their contents


class ConfigurationSource:
    """A configuration that can be loaded again."""

    def __init__(self, read: Callable[[], LoadedRules]) -> None:
        self._read = read
        self._watched: _Watched | None = None
        self._known: State | None = None  # of the files that are loaded, or were refused
        self._looked_at: State | None = None

    @classmethod
    def of_file(cls, path: Path, environ: Mapping[str, str]) -> "ConfigurationSource":
        """Return the source that is a file, with the files of apps and rules that it names."""
        return cls(lambda: load(path, environ))

    @classmethod
    def of_config(cls, config: Config) -> "ConfigurationSource":
        """Return the source of a configuration that is in no file and never changes."""
        sha256 = hashlib.sha256(redacted(config).encode()).hexdigest()
        return cls(lambda: LoadedRules(config=config, files=(), globs=(), sha256=sha256, rule_set=rule_set(config)))

    def load(self) -> LoadedRules:
        """Load the configuration as it is now; raises ConfigError with every mistake."""
        if self._watched is not None:
            self._known = _state(self._watched)
        try:
            loaded = self._read()
        except RefusedConfigError as refused:
            files = refused.files
            self._watched = _Watched(files.paths, tuple(files.globs))
            self._known = frozenset(files.contents), files.sha256
            raise
        self._watched, self._known = _Watched(loaded.files, loaded.globs), (frozenset(loaded.files), loaded.sha256)
        return loaded

    def change_has_settled(self) -> bool:
        """Whether files have changed since the last load, and not since the last look: writing has ended."""
        if self._watched is None or not self._watched.files:
            return False
        before, self._looked_at = self._looked_at, _state(self._watched)
        return before == self._looked_at != self._known


def _state(watched: _Watched) -> State:
    names = chain.from_iterable(glob(pattern, recursive=True) for pattern in watched.globs)  # noqa: PTH207 - absolute ones
    found = {path for path in map(Path, names) if is_file(path)}
    contents: dict[Path, bytes] = {}
    for path in (*watched.files, *sorted(found.difference(watched.files))):
        with suppress(OSError):
            contents[path] = read_regular(path, MOST_BYTES + 1)
    return frozenset(contents), digest_of(contents.values())
