"""Remembering what was found out, within bounds."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

ENTRIES: Final = 4096
"""Fleets have some hundred configurations; where each task has its own, remembering them gains nothing."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Memo(Generic[_Key, _Value]):
    """A mapping that forgets what was not asked for in a long time.

    Args:
        entries: So many are kept of each of two generations. When the young one is full, the old one is forgotten.
    """

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._young: dict[_Key, _Value] = {}
        self._old: dict[_Key, _Value] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: _Key) -> _Value | None:
        """Return what was put; None: it is not known, or not any more."""
        value = self._young.get(key)
        if value is None and (value := self._old.pop(key, None)) is not None:
            self.put(key, value)
        return value

    def put(self, key: _Key, value: _Value) -> None:
        """Remember a value."""
        if len(self._young) >= self._entries:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def share(self: "Memo[_Key, _Key]", value: _Key) -> _Key:
        """Return the first of all values that equal this one, so that they need no more room than one."""
        known = self.get(value)
        if known is None:
            self.put(value, value)
            return value
        return known
