"""The first of many items in order, found without holding up the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

AT_ONCE: Final = 8192

Item = TypeVar("Item")


async def smallest(
    count: int,
    items: Sequence[Item],
    *,
    key: Callable[[Item], str],
    chosen: Callable[[Sequence[Item]], list[Item]] = list,
) -> Sequence[Item]:
    """Return the `count` smallest of many items, in order.

    Items that come in falling order, as the newest tasks first, cost no more than others: a heap would be rebuilt
    by each of them.

    Args:
        count: How many, from 1 on.
        items: Nobody may change them meanwhile.
        key: Returns what they are ordered by, different for each.
        chosen: Returns those of a part of the items that count.
    """
    best: list[Item] = []
    for start in range(0, len(items), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        part = chosen(items[start : start + AT_ONCE])
        if len(best) == count:
            largest = key(best[-1])
            part = [item for item in part if key(item) < largest]
        best = sorted(best + part, key=key)[:count]
    return best
