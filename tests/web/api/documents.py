"""Answers as documents, in tests."""

from collections.abc import Mapping
from typing import Any

from exporter.web.responses import Item, Page


def document(page: Page[Item]) -> Mapping[str, Any]:
    """Return what the answer has, with all items."""
    return {page.name: list(page.items), **page.also, "next_cursor": page.next_cursor}
