"""Sharing of equal immutable values."""

from collections.abc import Hashable
from typing import Any, Final, TypeVar

LIMIT: Final = 40_000  # a value takes some 200 bytes here, so those that no task has any more hold about 8 MiB at most

_Value = TypeVar("_Value")


class Interner:
    """Lets equal values share one object, which is most of what keeps tasks small.

    Values of different types must not equal each other, as 1, 1.0 and True do.

    Args:
        limit: This many values are kept; at the limit sharing starts afresh.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: dict[Any, Any] = {}

    def __call__(self, value: _Value) -> _Value:
        """Return the first of all values that equal this one."""
        self._make_room()
        known: _Value = self._known.setdefault(value, value)
        return known

    def recall(self, origin: Hashable) -> Any:
        """Return the value that was remembered for what it was made from; None: there is none."""
        return self._known.get(origin)

    def remember(self, origin: Hashable, value: object) -> None:
        """Keep a value under what it was made from, which must not equal any value."""
        self._make_room()
        self._known[origin] = value

    def _make_room(self) -> None:
        """Start afresh at the limit."""
        if len(self._known) >= self._limit:
            self._known.clear()
