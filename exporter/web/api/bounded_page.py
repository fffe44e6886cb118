"""A page of a list as JSON: bounded in size, and made without holding up the event loop."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

LARGEST_PAGE_BYTES: Final = 2 * 1024 * 1024
ITEMS_AT_ONCE: Final = 50
BYTES_AT_ONCE: Final = 128 * 1024

Item = TypeVar("Item", bound=Mapping[str, Any])


class Page(Struct, Generic[Item], frozen=True):
    """Some items of a list."""

    name: str
    """Under which the answer has them."""
    items: Iterator[Item]
    """Each is made when its turn comes."""
    next_cursor: str | None
    """Where the page behind the last item begins; None: there is none."""
    cursor_of: Callable[[Item], str]
    """Returns where the page behind an item begins."""
    also: Mapping[str, Any]
    """What else the answer has."""


async def page_text(page: Page[Item], *, largest_bytes: int = LARGEST_PAGE_BYTES) -> str:
    """Return the answer as JSON, which ends early where the items become larger than `largest_bytes` together.

    It has one item at least if there is any, so that following the cursors always comes to an end.
    """
    texts: list[str] = []
    size, since_pause = 0, 0
    next_cursor, last = page.next_cursor, None
    for item in page.items:
        text = json_text(item)
        size += len(text)
        if last is not None and size > largest_bytes:
            next_cursor = page.cursor_of(last)
            break
        texts.append(text)
        last = item
        since_pause += len(text)
        if since_pause >= BYTES_AT_ONCE or len(texts) % ITEMS_AT_ONCE == 0:
            since_pause = 0
            await asyncio.sleep(0)
    ending = json_text({**page.also, "next_cursor": next_cursor})
    return f'{{"{page.name}": [{", ".join(texts)}], {ending[1:]}'


def json_text(document: Mapping[str, Any]) -> str:
    """Return JSON in pure ASCII, since that holds any text."""
    return json.dumps(document, default=msgspec.to_builtins, allow_nan=False)
