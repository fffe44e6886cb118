"""The rows of one app's list: told apart by their bytes, read when they are new."""

import msgspec

from exporter.aliyun.interning import Interner
from exporter.aliyun.response import row_digest
from exporter.aliyun.row import read_row
from exporter.task import Task


class AppRows:
    """Reads rows of one app.

    Args:
        app_id: whose rows they must be.
        share: keeps equal parts of tasks once.
    """

    def __init__(self, app_id: str, share: Interner) -> None:
        self._app_id = app_id
        self._share = share

    def digest(self, row: msgspec.Raw, /) -> int:
        """Return a 64-bit digest of the row's bytes."""
        return row_digest(row)

    def read(self, row: msgspec.Raw, /) -> Task | None:
        """Return the task, None where the row has no TaskId.

        Raises:
            ApiError: the row belongs to another app.
        """
        return read_row(row, app_id=self._app_id, share=self._share)
