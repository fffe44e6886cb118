"""The headers that the file may set, and how their values are sent."""

import re
from typing import Final

HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""With the values that each can have; none: any."""

_NOT_SENDABLE: Final = re.compile("[\x00-\x08\n-\x1f\x7f]")


def sendable(value: str) -> str:
    """Return a header's value without what would end it: a break becomes a space, as in Go."""
    return _NOT_SENDABLE.sub(" ", value).strip()
