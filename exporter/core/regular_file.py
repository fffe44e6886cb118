"""Files that are read as a whole: regular ones alone, since anything else may block, or never end."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

STATE_FILE_MARK: Final = b"rtcmpu-state"
"""What a state file begins with."""


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return up to so many bytes from the begin of a regular file.

    Raises:
        OSError: It can't be read, or is something else; a FIFO is not waited for.
    """
    _check(path, path.stat())  # a device is not even opened
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor))
        return file.read(most_bytes)


def state_file_refusal(path: Path) -> str | None:
    """Return why a file must not be replaced by a state file; None: it is one, or empty, or not there.

    One that can't be read by this user can't be told from others.
    """
    try:
        begin = read_regular(path, len(STATE_FILE_MARK))
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        return error.strerror or type(error).__name__
    return None if begin in {b"", STATE_FILE_MARK} else "it is no state file of this program"


def _check(path: Path, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
