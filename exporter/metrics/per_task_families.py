"""The families about single tasks, which have a path of their own: their number grows with the number of tasks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from exporter.collector.entry import Entry
from exporter.core.task import Configuration
from exporter.metrics import labels
from exporter.metrics.aggregates import MEASURES, of_encoding
from exporter.metrics.family import Family, Kind, Label, Sample

BITS: Final = "Multiply by 8 for bits per second."
TASK_ID: Final = Label("task_id", meaning="The TaskId.")
CHANNEL_ID: Final = Label("channel_id", meaning="The task's ChannelId.")
_NAMING: Final = (labels.ACCOUNT, labels.APP_ID, TASK_ID)


class ListedTask(Struct, frozen=True, gc=False):
    """One accepted task and whose it is."""

    account: str
    app_id: str
    entry: Entry

    @property
    def task_id(self) -> str:
        """The TaskId."""
        return self.entry.task_id

    @property
    def configuration(self) -> Configuration:
        """What is configured."""
        return self.entry.configuration


TaskFamily: TypeAlias = Family[Sequence[ListedTask]]


def per_task_families() -> tuple[TaskFamily, ...]:
    """Return the families in the order of the exposition."""
    return (
        _family(
            "rtcmpu_task_info",
            "A listed task with its non-numeric configuration; always 1.",
            lambda tasks: ((_key(task) + _names(task), 1) for task in tasks),
            kind="info",
            labels=(CHANNEL_ID, labels.TASK_REGION, labels.MIX_MODE, labels.CODEC, labels.RESOLUTION),
            note="A listed task is configured; the list does not say whether it runs.",
        ),
        *(_family(value.name, value.help, _samples_of(value), note=value.note) for value in _VALUES),
    )


def series_of(task: ListedTask) -> int:
    """Return how many series a task has: the info, and what it has a readable number for."""
    return 1 + sum(value.read(task) is not None for value in _VALUES)


class _Number(Struct, frozen=True):
    """A number that a task may have."""

    name: str
    help: str
    read: Callable[[ListedTask], float | None]  # none where the task has no such readable number
    note: str = ""


def _family(
    name: str,
    help_text: str,
    samples: Callable[[Sequence[ListedTask]], Iterable[Sample]],
    *,
    kind: Kind = "gauge",
    labels: tuple[Label, ...] = (),
    note: str = "",
) -> TaskFamily:
    """Return a family whose labels follow those that name the task."""
    return Family(name=name, kind=kind, help=help_text, labels=(*_NAMING, *labels), note=note, samples=samples)


def _samples_of(value: _Number) -> Callable[[Sequence[ListedTask]], Iterator[Sample]]:
    """Return what finds a value's samples."""

    def samples(tasks: Sequence[ListedTask]) -> Iterator[Sample]:
        for task in tasks:
            if (number := value.read(task)) is not None:
                yield _key(task), number

    return samples


def _key(task: ListedTask) -> tuple[str, str, str]:
    """Return the values of the labels that name a task."""
    return task.account, task.app_id, task.task_id


def _names(task: ListedTask) -> tuple[str, ...]:
    """Return the values of the info's own labels."""
    configuration = task.configuration
    codec, _, _, resolution = labels.video(configuration) or (labels.NONE,) * 4
    region, mode = labels.task_region(configuration), labels.mix_mode(configuration)
    return task.entry.channel_id, region, mode, codec, resolution


def _configured(name: str, help_text: str, read: Callable[[Configuration], float | None], *, note: str = "") -> _Number:
    """Return a number that is configured; one below 0 is none, as in the distributions."""

    def readable(task: ListedTask) -> float | None:
        number = read(task.configuration)
        return None if number is None or number < 0 else number

    return _Number(f"rtcmpu_task_config_{name}", help_text, readable, note)


def _measured(measure_name: str) -> Callable[[Configuration], float | None]:
    """Return how a number that has a distribution too is read."""
    measure = next(measure for measure in MEASURES if measure.name == measure_name)

    def read(configuration: Configuration) -> float | None:
        amount = measure.read(configuration)
        return None if amount is None else amount / measure.amounts_per_unit

    return read


def _noticed(name: str, help_text: str, read: Callable[[Entry], float], *, note: str) -> _Number:
    """Return a moment."""
    return _Number(f"rtcmpu_task_{name}_timestamp_seconds", help_text, lambda task: read(task.entry), note)


_VALUES: Final = (
    _configured("video_bitrate_bytes_per_second", f"The task's VideoBitrate. {BITS}", _measured("video_bitrate")),
    _configured(
        "video_framerate_hertz", "The task's VideoFramerate, in frames per second.", _measured("video_framerate")
    ),
    _configured(
        "gop_duration_seconds",
        "Length of the task's group of pictures, in seconds: VideoGop / VideoFramerate.",
        _measured("gop_duration"),
    ),
    _configured("frame_width_pixels", "The task's VideoWidth.", of_encoding(lambda encoding: encoding.video.width)),
    _configured("frame_height_pixels", "The task's VideoHeight.", of_encoding(lambda encoding: encoding.video.height)),
    _configured("frame_pixels", "The task's VideoWidth x VideoHeight.", _measured("frame_pixels")),
    _configured("audio_bitrate_bytes_per_second", f"The task's AudioBitrate. {BITS}", _measured("audio_bitrate")),
    _configured("audio_channels", "The task's AudioChannels.", of_encoding(lambda encoding: encoding.audio.channels)),
    _configured(
        "audio_sample_rate_hertz",
        "The task's AudioSampleRate.",
        of_encoding(lambda encoding: encoding.audio.sample_rate_hertz),
    ),
    _configured(
        "idle_timeout_seconds", "The task's MaxIdleTime, in seconds; absent if unset.", _measured("idle_timeout")
    ),
    _configured(
        "outputs", "Number of distinct push URLs of the task.", lambda configuration: len(configuration.outputs)
    ),
    _configured("panes", "Number of panes of a task with EncodeParams that is not audio-only.", _measured("panes")),
    _configured(
        "users",
        "Number of users in the task's UserInfos.",
        _measured("users"),
        note="Absent for an empty list, which means all users of the channel.",
    ),
    _noticed(
        "first_seen",
        "Unix time at which this exporter first saw the task.",
        lambda entry: entry.first_seen,
        note="Not the time of creation, which the service does not report.",
    ),
    _noticed(
        "last_changed",
        "Unix time at which this exporter last saw the task's configuration change, or first saw the task.",
        lambda entry: entry.last_changed,
        note="Not the time of the change, which the service does not report.",
    ),
)
