"""Compressed pieces that are put together later."""

import gzip
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from exporter.metrics.exposition import Assembly, Piece

_parts = st.lists(st.binary(max_size=300) | st.binary(max_size=30).map(lambda part: part * 1000), max_size=8)


@given(_parts, st.binary(max_size=100))
def test_pieces_and_last_bytes_are_one_gzip_member(parts: list[bytes], last: bytes) -> None:
    """Whatever pieces follow one another, two decoders read all of it as a single member with a right checksum."""
    assembly = Assembly.of(Piece.of(part) for part in parts)
    member = assembly.gzip + assembly.gzip_end(Piece.of(last))
    expected = b"".join((*parts, last))
    for decompressor in (zlib.decompressobj(31), isal_zlib.decompressobj(31)):
        assert decompressor.decompress(member) == expected
        assert (decompressor.eof, decompressor.unused_data) == (True, b"")
    assert gzip.decompress(member) == expected


@given(_parts)
def test_plain_chunks_hold_the_same_bytes(parts: list[bytes]) -> None:
    """Plain and compressed bodies say the same, and the length is right."""
    assembly = Assembly.of(Piece.of(part) for part in parts)
    assert b"".join(assembly.plain) == b"".join(parts)
    assert assembly.length == sum(map(len, parts))
    assert all(assembly.plain)


def test_a_large_piece_is_not_copied() -> None:
    """It is sent as it is kept, and what is small around it takes few writes."""
    large = Piece.of(bytes(100_000))
    assembly = Assembly.of([Piece.of(b"a"), Piece.of(b"b"), large, Piece.of(b"c")])
    assert [len(chunk) for chunk in assembly.plain] == [2, 100_000, 1]
    assert assembly.plain[1] is large.plain


@pytest.mark.processes
def test_the_command_gzip_reads_it() -> None:
    """The tool that people have at hand takes it for an intact file."""
    assembly = Assembly.of([Piece.of(b"first\n" * 100), Piece.of(b"second\n" * 100)])
    member = assembly.gzip + assembly.gzip_end(Piece.of(b"last\n"))
    unpacked = subprocess.run(["gzip", "-dc"], input=member, capture_output=True, check=True, timeout=10)
    assert unpacked.stdout == b"first\n" * 100 + b"second\n" * 100 + b"last\n"
    assert unpacked.stderr == b""
