"""The families about single tasks, which have a path of their own, and which tasks have series where not all can."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, takewhile
from typing import Final, TypeAlias

import xxhash
from msgspec import Struct

from exporter.collector.inventory import Entry
from exporter.core.task import Configuration
from exporter.metrics import labels
from exporter.metrics.aggregates import MEASURES, of_encoding
from exporter.metrics.family import Family, Label, Sample

BITS: Final = "Multiply by 8 for bits per second."
CHANNEL_ID: Final = Label("channel_id", meaning="The task's ChannelId.")
_NAMING: Final = (labels.ACCOUNT, labels.APP_ID, labels.TASK_ID)


class ListedTask(Struct, frozen=True, gc=False):
    """One accepted task and whose it is."""

    account: str
    app_id: str
    entry: Entry

    @property
    def task_id(self) -> str:
        """The TaskId."""
        return self.entry.task_id


TaskFamily: TypeAlias = Family[Sequence[ListedTask]]


def per_task_families() -> tuple[TaskFamily, ...]:
    """Return the families in the order of the exposition."""
    info: TaskFamily = Family(
        name="rtcmpu_task_info",
        kind="info",
        help="A listed task with its non-numeric configuration; always 1.",
        labels=(*_NAMING, CHANNEL_ID, labels.TASK_REGION, labels.MIX_MODE, labels.CODEC, labels.RESOLUTION),
        samples=lambda tasks: ((_key(task) + _names(task), 1) for task in tasks),
    )
    return (info, *_VALUES)


def series_of(task: ListedTask) -> int:
    """Return how many series a task has: the info, and what it has a readable number for."""
    return 1 + sum(value.read(task) is not None for value in _VALUES)


class _Number(Family[Sequence[ListedTask]], frozen=True, kw_only=True):
    read: Callable[[ListedTask], float | None]  # none where the task has no such readable number


def _number(name: str, help_text: str, read: Callable[[ListedTask], float | None], note: str = "") -> _Number:
    def samples(tasks: Sequence[ListedTask]) -> Iterator[Sample]:
        for task in tasks:
            if (number := read(task)) is not None:
                yield _key(task), number

    return _Number(name=name, kind="gauge", help=help_text, labels=_NAMING, note=note, samples=samples, read=read)


def _key(task: ListedTask) -> tuple[str, str, str]:
    return task.account, task.app_id, task.task_id


def _names(task: ListedTask) -> tuple[str, ...]:
    configuration = task.entry.configuration
    codec, _, _, resolution = labels.video(configuration) or (labels.NONE,) * 4
    region, mode = labels.task_region(configuration), labels.mix_mode(configuration)
    return task.entry.channel_id, region, mode, codec, resolution


def _configured(
    name: str, help_text: str, read: Callable[[Configuration], float | None] | None = None, *, note: str = ""
) -> _Number:
    """Return a number that is configured, or the one of `MEASURES` that has the name; one below 0 is none."""
    measure = _MEASURES.get(name)
    number_of, unit = (read, 1) if measure is None else (measure.read, measure.amounts_per_unit)
    assert number_of is not None  # noqa: S101 - one of the two is there

    def readable(task: ListedTask) -> float | None:
        number = number_of(task.entry.configuration)
        return None if number is None or number < 0 else number / unit

    return _number(f"rtcmpu_task_config_{name}", help_text, readable, note)


_MEASURES: Final = {measure.name: measure for measure in MEASURES}
_VALUES: Final = (
    _configured("video_bitrate_bytes_per_second", f"The task's VideoBitrate. {BITS}"),
    _configured("video_framerate_hertz", "The task's VideoFramerate, in frames per second."),
    _configured(
        "gop_duration_seconds",
        "Length of the task's group of pictures, in seconds: VideoGop / VideoFramerate.",
    ),
    _configured("frame_width_pixels", "The task's VideoWidth.", of_encoding(lambda encoding: encoding.video.width)),
    _configured("frame_height_pixels", "The task's VideoHeight.", of_encoding(lambda encoding: encoding.video.height)),
    _configured("frame_pixels", "The task's VideoWidth x VideoHeight."),
    _configured("audio_bitrate_bytes_per_second", f"The task's AudioBitrate. {BITS}"),
    _configured("audio_channels", "The task's AudioChannels.", of_encoding(lambda encoding: encoding.audio.channels)),
    _configured(
        "audio_sample_rate_hertz",
        "The task's AudioSampleRate.",
        of_encoding(lambda encoding: encoding.audio.sample_rate_hertz),
    ),
    _configured("idle_timeout_seconds", "The task's MaxIdleTime, in seconds; absent if unset."),
    _configured("outputs", "Number of distinct push URLs of the task.", lambda task: len(task.outputs)),
    _configured("panes", "Number of panes of a task with EncodeParams that is not audio-only."),
    _configured("users", "Number of users in the task's UserInfos.", note="Absent for an empty list (all users)."),
    _number(
        "rtcmpu_task_first_seen_timestamp_seconds",
        "Unix time at which this exporter first saw the task.",
        lambda task: task.entry.first_seen,
        note="Not the time of creation.",
    ),
    _number(
        "rtcmpu_task_last_changed_timestamp_seconds",
        "Unix time at which this exporter last saw the task's configuration change, or first saw the task.",
        lambda task: task.entry.last_changed,
        note="Not the time of the change.",
    ),
)


SHARDS: Final = 1024
_HASH_BITS: Final = 64

_Key: TypeAlias = tuple[str, str, str]  # Account, AppId, TaskId


class StableSubset:
    """Keeps tasks by the hash of their TaskId, in shards, and tells which have room: those with the lowest hashes.

    Another `max_series` counts from the next `take_changes` on.
    """

    def __init__(self, max_series: int) -> None:
        self.max_series = max_series
        self._shards: tuple[dict[_Key, ListedTask], ...] = tuple({} for _ in range(SHARDS))
        self._series = [0] * SHARDS
        self._changed: set[int] = set()
        self._border = 0  # the shard in which the room ended when it was last looked
        self.omitted_series = 0  # of the tasks that were left out when it was last looked

    def put(self, task: ListedTask) -> None:
        """Add a task, or replace it by another version."""
        key = (task.account, task.app_id, task.task_id)
        self.remove(*key)
        shard = _shard(_hash(task.task_id))
        self._shards[shard][key] = task
        self._series[shard] += series_of(task)
        self._changed.add(shard)

    def remove(self, account: str, app_id: str, task_id: str) -> None:
        """Take a task out, if it is there."""
        shard = _shard(_hash(task_id))
        task = self._shards[shard].pop((account, app_id, task_id), None)
        if task is not None:
            self._series[shard] -= series_of(task)
            self._changed.add(shard)

    def remove_app(self, account: str, app_id: str) -> None:
        """Take out all tasks of an app."""
        of_app = [key for tasks in self._shards for key in tasks if key[:2] == (account, app_id)]
        for key in of_app:
            self.remove(*key)

    def take_changes(self) -> Iterator[tuple[int, Sequence[ListedTask]]]:
        """Yield the chosen tasks of each shard that may have changed since the last call; to be read to the end."""
        before, border = self._border, sum(1 for _ in takewhile(self._has_room, accumulate(self._series)))
        passed = range(min(before, border), max(before, border) + 1)
        within_reach = (shard for shard in self._changed if shard < passed.stop)
        self._border = border
        self._changed = set()
        omitted = sum(self._series[border:])
        for shard in sorted({*passed, *within_reach} - {SHARDS}):
            chosen: Sequence[ListedTask] = ()
            if shard < border:
                chosen = self._sorted(shard)
            elif shard == border:
                chosen = self._with_room(shard)
                omitted -= sum(map(series_of, chosen))
            yield shard, chosen
        self.omitted_series = omitted

    def _has_room(self, series: int) -> bool:
        return series <= self.max_series

    def _with_room(self, shard: int) -> Sequence[ListedTask]:
        """Return the first tasks of the shard at the border, as many as fit behind the shards before it."""
        tasks = self._sorted(shard)
        series = accumulate((series_of(task) for task in tasks), initial=sum(self._series[:shard]))
        fit = sum(1 for _ in takewhile(self._has_room, series)) - 1
        return tasks[:fit]

    def _sorted(self, shard: int) -> Sequence[ListedTask]:
        tasks = self._shards[shard]
        return [tasks[key] for key in sorted(tasks, key=lambda key: (_hash(key[2]), key))]


def _hash(task_id: str) -> int:
    return xxhash.xxh3_64_intdigest(task_id.encode("utf-8", "replace"))


def _shard(task_hash: int) -> int:
    return task_hash * SHARDS >> _HASH_BITS
