"""The domain: one relay task as it is configured, which is all that the list shows, and its parts.

Immutable, with units in the names. A `Task` never holds what must not be shown: of a push URL it keeps scheme and host,
of user ids and payloads only digests that tell whether they changed.
"""

from struct import unpack
from typing import Final

from msgspec import Struct

from exporter.core.push_auth import NO_SIGNER, TIME_BYTES

SINGLE: Final = "single"
MIXED: Final = "mixed"

REGIONS: Final = ("CN-Shanghai", "AP-Singapore", "EMAA-Saudi")
"""The regions that the vendor documents, in its canonical spelling."""

MIX_MODES: Final = (SINGLE, MIXED)
VIDEO_CODECS: Final = ("H.264", "H.265")
VIDEO_PROFILES: Final = ("baseline", "main", "high")
VIDEO_PRESETS: Final = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
AUDIO_CHANNELS: Final = (1, 2)
AUDIO_SAMPLE_RATES_HERTZ: Final = (8000, 16000, 32000, 44100, 48000)
STREAM_TYPES: Final = ("original", "audio", "video")
SOURCE_TYPES: Final = ("camera", "screen")
PUSH_SCHEMES: Final = ("rtmp", "rtmps", "srt")

UNREADABLE: Final = "unreadable"
"""Stands for a name that has no readable form; a number without one is None and in `Configuration.field_errors`."""

FIELDS: Final = (
    "TaskId", "ChannelId", "MixMode", "StreamURL", "Region", "MaxIdleTime", "MultiStreamURL",
    "MultiStreamURL.URL", "MultiStreamURL.IsAliCdn", "SingleSubParams", "SingleSubParams.SourceType",
    "SingleSubParams.StreamType", "SingleSubParams.UserId", "TranscodeParams", "Background",
    "Background.RenderMode", "Background.URL", "EncodeParams", "EncodeParams.AudioOnly",
    "EncodeParams.AudioBitrate", "EncodeParams.AudioChannels", "EncodeParams.AudioSampleRate",
    "EncodeParams.VideoCodec", "EncodeParams.VideoBitrate", "EncodeParams.VideoFramerate",
    "EncodeParams.VideoGop", "EncodeParams.VideoHeight", "EncodeParams.VideoWidth",
    "EncodeParams.EnhancedParam", "EnhancedParam.profile", "EnhancedParam.preset", "Layout", "UserPanes",
    "UserPanes.UserInfo", "UserPanes.Height", "UserPanes.Width", "UserPanes.X", "UserPanes.Y",
    "UserPanes.ZOrder", "UserPanes.BackgroundImageUrl", "UserPanes.RenderMode", "UserInfo.ChannelId",
    "UserInfo.UserId", "UserInfo.SourceType", "UserInfos", "UserInfos.ChannelId", "UserInfos.UserId",
    "UserInfos.SourceType", "UserInfos.StreamType", "SeiParams", "SeiParams.PayloadType", "LayoutVolume",
    "LayoutVolume.FollowIdr", "LayoutVolume.Interval", "PassThrough", "PassThrough.FollowIdr",
    "PassThrough.Interval", "PassThrough.PayloadContent", "PassThrough.PayloadContentKey",
)  # fmt: skip
"""The closed list behind the label `field` of field errors and unknown values: the vendor's path without indices."""

DIGEST_BYTES: Final = 8
DIGEST_GROUPS: Final = ("users", "background", "sei", "other", "push_keys")
"""What of a task is kept as a digest alone: user and channel ids of UserInfos, SingleSubParams and the panes; image
addresses; the SEI payload and its key; every field that is not known here, with its value; and the whole push URLs."""

URL_PROBLEMS: Final = ("too_long", "white_space", "placeholder", "no_app", "no_stream")
"""What makes a push URL incomplete; of several the first is kept."""


class Output(Struct, frozen=True, gc=False):
    """Where a task pushes to: what of one URL may be shown."""

    scheme: str  # Lower case; what the URL says, known or not; empty where it has none
    host: str  # lower case, without user, password and port; the `vhost` parameter first; empty where there is none
    is_ali_cdn: bool | None  # `IsAliCdn` of MultiStreamURL; None where nothing says so, as for a StreamURL alone
    has_userinfo: bool  # Whether `user:password@` is in the URL
    signer: str = NO_SIGNER  # One of `push_auth.SIGNERS`
    problem: str | None = None  # One of `URL_PROBLEMS`
    is_test: bool = False  # Whether the URL asks for a test stream, which nobody sees


class Video(Struct, frozen=True, gc=False):
    """The video part of EncodeParams; None is an absent or unreadable value."""

    codec: str | None = None
    profile: str | None = None
    preset: str | None = None
    bitrate_kbps: int | None = None
    framerate: int | None = None  # Frames a second
    gop: int | None = None  # Frames in a group of pictures
    width: int | None = None
    height: int | None = None


class Audio(Struct, frozen=True, gc=False):
    """The audio part of EncodeParams; None is an absent or unreadable value."""

    bitrate_kbps: int | None = None
    channels: int | None = None
    sample_rate_hertz: int | None = None


class Encoding(Struct, frozen=True, gc=False):
    """EncodeParams: `video` always exists, though an audio-only task's says nothing that is used."""

    audio_only: bool
    video: Video
    audio: Audio


class Source(Struct, frozen=True, gc=False):
    """SingleSubParams: the stream that a single-stream task relays."""

    stream_type: str  # original (also where it is absent), audio, video, or what stood there
    source_type: str  # camera (also where it is absent), screen, or what stood there


class Pane(Struct, frozen=True, gc=False):
    """One pane of the layout: normalised co-ordinates (0..1), None where absent or unreadable."""

    x: float | None
    y: float | None
    width: float | None
    height: float | None
    z_order: int | None
    render_mode: int | None
    source_type: str | None
    has_background_image: bool


class PaneUsers(Struct, frozen=True, gc=False):
    """How many panes show a user who is not in UserInfos, whose stream is audio, or whom an earlier pane shows."""

    unlisted: int = 0  # 0 where no user is listed: then all are mixed
    audio: int = 0
    repeated: int = 0  # With the same source type


class Sei(Struct, frozen=True, gc=False):
    """SeiParams; intervals in milliseconds. The payload itself is never kept."""

    payload_type: int | None
    layout_volume_follow_idr: int | None
    layout_volume_interval_ms: int | None
    pass_through_follow_idr: int | None
    pass_through_interval_ms: int | None
    has_payload: bool


class Configuration(Struct, frozen=True, gc=False):
    """Everything that is configured, without whose it is; hashable, and equal for all tasks that are set up alike."""

    region: str | None  # Canonical spelling where the vendor documents it, else what stood there; None: absent
    mix_mode: str  # single, mixed, or what stood there; where absent: single with SingleSubParams alone, else mixed
    idle_timeout_seconds: int | None
    outputs: tuple[Output, ...]
    """The distinct URLs of StreamURL and MultiStreamURL together, sorted by what is kept of them."""
    has_stream_url: bool
    has_multi_stream_url: bool
    has_transcode_params: bool
    source: Source | None
    encoding: Encoding | None
    panes: tuple[Pane, ...]
    pane_users: PaneUsers
    background_render_mode: int | None
    has_background: bool  # Whether a background image is set
    users: int  # How many UserInfos are listed; 0: every user of the channel is mixed, which is no number of users
    user_streams: tuple[tuple[str | None, str | None], ...]  # (source type, stream type) of each of UserInfos
    sei: Sei | None
    field_errors: tuple[str, ...]  # One of `FIELDS` for each value that can't be read, sorted
    unknown_values: tuple[str, ...]  # One of `FIELDS` for each value outside its closed set, sorted


class Task(Struct, frozen=True, gc=False):
    """One task as one answer of the list showed it."""

    task_id: str
    channel_id: str
    configuration: Configuration
    row_digest: int  # A digest of the row's bytes as they came: equal bytes need no reading
    digests: bytes  # Eight bytes for each of `DIGEST_GROUPS`, then eight for each of `configuration.outputs`
    push_times: bytes = b""  # The time in the signature of each of `configuration.outputs`: see `push_auth.TIME_BYTES`

    def digest(self, group: str) -> bytes:
        """Return the digest of one of `DIGEST_GROUPS`: unequal ones mean that what is not kept has changed."""
        start = DIGEST_GROUPS.index(group) * DIGEST_BYTES
        return self.digests[start : start + DIGEST_BYTES]

    @property
    def stream_digests(self) -> tuple[bytes, ...]:
        """The digest of each output's stream: equal across tasks that push to one stream, whatever their keys."""
        first = len(DIGEST_GROUPS) * DIGEST_BYTES
        return tuple(
            self.digests[start : start + DIGEST_BYTES] for start in range(first, len(self.digests), DIGEST_BYTES)
        )

    def same_content(self, other: "Task") -> bool:
        """Whether nothing that is configured differs, however the two rows were spelled."""
        return (
            self.digests == other.digests
            and self.push_times == other.push_times
            and self.channel_id == other.channel_id
            and self.configuration == other.configuration
        )


def signed_times(push_times: bytes) -> tuple[int, ...]:
    """Return the times in `Task.push_times`: Unix seconds, or codes of `push_auth`."""
    return unpack(f">{len(push_times) // TIME_BYTES}I", push_times)


SHORT_SIDES: Final = (1080, 720, 480, 360)
OTHER_RESOLUTION: Final = "other"
RESOLUTIONS: Final = (
    *(f"{side}p" for side in SHORT_SIDES),
    *(f"portrait_{side}p" for side in SHORT_SIDES),
    OTHER_RESOLUTION,
)  # the names of resolutions


def resolution(width: int, height: int) -> str:
    """Return the resolution's name: by the short side, which must be met exactly."""
    if min(width, height) not in SHORT_SIDES:
        return OTHER_RESOLUTION
    return f"portrait_{width}p" if height > width else f"{height}p"


def pixels(width: int | None, height: int | None) -> int | None:
    """Return width x height; None unless both are numbers from 0."""
    return None if width is None or height is None or min(width, height) < 0 else width * height
