"""Files that are read as a whole, and whether they have changed: regular ones alone, since others may never end."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

APPLICATION_ID: Final = 0x724D5055  # "rMPU"
"""What `PRAGMA application_id` says in a database of this program: bytes 68 to 71 of the file."""
_SQLITE_HEADER: Final = b"SQLite format 3\0"
_ID_AT: Final = slice(68, 72)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return up to this many bytes of a regular file; raises OSError for others, and waits for no FIFO."""
    _check(path, path.stat())  # a device is not even opened
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor))
        return file.read(most_bytes)


def database_refusal(path: Path) -> str | None:
    """Return why a file must not be the database; None: it is ours, empty, not there, or not for this user to read."""
    try:
        begin = read_regular(path, _ID_AT.stop)
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        return error.strerror or type(error).__name__
    is_ours = begin.startswith(_SQLITE_HEADER) and begin[_ID_AT] == APPLICATION_ID.to_bytes(4, "big")
    return None if is_ours or not begin else "it is not a database of this exporter"


def _check(path: Path, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


_MOST_BYTES: Final = 4 * 1024 * 1024

Signature = tuple[int, int, int]
Signatures = dict[Path, Signature | None]  # None: the file does not exist


def file_signature(path: Path | None) -> Signature | None:
    """Return what changes when a file is written or replaced; None if it is not there."""
    try:
        state = path.stat() if path else None
    except (OSError, ValueError):
        return None
    return state and (state.st_mtime_ns, state.st_size, state.st_ino)


class SeenFiles:
    """The files of one read, each as it was just before, so that no later write is missed."""

    def __init__(self) -> None:
        self.looks: Signatures = {}

    def look_at(self, path: Path) -> None:
        """Remember the state of a file, or that it does not exist."""
        self.looks[path] = file_signature(path)

    def read(self, path: Path) -> bytes:
        """Return the content of a file and remember its state; raises OSError, also if it is larger than 4 MiB."""
        self.look_at(path)
        content = read_regular(path, _MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise OSError(None, f"larger than {_MOST_BYTES >> 20} MiB")
        return content

    def look_again(self) -> Signatures:
        """Return the current state of all files."""
        return {path: file_signature(path) for path in self.looks}
