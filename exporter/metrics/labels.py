"""What a configuration says as label values of closed sets: `other` outside of them or unreadable, `none` if absent."""

from typing import Final

from exporter.core import task
from exporter.core.collection_state import Component, State
from exporter.core.push_auth import SIGNERS
from exporter.core.push_auth import STATES as PUSH_AUTH_STATES
from exporter.core.task import Configuration, Output, Source, Video
from exporter.metrics.family import Label
from exporter.rules.rule import SEVERITIES

OTHER: Final = "other"
NONE: Final = "none"
UNKNOWN: Final = "unknown"

AREA_480P: Final = 640 * 480
AREA_720P: Final = 1280 * 720
ENHANCED_PARAM: Final = "EncodeParams.EnhancedParam"

TASK_REGION: Final = Label("task_region", (*task.REGIONS, OTHER), "The task's Region; `other` also when absent.")
MIX_MODE: Final = Label(
    "mix_mode",
    (*task.MIX_MODES, OTHER),
    "The task's MixMode; when absent, `single` with SingleSubParams alone and `mixed` otherwise.",
)
QUOTA_MODE: Final = Label("mix_mode", task.MIX_MODES, "The mode that the quota is for.")
CDN: Final = Label("cdn", ("alibaba", OTHER, UNKNOWN), "IsAliCdn; `unknown` if not stated.")
SCHEME: Final = Label("scheme", (*task.PUSH_SCHEMES, OTHER), "The push URL's scheme.")
SIGNER: Final = Label(
    "signer", SIGNERS, "Who signed the push URL; `policy.push_auth` decides where vendors share a form."
)
PUSH_AUTH_STATE: Final = Label(
    "state",
    PUSH_AUTH_STATES,
    "Whether a push may still start; `unreadable`: signed, but no expiry is known; `expiring`: within"
    " `policy.push_expiry_warning`.",
)
HOST: Final = Label("host", meaning="The push host; `other` for all but the 20 largest and for URLs without one.")
CODEC: Final = Label("codec", (*task.VIDEO_CODECS, OTHER, NONE), "VideoCodec.")
PROFILE: Final = Label("profile", (*task.VIDEO_PROFILES, OTHER, NONE), "The profile of EnhancedParam.")
PRESET: Final = Label("preset", (*task.VIDEO_PRESETS, OTHER, NONE), "The preset of EnhancedParam.")
RESOLUTION: Final = Label(
    "resolution", (*task.RESOLUTIONS, NONE), "By the exact length of the short side; `portrait_` if height > width."
)
CHANNELS: Final = Label("channels", (*map(str, task.AUDIO_CHANNELS), OTHER, NONE), "AudioChannels.")
SAMPLE_RATE: Final = Label(
    "sample_rate_hertz", (*map(str, task.AUDIO_SAMPLE_RATES_HERTZ), OTHER, NONE), "AudioSampleRate."
)
AUDIO_ONLY: Final = Label("audio_only", ("true", "false"), "AudioOnly.")
STREAM_TYPE: Final = Label("stream_type", (*task.STREAM_TYPES, OTHER), "StreamType; `original` also when absent.")
SOURCE_TYPE: Final = Label("source_type", (*task.SOURCE_TYPES, OTHER), "SourceType; `camera` also when absent.")
TIER: Final = Label(
    "tier",
    ("single_audio", "single_video", "audio", "480p", "720p", "above_720p", UNKNOWN),
    "Mode and, of mixed tasks with video, the area; `480p` is up to 640 x 480, `720p` up to 1280 x 720.",
)

ACCOUNT: Final = Label("account", meaning="The account's name.")
APP_ID: Final = Label("app_id", meaning="The AppId.")
TASK_ID: Final = Label("task_id", meaning="The TaskId.")
STATE: Final = Label("state", tuple(State), "The state, least serious first.")
OUTCOMES: Final = tuple(state for state in State if state is not State.PENDING)
OUTCOME: Final = Label("outcome", OUTCOMES, "How the attempt ended.")
FAILURES: Final = tuple(outcome for outcome in OUTCOMES if outcome is not State.OK)
RETRY_REASON: Final = Label("reason", FAILURES, "Outcome of the previous attempt.")
SKIP_REASON: Final = Label("reason", ("still_running", "budget", "backoff"), "Why the sweep did not start.")
PRIORITY: Final = Label("priority", ("update", "lookup", "sweep"), "Purpose of the request.")
LEVEL: Final = Label("level", ("debug", "info", "warning", "error", "critical"), "The message's level.")
PART: Final = Label("part", tuple(Component), "The part of the exporter that failed.")
CREDENTIALS_SOURCE: Final = Label(
    "source",
    (
        "access_key",
        "environment",
        "ecs_ram_role",
        "ram_role_arn",
        "oidc_role_arn",
        "profile",
        "credentials_file",
        "credentials_uri",
    ),
    "The configured `type`; `environment` and `credentials_file` are sources of the default chain.",
)
PATH: Final = Label("path", meaning="The route's template, such as `/metrics`.")
KIND: Final = Label("kind", ("update", "sweep"), "Kind of the attempt.")
RULE: Final = Label("rule", meaning="The rule's name.")
SEVERITY: Final = Label("severity", SEVERITIES, "Severity of a violation; `info` never alerts.")


def task_region(configuration: Configuration) -> str:
    """Return the value of `task_region`."""
    return configuration.region if configuration.region in task.REGIONS else OTHER


def mix_mode(configuration: Configuration) -> str:
    """Return the value of `mix_mode`."""
    return _within(task.MIX_MODES, configuration.mix_mode)


def cdn(output: Output) -> str:
    """Return the value of `cdn` for one output."""
    if output.is_ali_cdn is None:
        return UNKNOWN
    return "alibaba" if output.is_ali_cdn else OTHER


def scheme(output: Output) -> str:
    """Return the value of `scheme` for one output."""
    return _within(task.PUSH_SCHEMES, output.scheme)


def video(configuration: Configuration) -> tuple[str, str, str, str] | None:
    """Return codec, profile, preset and resolution; None for a task without video to speak of."""
    encoding = configuration.encoding
    if encoding is None or encoding.audio_only:
        return None
    errors, video = configuration.field_errors, encoding.video
    return (
        _value(video.codec, task.VIDEO_CODECS, errors, "EncodeParams.VideoCodec"),
        _value(video.profile, task.VIDEO_PROFILES, errors, "EnhancedParam.profile", ENHANCED_PARAM),
        _value(video.preset, task.VIDEO_PRESETS, errors, "EnhancedParam.preset", ENHANCED_PARAM),
        resolution(video, errors),
    )


def resolution(video: Video, field_errors: tuple[str, ...] = ()) -> str:
    """Return the value of `resolution`."""
    width, height = video.width, video.height
    if width is None or height is None:
        unreadable = "EncodeParams.VideoWidth" in field_errors or "EncodeParams.VideoHeight" in field_errors
        return NONE if width is height and not unreadable else OTHER
    return task.resolution(width, height)


def audio(configuration: Configuration) -> tuple[str, str, str] | None:
    """Return channels, sample_rate_hertz and audio_only; None for a task without EncodeParams."""
    encoding = configuration.encoding
    if encoding is None:
        return None
    errors, audio = configuration.field_errors, encoding.audio
    return (
        _value(audio.channels, task.AUDIO_CHANNELS, errors, "EncodeParams.AudioChannels"),
        _value(audio.sample_rate_hertz, task.AUDIO_SAMPLE_RATES_HERTZ, errors, "EncodeParams.AudioSampleRate"),
        "true" if encoding.audio_only else "false",
    )


def source(source: Source) -> tuple[str, str]:
    """Return stream_type and source_type."""
    return _within(task.STREAM_TYPES, source.stream_type), _within(task.SOURCE_TYPES, source.source_type)


def billing_tier(configuration: Configuration) -> str:
    """Return the value of `tier`: an estimate, since how the vendor rounds odd sizes is not documented."""
    if configuration.mix_mode == task.SINGLE:
        is_audio = configuration.source is not None and configuration.source.stream_type == "audio"
        return "single_audio" if is_audio else "single_video"
    if configuration.mix_mode != task.MIXED or configuration.encoding is None:
        return UNKNOWN
    if configuration.encoding.audio_only:
        return "audio"
    width, height = configuration.encoding.video.width, configuration.encoding.video.height
    if width is None or height is None or min(width, height) < 0:
        return UNKNOWN
    if width * height <= AREA_480P:
        return "480p"
    return "720p" if width * height <= AREA_720P else "above_720p"


def _within(known: tuple[str, ...], value: str) -> str:
    return value if value in known else OTHER


def _value(value: str | int | None, known: tuple[str | int, ...], field_errors: tuple[str, ...], *fields: str) -> str:
    """Return the value of a label that may be absent, or unreadable together with one of `fields`."""
    if value is None:
        return NONE if set(fields).isdisjoint(field_errors) else OTHER
    return str(value) if value in known else OTHER
