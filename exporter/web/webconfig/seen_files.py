"""Whether files are still as they were when they were read."""

from pathlib import Path
from typing import Final

from exporter.config.regular_file import read_regular

_MOST_BYTES: Final = 4 * 1024 * 1024

Look = tuple[int, int, int, int]
"""What changes when a file is written, or another takes its name."""
Looks = dict[Path, Look | None]
"""None: it is not there."""


class SeenFiles:
    """The files that one reading looked at, each by how it looked just before: no write after that goes unnoticed."""

    def __init__(self) -> None:
        self.looks: Looks = {}

    def look_at(self, path: Path) -> None:
        """Remember how a file looks, or that it is not there."""
        self.looks[path] = _look(path)

    def read(self, path: Path) -> bytes:
        """Return what a file holds, and remember it.

        Raises:
            OSError: It can't be read, or is larger than any such file.
        """
        self.look_at(path)
        content = read_regular(path, _MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise OSError(None, f"larger than {_MOST_BYTES >> 20} MiB")
        return content

    def look_again(self) -> Looks:
        """Return how all of them look now."""
        return {path: _look(path) for path in self.looks}


def _look(path: Path) -> Look | None:
    """Return how a file looks; None if it is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
