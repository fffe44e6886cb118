"""`/apps/…/tasks/…`: one task's configuration, its panes as a drawing, and what rules found about it."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, zip_longest
from math import isfinite
from typing import Any, Final

from msgspec import Struct

from exporter.collector.past import HistoryError
from exporter.core.task import UNREADABLE, Configuration, Encoding, Pane, Task
from exporter.metrics import labels
from exporter.rules.rule import Outcome
from exporter.web.pages.changes_page import timeline
from exporter.web.pages.rendering import PageError, app_path
from exporter.web.query import Query
from exporter.web.view import TaskFinding, View

LONG_SIDE: Final = 960.0  # in units of the drawing
MOST_PANES: Final = 40  # drawn at most
LEAST_OVERLAP: Final = 1e-6  # share of the frame's area; less is rounding
_DEFAULT_SIZE: Final = (16, 9)
_LARGEST_ASPECT: Final = 4.0


class Rectangle(Struct, frozen=True):
    """In units of the drawing."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Its area."""
        return self.width * self.height


class DrawnPane(Struct, frozen=True):
    """A pane in the drawing."""

    number: int  # position in the task's list, from 1
    rectangle: Rectangle
    layer: int  # ZOrder, else 0
    leaves_frame: bool  # whether a part is outside of the frame and not drawn


class PaneLayout(Struct, frozen=True):
    """A drawing of a task's panes."""

    width: float
    height: float
    panes: Sequence[DrawnPane]  # lowest first
    labels: Sequence[tuple[float, float, str]]  # positions of pane numbers; panes that begin at one point share a label
    overlaps: Sequence[Rectangle]  # areas shared by panes of one layer
    overlapping: frozenset[int]  # numbers of panes that overlap another one of their layer
    not_drawn: int  # panes without a readable position in the frame, and those beyond `MOST_PANES`


def pane_layout(panes: Sequence[Pane], encoding: Encoding | None) -> PaneLayout | None:
    """Return the drawing; None without panes."""
    if not panes:
        return None
    width, height = _frame(encoding)
    placed = (_placed(number, pane, width, height) for number, pane in enumerate(panes[:MOST_PANES], start=1))
    drawn = sorted((pane for pane in placed if pane is not None), key=lambda pane: (pane.layer, pane.number))
    overlaps: dict[Rectangle, None] = {}
    overlapping = set[int]()
    for one, other in combinations(drawn, 2):
        shared = _shared(one.rectangle, other.rectangle) if one.layer == other.layer else None
        if shared is not None and shared.area > LEAST_OVERLAP * width * height:
            overlaps[shared] = None
            overlapping |= {one.number, other.number}
    return PaneLayout(
        width=width,
        height=height,
        panes=drawn,
        labels=_labels(drawn),
        overlaps=tuple(overlaps),
        overlapping=frozenset(overlapping),
        not_drawn=len(panes) - len(drawn),
    )


def _labels(drawn: Sequence[DrawnPane]) -> Sequence[tuple[float, float, str]]:
    numbers: dict[tuple[float, float], list[int]] = {}
    for pane in drawn:
        numbers.setdefault((pane.rectangle.x, pane.rectangle.y), []).append(pane.number)
    return [(x, y, ", ".join(map(str, sorted(several)))) for (x, y), several in numbers.items()]


def _frame(encoding: Encoding | None) -> tuple[float, float]:
    """Return the size of the drawing in the video's aspect ratio; 16:9 if that is unknown or extreme."""
    width, height = _DEFAULT_SIZE
    if encoding is not None:
        video = encoding.video
        if video.width and video.height and video.width > 0 and video.height > 0:
            aspect = video.width / video.height
            if 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT:
                width, height = video.width, video.height
    scale = LONG_SIDE / max(width, height)
    return round(width * scale, 1), round(height * scale, 1)


def _placed(number: int, pane: Pane, width: float, height: float) -> DrawnPane | None:
    """Return the part of a pane inside of the frame, if any."""
    if pane.x is None or pane.y is None or pane.width is None or pane.height is None:
        return None
    if not all(map(isfinite, (pane.x, pane.y, pane.width, pane.height))):
        return None
    left, top = max(0.0, pane.x), max(0.0, pane.y)
    right, bottom = min(1.0, pane.x + pane.width), min(1.0, pane.y + pane.height)
    if right <= left or bottom <= top:
        return None
    leaves_frame = pane.x < 0 or pane.y < 0 or pane.x + pane.width > 1 + 1e-9 or pane.y + pane.height > 1 + 1e-9
    rectangle = Rectangle(
        x=round(left * width, 1),
        y=round(top * height, 1),
        width=round((right - left) * width, 1),
        height=round((bottom - top) * height, 1),
    )
    return DrawnPane(number, rectangle, layer=pane.z_order or 0, leaves_frame=leaves_frame)


def _shared(one: Rectangle, other: Rectangle) -> Rectangle | None:
    left, top = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.width, other.x + other.width)
    bottom = min(one.y + one.height, other.y + other.height)
    if right <= left or bottom <= top:
        return None
    return Rectangle(round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1))


_CDNS: Final = {True: "Alibaba Cloud CDN", False: "another CDN", None: "not said"}
_WORST_FIRST: Final = (Outcome.VIOLATION, Outcome.ERROR, Outcome.EXEMPT)

Setting = tuple[str, str | None, str]  # name, value (None: not set), and the vendor's field


async def shown_task(view: View, query: Query, _now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values; raises PageError if there is and was no such task."""
    account, app_id, task_id = query.account, query.app_id, query.task_id
    task = view.task(account, app_id, task_id)
    try:
        rows = await timeline(view, account, app_id, task_id)
    except HistoryError:
        rows = ()
    if task is None and rows:
        return "gone", {"account": account, "app_id": app_id, "task_id": task_id, "timeline": rows}
    if task is None:
        message = f"The app {app_id} of the account {account} has no task {task_id}, or has it no more."
        raise PageError(404, "No such task", message, app_path("", account, app_id), "To the app")
    configuration = task.entry.configuration
    shown = [finding for finding in task.findings if finding.outcome in _WORST_FIRST]
    return "task", {
        "collected": task.status,
        "entry": task.entry,
        "configuration": configuration,
        "sections": sections(task.entry.task),
        "outputs": [
            (output, _CDNS[output.is_ali_cdn], key)
            for output, key in zip_longest(configuration.outputs, task.push_keys)
        ],
        "panes": tuple(enumerate(configuration.panes, start=1)),
        "layout": pane_layout(configuration.panes, configuration.encoding),
        "findings": sorted(shown, key=_urgency),
        "passed": _rule_names(task.findings, Outcome.PASS),
        "not_applicable": _rule_names(task.findings, Outcome.NOT_APPLICABLE),
        "timeline": rows,
    }


def sections(task: Task) -> Sequence[tuple[str, Sequence[Setting]]]:
    """Return the settings of a task under headings; absent parts are left out."""
    shown = task.configuration

    def number(name: str, value: int | None, unit: str, field: str) -> Setting:
        """Return a setting with its unit; an unreadable one differs from an absent one."""
        is_unreadable = value is None and field in shown.field_errors
        return name, UNREADABLE if is_unreadable else _text(value, unit), field

    parts: dict[str, Sequence[Setting]] = {
        "General": [
            ("Channel", task.channel_id or None, "ChannelId"),
            ("Region", shown.region, "Region"),
            ("Mode", shown.mix_mode, "MixMode"),
            number("Idle timeout", shown.idle_timeout_seconds, "s", "MaxIdleTime"),
            ("Billing tier (estimate)", labels.billing_tier(shown).replace("_", " "), ""),
        ]
    }
    if (source := shown.source) is not None:
        parts["Source"] = [
            ("Stream", source.stream_type, "SingleSubParams.StreamType"),
            ("Source", source.source_type, "SingleSubParams.SourceType"),
        ]
    if (encoding := shown.encoding) is not None:
        video, audio = encoding.video, encoding.audio
        frames = "frame" if video.gop == 1 else "frames"
        if video.gop is not None and video.framerate:
            frames += f" ({video.gop / video.framerate:.3g} s)"
        parts["Video"] = [
            ("Codec", video.codec, "EncodeParams.VideoCodec"),
            ("Profile", video.profile, "EnhancedParam.profile"),
            ("Preset", video.preset, "EnhancedParam.preset"),
            number("Width", video.width, "px", "EncodeParams.VideoWidth"),
            number("Height", video.height, "px", "EncodeParams.VideoHeight"),
            number("Bitrate", video.bitrate_kbps, "kbit/s", "EncodeParams.VideoBitrate"),
            number("Frame rate", video.framerate, "fps", "EncodeParams.VideoFramerate"),
            number("Group of pictures", video.gop, frames, "EncodeParams.VideoGop"),
        ]
        if encoding.audio_only:
            parts["Video"] = [("Video", "none: audio only", "EncodeParams.AudioOnly")]
        parts["Audio"] = [
            number("Bitrate", audio.bitrate_kbps, "kbit/s", "EncodeParams.AudioBitrate"),
            number("Channels", audio.channels, "", "EncodeParams.AudioChannels"),
            number("Sample rate", audio.sample_rate_hertz, "Hz", "EncodeParams.AudioSampleRate"),
        ]
    parts["Users and background"] = _scene(shown)
    if (sei := shown.sei) is not None:
        parts["SEI"] = [
            ("Payload type", None if sei.payload_type is None else str(sei.payload_type), "SeiParams.PayloadType"),
            ("Volumes, follow IDR", _text(sei.layout_volume_follow_idr), "LayoutVolume.FollowIdr"),
            ("Volumes, interval", _text(sei.layout_volume_interval_ms, "ms"), "LayoutVolume.Interval"),
            ("Payload, follow IDR", _text(sei.pass_through_follow_idr), "PassThrough.FollowIdr"),
            ("Payload, interval", _text(sei.pass_through_interval_ms, "ms"), "PassThrough.Interval"),
            ("Payload", "set, not shown" if sei.has_payload else None, "PassThrough.PayloadContent"),
        ]
    return [(heading, settings) for heading, settings in parts.items() if settings]


def _scene(configuration: Configuration) -> Sequence[Setting]:
    settings: list[Setting] = []
    if configuration.users:
        settings.append(("Users who are mixed", f"{configuration.users:,}", "UserInfos"))
        streams = [" ".join(filter(None, stream)) for stream in configuration.user_streams]
        kinds = {stream: streams.count(stream) for stream in streams if stream}
        words = ", ".join(f"{count} x {stream}" for stream, count in kinds.items())
        settings.append(("Their streams", words or None, "UserInfos.StreamType"))
    elif configuration.encoding is not None:
        settings.append(("Users who are mixed", "all of the channel", "UserInfos"))
    if configuration.has_background or configuration.background_render_mode is not None:
        settings.append(("Background image", "set" if configuration.has_background else None, "Background.URL"))
        mode = configuration.background_render_mode
        settings.append(("Background mode", None if mode is None else str(mode), "Background.RenderMode"))
    return settings


def _text(value: int | None, unit: str = "") -> str | None:
    return None if value is None else f"{value:,} {unit}".strip()


def _urgency(finding: TaskFinding) -> tuple[int, int, str]:
    return _WORST_FIRST.index(finding.outcome), -finding.rule.severity.rank, finding.rule.name


def _rule_names(findings: Iterable[TaskFinding], outcome: Outcome) -> Sequence[str]:
    return sorted(finding.rule.name for finding in findings if finding.outcome is outcome)
