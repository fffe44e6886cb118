"""Whether files are still as they were when they were read."""

import os
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 4 * 1024 * 1024

Look = tuple[int, int, int, int]
"""What changes when a file is written, or another takes its name."""


class SeenFiles:
    """The files that one reading looked at, each by how it looked just before: no write after that goes unnoticed."""

    def __init__(self) -> None:
        self._looks: dict[Path, Look | None] = {}

    def look_at(self, path: Path) -> None:
        """Remember how a file looks, or that it is not there."""
        self._looks[path] = _look(path)

    def read(self, path: Path) -> bytes:
        """Return what a file holds, and remember it.

        Raises:
            OSError: It can't be read, or is larger than any such file.
        """
        self.look_at(path)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise OSError(None, f"larger than {_MOST_BYTES >> 20} MiB")
        return content

    def changed(self) -> bool:
        """Whether any of them looks otherwise now."""
        return any(_look(path) != look for path, look in self._looks.items())


def _look(path: Path) -> Look | None:
    """Return how a file looks; None if it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - asked on every request, and `Path.stat` is no faster way to it
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev
