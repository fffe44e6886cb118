"""Where the configuration comes from, and whether it has changed there."""

import hashlib
from collections.abc import Callable, Mapping
from glob import glob
from pathlib import Path

from exporter.config.files import MOST_BYTES, digest_of, is_file
from exporter.config.model import Config, redacted
from exporter.core.regular_file import file_signature, read_regular
from exporter.rules.rule_loader import LoadedRules, load, rule_set_of

Signature = tuple[tuple[str, int, int, int], ...]


class ConfigurationSource:
    """A configuration that can be loaded again."""

    def __init__(self, read: Callable[[], LoadedRules]) -> None:
        self._read = read
        self._watched: LoadedRules | None = None
        self._signature: Signature | None = ()  # of what is loaded; None: it was written while it was read
        self._to_verify = False
        """Whether the files' contents are to be compared at the next look: file times are some milliseconds coarse."""
        self._looked_at: Signature = ()

    @classmethod
    def of_file(cls, path: Path, environ: Mapping[str, str]) -> "ConfigurationSource":
        """Return the source that is a file, with the files of apps and rules that it names."""
        return cls(lambda: load(path, environ))

    @classmethod
    def of_config(cls, config: Config) -> "ConfigurationSource":
        """Return the source of a configuration that is in no file and never changes."""
        sha256 = hashlib.sha256(redacted(config).encode()).hexdigest()
        return cls(lambda: LoadedRules(config=config, files=(), globs=(), sha256=sha256, rule_set=rule_set_of(config)))

    def load(self) -> LoadedRules:
        """Load the configuration as it is now; raises ConfigError with every mistake."""
        if self._watched is not None:
            self._signature, self._to_verify = _signature(self._watched), False
        loaded = self._read()
        signature = _signature(loaded)
        self._watched, self._signature = loaded, signature if _is_as_read(loaded) else None
        self._to_verify = True
        return loaded

    def change_has_settled(self) -> bool:
        """Whether files have changed since the last load, and not since the last look: writing has ended."""
        if self._watched is None:
            return False
        before, self._looked_at = self._looked_at, _signature(self._watched)
        return self._differs(self._watched, self._looked_at) and self._looked_at == before

    def _differs(self, loaded: LoadedRules, signature: Signature) -> bool:
        """Whether the files are not as they were loaded."""
        if self._to_verify:
            self._to_verify = False
            if not _is_as_read(loaded):
                self._signature = None
        return signature != self._signature


def _is_as_read(loaded: LoadedRules) -> bool:
    """Whether the files are the same ones and hold what was read of them."""
    if not loaded.files:
        return True
    found = {str(path) for path in loaded.files}
    for pattern in loaded.globs:
        found.update(str(Path(name)) for name in glob(pattern, recursive=True) if is_file(Path(name)))  # noqa: PTH207
    try:
        contents = (read_regular(path, MOST_BYTES + 1) for path in loaded.files)
        return len(found) == len(loaded.files) and digest_of(contents) == loaded.sha256
    except OSError:
        return False


def _signature(loaded: LoadedRules) -> Signature:
    """Return what differs between two states of all files; links are followed."""
    names = {str(path) for path in loaded.files}
    for pattern in loaded.globs:
        names.update((pattern, *glob(pattern, recursive=True)))  # noqa: PTH207 - patterns may be absolute
    found = ((name, file_signature(Path(name))) for name in sorted(names))
    return tuple((name, *signature) for name, signature in found if signature is not None)
