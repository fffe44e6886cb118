"""Detects changes of files that were read."""

from pathlib import Path
from typing import Final

from exporter.core.regular_file import read_regular

_MOST_BYTES: Final = 4 * 1024 * 1024

Look = tuple[int, int, int, int]  # changes when a file is written or replaced
Looks = dict[Path, Look | None]  # None: the file does not exist


class SeenFiles:
    """The files of one read, each as it was just before, so that no later write is missed."""

    def __init__(self) -> None:
        self.looks: Looks = {}

    def look_at(self, path: Path) -> None:
        """Remember the state of a file, or that it does not exist."""
        self.looks[path] = _look(path)

    def read(self, path: Path) -> bytes:
        """Return the content of a file and remember its state; raises OSError, also if it is larger than 4 MiB."""
        self.look_at(path)
        content = read_regular(path, _MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise OSError(None, f"larger than {_MOST_BYTES >> 20} MiB")
        return content

    def look_again(self) -> Looks:
        """Return the current state of all files."""
        return {path: _look(path) for path in self.looks}


def _look(path: Path) -> Look | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
