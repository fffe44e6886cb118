"""The accepted tasks and the findings about them in a file, so that a restart need not begin with nothing.

A header line says what it is, in which format, and the digest of what follows: compressed MessagePack. A file that is
not exactly that is refused whole. Written beside its place and renamed, it is always the old one or the new one. It
holds what a `Task` holds, and rules: no URL paths, no user ids, no payloads.
"""

import glob
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import xxhash
from msgspec import Struct

from exporter.collector.inventory import Entry
from exporter.collector.status import Sweep
from exporter.core.regular_file import STATE_FILE_MARK, read_regular, state_file_refusal
from exporter.core.task import Configuration, Task

FORMAT: Final = 1
MOST_BYTES: Final = 2 * 1024**3
"""Of the content; beyond it a file is taken for damaged."""
OWNER_ONLY: Final = 0o600
LEFT_OVER_SECONDS: Final = 600.0
"""A file of a write that is older than a newer write by this much is nobody's any more."""
BEFORE_THIS_PROCESS: Final = float("-inf")
WHOLE_APP: Final = -1

Findings: TypeAlias = Mapping[tuple[str, ...], Mapping[str, float]]
"""Since when violations are seen, in wall-clock seconds, by the version of a rule and the TaskId; the TaskId of one
about the app as a whole is empty."""


class SavedTask(Struct, frozen=True, array_like=True, gc=False):
    """One task; what is configured stands in `SavedApp.configurations`, since most tasks share it."""

    task_id: str
    channel_id: str
    configuration: int
    row_digest: int
    digests: bytes
    first_seen: float
    last_changed: float


class SavedViolations(Struct, frozen=True, array_like=True, gc=False):
    """What violates one version of a rule."""

    rule_version: tuple[str, ...]
    tasks: list[int]
    """Places in `SavedApp.tasks`, or `WHOLE_APP`."""
    since: list[float]
    """Of each of them."""


class SavedApp(Struct, frozen=True):
    """One app as it was accepted. Times are wall-clock seconds."""

    account: str
    endpoint: str
    """The service that the app was read from."""
    app_id: str
    sweep: Sweep
    last_update_began: float | None
    configurations: list[Configuration]
    tasks: list[SavedTask]
    violations: list[SavedViolations]

    def entries(self) -> Iterator[Entry]:
        """Yield the tasks as an inventory holds them."""
        for saved in self.tasks:
            task = Task(
                saved.task_id,
                saved.channel_id,
                self.configurations[saved.configuration],
                saved.row_digest,
                saved.digests,
            )
            yield Entry(task, saved.first_seen, saved.last_changed, BEFORE_THIS_PROCESS)

    def findings(self) -> Findings:
        """Return the violations as they were."""
        return {
            saved.rule_version: {
                "" if place == WHOLE_APP else self.tasks[place].task_id: since
                for place, since in zip(saved.tasks, saved.since, strict=True)
            }
            for saved in self.violations
        }


class StateFileError(Exception):
    """A file that can't be used; `str()` says why in one line."""


def saved_app(
    account: str,
    app_id: str,
    sweep: Sweep,
    last_update_began: float | None,
    entries: Iterable[Entry],
    *,
    endpoint: str,
    findings: Findings,
) -> SavedApp:
    """Return an app as it is saved, with those findings that are about its tasks or about the app as a whole."""
    places: dict[Configuration, int] = {}
    tasks = []
    for entry in entries:
        task = entry.task
        place = places.setdefault(task.configuration, len(places))
        tasks.append(
            SavedTask(
                task.task_id,
                task.channel_id,
                place,
                task.row_digest,
                task.digests,
                entry.first_seen,
                entry.last_changed,
            )
        )
    return SavedApp(
        account,
        endpoint,
        app_id,
        sweep,
        last_update_began,
        list(places),
        tasks,
        list(_saved_violations(findings, tasks)),
    )


def _saved_violations(findings: Findings, tasks: Iterable[SavedTask]) -> Iterator[SavedViolations]:
    """Yield what there is to save of each rule."""
    places = {"": WHOLE_APP} | {task.task_id: place for place, task in enumerate(tasks)}
    for rule_version, since in findings.items():
        known = {places[task_id]: seen for task_id, seen in since.items() if task_id in places}
        if known:
            yield SavedViolations(rule_version, list(known), list(known.values()))


def encode(apps: Iterable[SavedApp]) -> bytes:
    """Return the file's bytes."""
    content = zlib.compress(msgspec.msgpack.encode(list(apps)), level=1)
    return b"%s %d %s %s\n" % (STATE_FILE_MARK, FORMAT, _schema(), _digest(content)) + content


def decode(data: bytes) -> list[SavedApp]:
    """Return what was encoded.

    Raises:
        StateFileError: it is damaged, of another version, or no state file at all.
    """
    header, _, content = data.partition(b"\n")
    words = header.split(b" ") if len(header) < 200 else []
    if len(words) != 4 or words[0] != STATE_FILE_MARK:
        raise StateFileError("it is no state file of this program")
    if words[1:3] != [b"%d" % FORMAT, _schema()]:
        raise StateFileError("it was written by another version of this program")
    if words[3] != _digest(content):
        raise StateFileError("it is damaged: its checksum does not fit")
    try:
        apps = msgspec.msgpack.decode(_decompress(content), type=list[SavedApp])
    except (msgspec.MsgspecError, zlib.error) as error:
        raise StateFileError("it is damaged: its content can't be read") from error
    for app in apps:
        if any(not 0 <= task.configuration < len(app.configurations) for task in app.tasks):
            raise StateFileError("it is damaged: a task refers to nothing")
        if any(not _fits(violations, len(app.tasks)) for violations in app.violations):
            raise StateFileError("it is damaged: a violation refers to nothing")
    return apps


def write(path: Path, data: bytes) -> None:
    """Replace the file as a whole; only its owner can read it. What killed processes left beside it goes.

    Raises:
        OSError: It can't be written; the old one is still there.
        StateFileError: There is a file that is not ours.
    """
    if (refusal := state_file_refusal(path)) is not None:
        raise StateFileError(refusal)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of two containers on one volume both can be process 1.
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            written_at = os.fstat(file.fileno()).st_mtime
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    for unfinished in unfinished_writes(path):
        with suppress(OSError):
            if unfinished.stat().st_mtime < written_at - LEFT_OVER_SECONDS:
                unfinished.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def unfinished_writes(path: Path) -> Sequence[Path]:
    """Return what lies beside the file of writes that are under way, or that a killed process left."""
    return sorted(path.parent.glob(f".{glob.escape(path.name)}.*.new"))


def read(path: Path) -> list[SavedApp] | None:
    """Return what the file holds; None where there is none.

    Raises:
        StateFileError: it can't be read or used.
    """
    try:
        data = read_regular(path, MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateFileError(f"it can't be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise StateFileError("it is larger than any state file")
    return decode(data)


def _decompress(content: bytes) -> bytes:
    """Decompress up to a bound."""
    decompressor = zlib.decompressobj()
    data: bytes = decompressor.decompress(content, MOST_BYTES)
    if not decompressor.eof:
        raise StateFileError("it is damaged: its content has no end")
    return data


def _fits(violations: SavedViolations, tasks: int) -> bool:
    """Whether each violation has a task, or the app, and a time."""
    in_bounds = all(WHOLE_APP <= place < tasks for place in violations.tasks)
    return in_bounds and len(violations.tasks) == len(violations.since)


def _digest(content: bytes) -> bytes:
    return xxhash.xxh3_128_hexdigest(content).encode()


def _schema() -> bytes:
    """Return a digest of the types that are saved, so that a file of other types is known at once."""
    return xxhash.xxh3_64_hexdigest(repr(msgspec.json.schema(list[SavedApp])).encode()).encode()
