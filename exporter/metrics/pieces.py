"""Pieces of an exposition that are compressed once and put together in any order.

Each piece is raw deflate that ends with a full flush, at a byte's border and without looking back. So pieces that
follow one another under one header and one checksum are one valid gzip member; bodies of several members are
misread by some clients.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from isal import isal_zlib
from msgspec import Struct

_LEVEL: Final = 2
_RAW: Final = -15
_SMALL: Final = 16 * 1024
_MEMBER_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate, no name, no time, unknown system."""


class Piece(Struct, frozen=True):
    """Some bytes, and the same compressed."""

    plain: bytes
    deflated: bytes
    checksum: int

    @classmethod
    def of(cls, plain: bytes) -> "Piece":
        """Compress; nothing at all becomes nothing at all."""
        return cls(plain, _deflate(plain, isal_zlib.Z_FULL_FLUSH) if plain else b"", isal_zlib.crc32(plain))


class Assembly(Struct, frozen=True):
    """Pieces in their order, ready to be sent, with more to follow."""

    plain: tuple[bytes, ...]
    """Large pieces as they are, small ones joined: neither copying much nor many writes."""
    length: int
    """Bytes of `plain`."""
    gzip: bytes
    """The beginning of a gzip member: its header and the compressed pieces."""
    checksum: int

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> "Assembly":
        """Put pieces one after another."""
        filled = [piece for piece in pieces if piece.plain]
        length, checksum = 0, 0
        for piece in filled:
            length += len(piece.plain)
            checksum = isal_zlib.crc32_combine(checksum, piece.checksum, len(piece.plain))
        return cls(
            plain=tuple(_chunks(piece.plain for piece in filled)),
            length=length,
            gzip=b"".join((_MEMBER_HEADER, *(piece.deflated for piece in filled))),
            checksum=checksum,
        )

    def gzip_end(self, last: bytes) -> bytes:
        """Return what completes `gzip` with some last bytes: they, compressed, and the member's trailer."""
        checksum = isal_zlib.crc32(last, self.checksum)
        size = (self.length + len(last)) & 0xFFFFFFFF
        return _deflate(last, isal_zlib.Z_FINISH) + struct.pack("<II", checksum, size)


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join parts that follow one another while they are small."""
    small: list[bytes] = []
    for part in parts:
        if len(part) < _SMALL:
            small.append(part)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield part
    if small:
        yield b"".join(small)


def _deflate(plain: bytes, flush: int) -> bytes:
    """Compress on its own, to be followed by other pieces or not."""
    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
    return compressor.compress(plain) + compressor.flush(flush)
