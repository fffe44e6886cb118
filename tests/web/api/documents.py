"""Answers as documents, in tests."""

from collections.abc import Mapping
from typing import Any

from exporter.web.lists import Item, Listing


def document(listing: Listing[Item]) -> Mapping[str, Any]:
    """Return the response, with all items."""
    items = list(listing.items)
    next_cursor = listing.cursor_of(items[-1]) if listing.has_more else None
    return {listing.name: items, **listing.also, "next_cursor": next_cursor}
