"""What changed in a task: by groups of fields, in words that may be shown."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from exporter.collector.inventory import Change
from exporter.core.push_auth import DEFAULTS, NO_SIGNER, PushAuthSettings, is_time
from exporter.core.task import Audio, Configuration, Encoding, Task, Video

Shown = str | int | None

KINDS: Final = ("added", "removed", "modified")
OTHER: Final = "other"
OUTPUTS: Final = "outputs"
PUSH_KEYS: Final = "push_keys"


def kind_of(change: Change) -> str:
    """Return one of `KINDS`."""
    if change.before is None:
        return "added"
    return "removed" if change.after is None else "modified"


def changed_fields(before: Task, after: Task) -> tuple[str, ...]:
    """Return the groups of fields in which two versions of a task differ, in the order of `FIELD_GROUPS`.

    A difference that no group accounts for, such as an unknown field, is `other`.
    """
    groups = tuple(group.name for group in _GROUPS if group.parts(before) != group.parts(after))
    if OUTPUTS in groups:  # another destination has another key
        groups = tuple(name for name in groups if name != PUSH_KEYS)
    return groups or (() if before.same_content(after) else (OTHER,))


def shown(task: Task, group: str, push_auth: PushAuthSettings = DEFAULTS) -> Shown:
    """Return a group's value in a few words, without push paths, user ids and payloads; None: nothing is set."""
    if group == PUSH_KEYS:
        return _shown_push_keys(task, push_auth)
    return _BY_NAME[group].shown(task.configuration, task)


class ChangeCounts:
    """How many changes of one app were noticed since its baseline, by kind and by group of fields."""

    def __init__(self) -> None:
        self.by_kind: Counter[str] = Counter()
        self.by_field: Counter[str] = Counter()

    def count(self, kind: str, fields: Iterable[str]) -> None:
        """Count one change."""
        self.by_kind[kind] += 1
        self.by_field.update(fields)


class _Group(NamedTuple):
    """Fields that people think of as one."""

    name: str
    parts: Callable[[Task], object]  # what is compared
    shown: Callable[[Configuration, Task], Shown]


def _video(encoding: Encoding | None) -> Video | None:
    return None if encoding is None else encoding.video


def _audio(encoding: Encoding | None) -> tuple[bool, Audio] | None:
    return None if encoding is None else (encoding.audio_only, encoding.audio)


def _destinations(task: Task) -> object:
    """Return where a task pushes to, whatever its keys, which decide the order of its outputs, too.

    The scheme counts, though `rtmp` and `rtmps` are one stream: losing TLS should not look like a new key.
    """
    configuration = task.configuration
    return (
        sorted(task.stream_digests),
        sorted((output.scheme, output.host, str(output.is_ali_cdn)) for output in configuration.outputs),
        configuration.has_stream_url,
        configuration.has_multi_stream_url,
    )


def _push_keys(task: Task) -> object:
    """Return what is known of the keys of a task's push URLs."""
    return task.digest(PUSH_KEYS), task.push_times, task.configuration.outputs


def _words(*parts: object) -> str | None:
    """Join what is set."""
    return " ".join(str(part) for part in parts if part not in {None, ""}) or None


def _shown_video(configuration: Configuration, _task: Task) -> Shown:
    video = _video(configuration.encoding)
    if video is None:
        return None
    size = None if video.width is None and video.height is None else f"{video.width}x{video.height}"
    return _words(
        video.codec,
        video.profile,
        video.preset,
        size,
        _with_unit(video.bitrate_kbps, "kbit/s"),
        _with_unit(video.framerate, "fps"),
        None if video.gop is None else f"gop {video.gop}",
    )


def _shown_audio(configuration: Configuration, _task: Task) -> Shown:
    encoding = configuration.encoding
    if encoding is None:
        return None
    audio = encoding.audio
    return _words(
        "audio only" if encoding.audio_only else None,
        _with_unit(audio.bitrate_kbps, "kbit/s"),
        _counted(audio.channels, "channel"),
        _with_unit(audio.sample_rate_hertz, "Hz"),
    )


def _shown_outputs(configuration: Configuration, _task: Task) -> Shown:
    return ", ".join(f"{output.scheme}://{output.host}" for output in configuration.outputs) or None


def _shown_push_keys(task: Task, push_auth: PushAuthSettings) -> Shown:
    """Name each signer, with the time in the URL."""
    signed = (
        (push_auth.signer(output.signer, output.host), time)
        for output, time in zip(task.configuration.outputs, task.signed_times, strict=False)
        if output.signer != NO_SIGNER
    )
    return (
        ", ".join(
            f"{signer} {datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}" if is_time(time) else signer
            for signer, time in signed
        )
        or None
    )


def _shown_source(configuration: Configuration, _task: Task) -> Shown:
    source = configuration.source
    return None if source is None else _words(source.stream_type, source.source_type)


def _shown_sei(configuration: Configuration, _task: Task) -> Shown:
    sei = configuration.sei
    if sei is None:
        return None
    return _words(
        None if sei.payload_type is None else f"type {sei.payload_type}",
        _with_unit(sei.layout_volume_interval_ms, "ms layout"),
        _with_unit(sei.pass_through_interval_ms, "ms payload"),
    )


def _with_unit(value: int | None, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"


def _counted(number: int | None, noun: str) -> str | None:
    return _with_unit(number, noun if number == 1 else f"{noun}s")


def _groups() -> Iterator[_Group]:
    yield _Group("mode", lambda task: task.configuration.mix_mode, lambda c, _: c.mix_mode)
    yield _Group("region", lambda task: task.configuration.region, lambda c, _: c.region)
    yield _Group("channel", lambda task: task.channel_id, lambda _, task: task.channel_id or None)
    yield _Group(OUTPUTS, _destinations, _shown_outputs)
    yield _Group(PUSH_KEYS, _push_keys, lambda _, task: _shown_push_keys(task, DEFAULTS))
    yield _Group(
        "idle_timeout",
        lambda task: task.configuration.idle_timeout_seconds,
        lambda c, _: _with_unit(c.idle_timeout_seconds, "s"),
    )
    yield _Group("source", lambda task: task.configuration.source, _shown_source)
    yield _Group("video", lambda task: _video(task.configuration.encoding), _shown_video)
    yield _Group("audio", lambda task: _audio(task.configuration.encoding), _shown_audio)
    yield _Group("layout", lambda task: task.configuration.panes, lambda c, _: _counted(len(c.panes) or None, "pane"))
    yield _Group(
        "background",
        lambda task: (
            task.digest("background"),
            task.configuration.has_background,
            task.configuration.background_render_mode,
        ),
        lambda c, _: "an image" if c.has_background else None,
    )
    yield _Group(
        "users",
        lambda task: (
            task.digest("users"),
            task.configuration.users,
            task.configuration.user_streams,
            task.configuration.pane_users,
        ),
        lambda c, _: _counted(c.users or None, "user"),
    )
    yield _Group("sei", lambda task: (task.digest("sei"), task.configuration.sei), _shown_sei)
    yield _Group(OTHER, lambda task: task.digest("other"), lambda _c, _t: None)


_GROUPS: Final = tuple(_groups())
_BY_NAME: Final = {group.name: group for group in _GROUPS}

FIELD_GROUPS: Final = tuple(_BY_NAME)  # the closed list behind the label `field` of changes
