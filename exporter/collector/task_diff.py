"""What changed in a task: by groups of fields, in words that may be shown."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from exporter.collector.inventory import Change
from exporter.core.push_auth import DEFAULTS, NO_SIGNER, PushAuthSettings, is_time
from exporter.core.task import Audio, Configuration, Task, Video, signed_times

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
    """Return the groups of fields that differ, in the order of `FIELD_GROUPS`; `other` for the rest."""
    groups = tuple(group.name for group in _GROUPS if group.differs(before, after))
    if OUTPUTS in groups:  # another destination has another key
        groups = tuple(name for name in groups if name != PUSH_KEYS)
    return groups or (() if before.same_content(after) else (OTHER,))


def shown(task: Task, group: str, push_auth: PushAuthSettings = DEFAULTS) -> Shown:
    """Return a group's value in a few words, without push paths, user ids and payloads; None: nothing is set."""
    return _shown_push_keys(task, push_auth) if group == PUSH_KEYS else _BY_NAME[group].shown(task.configuration, task)


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
    name: str
    parts: Callable[[Configuration, Task], object]  # what is compared
    shown: Callable[[Configuration, Task], Shown]

    def differs(self, before: Task, after: Task) -> bool:
        return self.parts(before.configuration, before) != self.parts(after.configuration, after)


def _video(configuration: Configuration, _task: Task) -> Video | None:
    return None if configuration.encoding is None else configuration.encoding.video


def _audio(configuration: Configuration, _task: Task) -> tuple[bool, Audio] | None:
    encoding = configuration.encoding
    return None if encoding is None else (encoding.audio_only, encoding.audio)


def _destinations(configuration: Configuration, task: Task) -> object:
    """Return where a task pushes to, whatever its keys; losing TLS (`rtmps`) should not look like a new key."""
    return (
        sorted(task.stream_digests),
        sorted((output.scheme, output.host, str(output.is_ali_cdn)) for output in configuration.outputs),
        configuration.has_stream_url,
        configuration.has_multi_stream_url,
    )


def _words(*parts: object) -> str | None:
    return " ".join(str(part) for part in parts if part not in {None, ""}) or None


def _shown_video(configuration: Configuration, task: Task) -> Shown:
    video = _video(configuration, task)
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
    signed = (
        (push_auth.signer(output.signer, output.host), time)
        for output, time in zip(task.configuration.outputs, signed_times(task.push_times), strict=False)
        if output.signer != NO_SIGNER
    )
    keys = (
        f"{signer} {datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}" if is_time(time) else signer
        for signer, time in signed
    )
    return ", ".join(keys) or None


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


_GROUPS: Final = (
    _Group("mode", lambda c, _: c.mix_mode, lambda c, _: c.mix_mode),
    _Group("region", lambda c, _: c.region, lambda c, _: c.region),
    _Group("channel", lambda _, task: task.channel_id, lambda _, task: task.channel_id or None),
    _Group(OUTPUTS, _destinations, _shown_outputs),
    _Group(
        PUSH_KEYS,
        lambda c, task: (task.digest(PUSH_KEYS), task.push_times, c.outputs),
        lambda _, task: _shown_push_keys(task, DEFAULTS),
    ),
    _Group("idle_timeout", lambda c, _: c.idle_timeout_seconds, lambda c, _: _with_unit(c.idle_timeout_seconds, "s")),
    _Group("source", lambda c, _: c.source, _shown_source),
    _Group("video", _video, _shown_video),
    _Group("audio", _audio, _shown_audio),
    _Group("layout", lambda c, _: c.panes, lambda c, _: _counted(len(c.panes) or None, "pane")),
    _Group(
        "background",
        lambda c, task: (task.digest("background"), c.has_background, c.background_render_mode),
        lambda c, _: "an image" if c.has_background else None,
    ),
    _Group(
        "users",
        lambda c, task: (task.digest("users"), c.users, c.user_streams, c.pane_users),
        lambda c, _: _counted(c.users or None, "user"),
    ),
    _Group("sei", lambda c, task: (task.digest("sei"), c.sei), _shown_sei),
    _Group(OTHER, lambda _, task: task.digest("other"), lambda _c, _t: None),
)
_BY_NAME: Final = {group.name: group for group in _GROUPS}

FIELD_GROUPS: Final = tuple(_BY_NAME)  # the closed list behind the label `field` of changes
