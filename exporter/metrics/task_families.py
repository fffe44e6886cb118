"""The families about an app's tasks as they are configured: withdrawn when the data is too old."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any, Final

from exporter.core.task import FIELDS
from exporter.metrics import labels
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.metrics.app_families import AppFamily, app_family
from exporter.metrics.family import Label, LabelValues, Sample

_CLOSED: Final = frozenset(
    {
        "MixMode",
        "Region",
        "MultiStreamURL.IsAliCdn",
        "SingleSubParams.SourceType",
        "SingleSubParams.StreamType",
        "EncodeParams.AudioOnly",
        "EncodeParams.VideoCodec",
        "EnhancedParam.profile",
        "EnhancedParam.preset",
        "UserInfo.SourceType",
        "UserInfos.SourceType",
        "UserInfos.StreamType",
    }
)
"""Names and truths: whatever else is there is an unknown value, however odd."""

_READABLE_AND_CLOSED: Final = frozenset(
    {"StreamURL", "MultiStreamURL.URL", "EncodeParams.AudioChannels", "EncodeParams.AudioSampleRate"}
)
"""Numbers and URLs of which some are known: an unreadable one is an error, another one an unknown value."""

FIELDS_WITH_ERRORS: Final = tuple(field for field in FIELDS if field not in _CLOSED)
FIELDS_WITH_KNOWN_VALUES: Final = tuple(field for field in FIELDS if field in _CLOSED | _READABLE_AND_CLOSED)

MOST_HOSTS: Final = 20
BITS: Final = "Multiply by 8 for bits per second."

FIELD_ERROR: Final = Label("field", FIELDS_WITH_ERRORS, "The vendor's field path, without indices.")
UNKNOWN_VALUE: Final = Label("field", FIELDS_WITH_KNOWN_VALUES, "The vendor's field path, without indices.")


def _task_family(
    name: str, help_text: str, samples: Callable[[Aggregates], Iterable[Sample]], **more: Any
) -> AppFamily:
    return app_family(
        name,
        help_text,
        lambda report: () if report.aggregates is None else samples(report.aggregates),
        version=_aggregates_version,
        **more,
    )


def _aggregates_version(report: AppReport) -> object:
    return report.aggregates and (report.aggregates, report.aggregates.revision, _rows_without_task_id(report))


def _counted(
    name: str, help_text: str, counts: str, labels: tuple[Label, ...], *, zero_filled: bool = False, **more: Any
) -> AppFamily:
    zeros: dict[LabelValues, int] = (
        dict.fromkeys(product(*(label.values for label in labels)), 0) if zero_filled else {}
    )

    def samples(aggregates: Aggregates) -> Iterable[Sample]:
        return {**zeros, **aggregates.counts(counts)}.items()

    return _task_family(name, help_text, samples, labels=labels, **more)


def _distribution(measure: str, help_text: str, **more: Any) -> AppFamily:
    return _task_family(
        f"rtcmpu_task_{measure}",
        help_text,
        lambda aggregates: aggregates.distributions(measure),
        kind="gaugehistogram",
        labels=(labels.TASK_REGION, labels.MIX_MODE),
        **more,
    )


def _outputs_by_host(aggregates: Aggregates) -> Iterable[Sample]:
    hosts = dict(aggregates.counts("hosts"))
    rest = hosts.pop((labels.OTHER,), 0)
    ranked = sorted(hosts.items(), key=lambda item: (-item[1], item[0]))
    rest += sum(count for _, count in ranked[MOST_HOSTS:])
    return [*ranked[:MOST_HOSTS], *([((labels.OTHER,), rest)] if rest else [])]


def _field_errors(report: AppReport) -> Iterator[Sample]:
    if report.aggregates is None:
        return
    errors = dict.fromkeys(FIELDS_WITH_ERRORS, 0) | {"TaskId": _rows_without_task_id(report)}
    for (field,), count in report.aggregates.counts("field_errors").items():
        errors[field] = errors.get(field, 0) + count
    for field, count in errors.items():
        yield (field,), count


def _rows_without_task_id(report: AppReport) -> int:
    return 0 if report.status.sweep is None else report.status.sweep.rows_without_task_id


TASK_FAMILIES: Final[tuple[AppFamily, ...]] = (
    app_family(
        "rtcmpu_task_field_errors",
        "Unreadable values of listed tasks, such as a bitrate that is not a number.",
        _field_errors,
        version=_aggregates_version,
        labels=(FIELD_ERROR,),
        note="Such values count in no other metric. `TaskId`: rows without a TaskId, which are skipped.",
    ),
    _counted(
        "rtcmpu_task_unknown_values",
        "Values of listed tasks outside the documented set of their field.",
        "unknown_values",
        (UNKNOWN_VALUE,),
        zero_filled=True,
        note="Labels show such values as `other`.",
    ),
    _counted("rtcmpu_tasks", "Listed tasks.", "tasks", (labels.TASK_REGION, labels.MIX_MODE), zero_filled=True),
    _counted(
        "rtcmpu_task_outputs", "Distinct push URLs of each listed task, summed.", "outputs", (labels.CDN, labels.SCHEME)
    ),
    _task_family(
        "rtcmpu_task_outputs_by_push_auth",
        "Push URLs of listed tasks by signer of their key and whether a push may still start.",
        lambda aggregates: aggregates.push_auth.states().items(),
        labels=(labels.SIGNER, labels.PUSH_AUTH_STATE),
    ),
    _task_family(
        "rtcmpu_push_auth_next_expiry_timestamp_seconds",
        "Unix time of the earliest expiry of a push key that is not past.",
        lambda aggregates: aggregates.push_auth.next_expiries(),
        labels=(labels.SIGNER,),
    ),
    _task_family(
        "rtcmpu_task_outputs_by_host", "Push URLs of listed tasks by host.", _outputs_by_host, labels=(labels.HOST,)
    ),
    _counted(
        "rtcmpu_tasks_by_video",
        "Listed tasks with EncodeParams that are not audio-only, by video encoding.",
        "by_video",
        (labels.CODEC, labels.PROFILE, labels.PRESET, labels.RESOLUTION),
    ),
    _counted(
        "rtcmpu_tasks_by_audio",
        "Listed tasks with EncodeParams, by audio encoding.",
        "by_audio",
        (labels.CHANNELS, labels.SAMPLE_RATE, labels.AUDIO_ONLY),
    ),
    _counted(
        "rtcmpu_tasks_by_source",
        "Listed tasks with SingleSubParams, by relayed stream.",
        "by_source",
        (labels.STREAM_TYPE, labels.SOURCE_TYPE),
    ),
    _counted(
        "rtcmpu_tasks_by_billing_tier",
        "Listed tasks by billing tier, estimated from mode and picture area; not a bill.",
        "by_billing_tier",
        (labels.TIER,),
        zero_filled=True,
        stability="alpha",
    ),
    _counted(
        "rtcmpu_tasks_without_idle_timeout",
        "Listed tasks whose MaxIdleTime is unset; they end when the channel closes.",
        "without_idle_timeout",
        (labels.TASK_REGION,),
        zero_filled=True,
        note="Unreadable ones are field errors.",
    ),
    _task_family(
        "rtcmpu_task_configured_egress_bytes_per_second",
        f"Configured video and audio bitrate of mixed tasks, counted once per output. {BITS}",
        Aggregates.egress_bytes_per_second,
        labels=(labels.TASK_REGION, labels.CDN),
        note="Nothing is measured.",
    ),
    _distribution("video_bitrate_bytes_per_second", f"Configured VideoBitrate. {BITS}"),
    _distribution("audio_bitrate_bytes_per_second", f"Configured AudioBitrate. {BITS}"),
    _distribution("video_framerate_hertz", "Configured VideoFramerate, in frames per second."),
    _distribution(
        "gop_duration_seconds", "Configured length of a group of pictures, in seconds: VideoGop / VideoFramerate."
    ),
    _distribution("frame_pixels", "Configured VideoWidth x VideoHeight, in pixels."),
    _distribution("idle_timeout_seconds", "Configured MaxIdleTime, in seconds; unset ones are not counted."),
    _distribution(
        "panes",
        "Panes per task, of tasks with EncodeParams that are not audio-only.",
        note="A task without panes counts as 0.",
    ),
    _distribution(
        "users", "Users in UserInfos, per task.", note="Tasks with an empty list (all users) are not counted."
    ),
)
