"""Sharing of equal immutable values."""

from typing import Any, Final, TypeVar

LIMIT: Final = 100_000

_Value = TypeVar("_Value")


class Interner:
    """Lets equal values share one object, which is most of what keeps tasks small.

    Values of different types must not equal each other, as 1, 1.0 and True do.

    Args:
        limit: So many values are kept; at the limit sharing starts afresh.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: dict[Any, Any] = {}

    def __call__(self, value: _Value) -> _Value:
        """Return the first of all values that equal this one."""
        if len(self._known) >= self._limit:
            self._known.clear()
        known: _Value = self._known.setdefault(value, value)
        return known
