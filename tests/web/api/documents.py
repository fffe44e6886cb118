"""Answers as documents, in tests."""

from collections.abc import Mapping
from typing import Any

import msgspec

from exporter.web.lists import Listing


def document(listing: Listing) -> Mapping[str, Any]:
    """Return the response, with all items."""
    items = list(listing.items)
    following = {}
    if listing.cursor_of is not None:
        following["next_cursor"] = listing.cursor_of(items[-1]) if listing.has_more else None
    whole: Mapping[str, Any] = msgspec.to_builtins({listing.name: items, **listing.also, **following})
    return whole
