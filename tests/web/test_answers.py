"""Joining chunks to pieces, and making items in slices."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.answers import gathered, made_in_slices

CHUNKS = st.lists(st.binary(max_size=40), max_size=40)


@given(chunks=CHUNKS, piece_bytes=st.integers(min_value=1, max_value=60))
def test_pieces_are_the_chunks_in_order_and_as_few_as_they_may_be(chunks: list[bytes], piece_bytes: int) -> None:
    """Nothing is lost or moved, no piece is empty, none but a single chunk is over the limit."""
    pieces = list(gathered(chunks, piece_bytes))
    assert b"".join(pieces) == b"".join(chunks)
    assert all(pieces)
    assert all(len(piece) <= piece_bytes or piece in chunks for piece in pieces)
    assert all(len(one) + len(next_one) > piece_bytes for one, next_one in pairwise(pieces))


def test_a_large_chunk_is_handed_on_uncopied() -> None:
    """What is large already costs no copy."""
    large = b"x" * 100
    assert any(piece is large for piece in gathered([b"a", large, b"b"], 50))


async def test_others_run_while_many_items_are_made() -> None:
    """Items come in order, and after every few of them the event loop has its turn."""
    turns: list[int] = []
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(10):
            made += 1
            yield number

    async def other() -> None:
        while made < 10:
            turns.append(made)
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    assert await made_in_slices(items(), at_once=3) == list(range(10))
    await running
    assert turns == [3, 6, 9]
