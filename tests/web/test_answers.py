"""Joining chunks to pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.answers import gathered

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
