"""The finished bytes of everything that is published, made off the scrape path when something changes."""

import asyncio
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain, repeat
from typing import Final, Generic, TypeAlias

from isal import isal_zlib
from msgspec import Struct

from exporter.core.threads import Worker
from exporter.metrics.app_families import APP_FAMILIES, CHANGE_FAMILIES, POLICY_FAMILIES, AppFamily
from exporter.metrics.family import END_OF_OPENMETRICS, Declaration, Family, Report, Sections, headers, sections
from exporter.metrics.per_task_families import per_task_families
from exporter.metrics.self_metrics import EXPORTER_FAMILIES, RULE_FAMILIES, SelfMetrics
from exporter.metrics.task_families import TASK_FAMILIES

GROUP_SIZE: Final = 32
"""This many apps are compressed together: with fewer the pieces are many, with more a change of one app costs more."""

_LEVEL: Final = 2
_RAW: Final = -15
_SMALL: Final = 16 * 1024
_LAST_BLOCK: Final = b"\x03\x00"  # of deflate, empty
_MEMBER_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # Deflate, no name, no time, unknown system


class Piece(Struct, frozen=True, gc=False):
    """Some bytes, and the same compressed."""

    plain: bytes
    deflated: bytes
    checksum: int

    @classmethod
    def of(cls, plain: bytes) -> "Piece":
        """Compress; nothing at all becomes nothing at all."""
        if not plain:
            return cls(b"", b"", 0)
        compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        deflated = compressor.compress(plain) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
        return cls(plain, deflated, isal_zlib.crc32(plain))


class Assembly(Struct, frozen=True):
    """Pieces in their order, ready to be sent, with more to follow."""

    plain: tuple[bytes, ...]  # large pieces as they are, small ones joined: neither copying much nor many writes
    length: int  # bytes of `plain`
    gzip: bytes  # the beginning of a gzip member: its header and the compressed pieces
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

    def gzip_end(self, last: Piece) -> bytes:
        """Return what completes `gzip` with a last piece, and the member's trailer."""
        checksum = isal_zlib.crc32_combine(self.checksum, last.checksum, len(last.plain))
        size = (self.length + len(last.plain)) & 0xFFFFFFFF
        return last.deflated + _LAST_BLOCK + struct.pack("<II", checksum, size)


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
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


Key: TypeAlias = tuple[str, ...]

METRICS_PATH: Final = "/metrics"
TASKS_PATH: Final = "/metrics/tasks"  # of series about single tasks


class Format(Enum):
    """A format of the exposition; the value is its Content-Type."""

    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    OPENMETRICS_0_0_1 = "application/openmetrics-text; version=0.0.1; charset=utf-8"
    """The name that older Prometheus servers know the same format by."""
    TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Body(Struct, frozen=True):
    """What a scrape is answered with."""

    content_type: str
    gzip: bool
    chunks: tuple[bytes, ...]  # in the order of sending. Other scrapes share them: they are not copied.
    length: int  # bytes of all chunks together


def families() -> tuple[AppFamily, ...]:
    """Return the families about apps, on `/metrics`, with the functions that find their samples."""
    return (*APP_FAMILIES, *TASK_FAMILIES, *CHANGE_FAMILIES, *POLICY_FAMILIES)


def declarations() -> tuple[Declaration, ...]:
    """Return all families of both paths, those about the exporter included, as they are promised."""
    return (*families(), *RULE_FAMILIES, *EXPORTER_FAMILIES, *per_task_families())


class Exposition(Generic[Report]):
    """Answers scrapes from what was published about many reports; `own_metrics_follow`: with the exporter's own."""

    def __init__(
        self,
        families: Iterable[Family[Report]],
        self_metrics: SelfMetrics,
        *,
        path: str = METRICS_PATH,
        own_metrics_follow: bool = True,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._families = tuple(families)
        self._self_metrics = self_metrics
        self._path = path
        self._own_metrics_follow = own_metrics_follow
        self._timer = timer
        self._lines: dict[str, dict[Key, Sections]] = {family.name: {} for family in self._families}
        self._versions: dict[str, dict[Key, object]] = {family.name: {} for family in self._families}
        self._changed = {family.name for family in self._families}
        self._publishing = asyncio.Lock()
        self._worker = Worker(f"compress {path}")
        self._own_worker = Worker("render own metrics")
        self._parts = tuple(
            [
                (Piece.of(header), family.name, section)
                for family in self._families
                for header, section in headers(family, openmetrics=openmetrics)
            ]
            for openmetrics in (False, True)
        )
        self._groups: dict[str, tuple[_LineGroup, ...]] = {}
        self._ready: Sequence[Assembly] = ()
        self.publish()
        self.publish_own()

    def update(self, key: Key, report: Report) -> None:
        """Take note of a report that replaces the last one of its key; no two keys may share a series."""
        for family in self._families:
            version, versions = family.version(report), self._versions[family.name]
            if version is None or versions.get(key) != version:
                versions[key] = version
                self._put(family.name, key, sections(family, family.samples(report)))

    def remove(self, key: Key) -> None:
        """Take note that nothing more is known under a key."""
        for family in self._families:
            self._versions[family.name].pop(key, None)
            self._put(family.name, key, ())

    def publish(self) -> None:
        """Make everything that was noted visible to the next scrape."""
        changes = self._take_changes()
        if changes:
            began = self._timer()
            self._accept(_compressed(changes, self._groups), self._timer() - began)

    async def publish_off_loop(self) -> None:
        """Do as `publish`, compressing in a thread; not to be mixed with `publish` while it runs."""
        async with self._publishing:
            changes = self._take_changes()
            if not changes:
                return
            began = self._timer()
            try:
                groups = await self._worker.run(_compressed, changes, self._groups)
                self._accept(groups, self._timer() - began)
            except BaseException:
                self._changed |= changes.keys()
                raise

    def publish_own(self) -> None:
        """Make the exporter's own metrics visible as they are now; from any thread."""
        text, openmetrics = self._self_metrics.render() if self._own_metrics_follow else (b"", b"")
        self._last = (Piece.of(text), Piece.of(openmetrics + END_OF_OPENMETRICS))

    async def publish_own_off_loop(self) -> None:
        """Do as `publish_own`, in a thread."""
        await self._own_worker.run(self.publish_own)

    def body(self, exposition_format: Format, *, gzip: bool) -> Body:
        """Return the answer to a scrape: what was published last."""
        openmetrics = exposition_format is not Format.TEXT
        ready, last = self._ready[openmetrics], self._last[openmetrics]
        chunks = (ready.gzip, ready.gzip_end(last)) if gzip else (*ready.plain, last.plain)
        return Body(exposition_format.value, gzip, chunks, sum(map(len, chunks)))

    def _put(self, family: str, key: Key, lines: Sections) -> None:
        known = self._lines[family]
        if not any(lines):
            if known.pop(key, None) is not None:
                self._changed.add(family)
        elif known.get(key) != lines:
            known[key] = lines
            self._changed.add(family)

    def _take_changes(self) -> "_Changes":
        changes = {family: tuple(lines for _, lines in sorted(self._lines[family].items())) for family in self._changed}
        self._changed = set()
        return changes

    def _accept(self, groups: "_LineGroups", seconds: float) -> None:
        self._groups.update(groups)
        self._ready = [
            Assembly.of(
                piece
                for header, family, section in parts
                for piece in (header, *(group.sections[section] for group in self._groups[family]))
            )
            for parts in self._parts
        ]
        series = sum(group.series for family in self._groups.values() for group in family)
        self._self_metrics.rendered(self._path, seconds=seconds, series=series)


class _LineGroup(Struct, frozen=True, gc=False):
    """The lines of some apps of one family, whose keys are neighbours: they are compressed together."""

    lines: tuple[Sections, ...]  # of each app
    sections: tuple[Piece, ...]
    series: int

    @classmethod
    def of(cls, lines: tuple[Sections, ...]) -> "_LineGroup":
        """Join and compress."""
        sections = tuple(b"".join(section) for section in zip(*lines, strict=True))
        # A gauge histogram's fourth section repeats the first three.
        series = sum(section.count(b"\n") for section in sections[:3])
        return cls(lines, tuple(Piece.of(section) for section in sections), series)


_Changes: TypeAlias = Mapping[str, tuple[Sections, ...]]  # the lines of each app, in order, by the family's name
_LineGroups: TypeAlias = Mapping[str, tuple[_LineGroup, ...]]  # in order, by the family's name


def _compressed(changes: _Changes, known: _LineGroups) -> _LineGroups:
    return {family: tuple(_line_groups(lines, known.get(family, ()))) for family, lines in changes.items()}


def _line_groups(lines: tuple[Sections, ...], known: Iterable[_LineGroup]) -> Iterator[_LineGroup]:
    parts = (lines[start : start + GROUP_SIZE] for start in range(0, len(lines), GROUP_SIZE))
    for part, before in zip(parts, chain(known, repeat(None)), strict=False):
        yield before if before is not None and before.lines == part else _LineGroup.of(part)
