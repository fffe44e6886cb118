"""How numbers are spread over the tasks of one app, as heatmaps over time."""

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.layout import Section, pair
from grafana.parts.panels import About, distribution, graph
from grafana.parts.queries import Scope
from grafana.parts.targets import history

HOW_TO_READ = (
    "Each column is a moment, each cell the tasks whose value lies between the bounds at its left; the stronger its "
    "colour, the more. A band that moves is a configuration that was rolled out."
)
IN_BYTES = "The bounds are in bytes per second: 125 kB/s are 1 Mbit/s."


def distributions(scope: Scope) -> tuple[Section, ...]:
    """Return the section that most people want, and a collapsed one."""
    return (
        Section(60, "Distributions", (pair(*_video_bitrate(scope)), pair(*_timing(scope)), pair(*_idle(scope)))),
        Section(70, "More distributions", (pair(*_audio(scope)), pair(*_layout(scope))), is_collapsed=True),
    )


def _video_bitrate(scope: Scope) -> tuple[Panel, Panel]:
    family = "rtcmpu_task_video_bitrate_bytes_per_second"
    mean = f"{scope.total(f'{family}_gsum')} / ({scope.total(f'{family}_gcount')} > 0)"
    return (
        _heatmap(scope, 61, "Video bitrate", f"Configured VideoBitrate. {HOW_TO_READ} {IN_BYTES}", family, unit="Bps"),
        graph(
            About(
                62,
                "Video bitrate of typical tasks",
                "Half and nine tenths of the tasks have at most this bitrate, estimated within their buckets; and the "
                "exact mean.",
            ),
            (
                history(f"8 * {scope.quantile(0.9, family)}", "90 % have at most"),
                history(f"8 * {scope.quantile(0.5, family)}", "half have at most", ref="B"),
                history(f"8 * {mean}", "mean", ref="C"),
            ),
            unit="bps",
        ),
    )


def _timing(scope: Scope) -> tuple[Panel, Panel]:
    return (
        _heatmap(
            scope,
            63,
            "Length of a group of pictures",
            f"VideoGop / VideoFramerate. Players wait this long for a picture at worst. {HOW_TO_READ}",
            "rtcmpu_task_gop_duration_seconds",
            unit="s",
        ),
        _heatmap(
            scope,
            64,
            "Frame rate",
            f"Configured VideoFramerate. {HOW_TO_READ}",
            "rtcmpu_task_video_framerate_hertz",
            unit="hertz",
        ),
    )


def _idle(scope: Scope) -> tuple[Panel, Panel]:
    return (
        _heatmap(
            scope,
            65,
            "Idle timeout",
            f"Configured MaxIdleTime of tasks that have one. {HOW_TO_READ}",
            "rtcmpu_task_idle_timeout_seconds",
            unit="s",
        ),
        graph(
            About(
                66,
                "Tasks without an idle timeout",
                "Tasks whose MaxIdleTime is not set, by region, stacked. They end when the channel closes, and not "
                "before.",
            ),
            [history(scope.total("rtcmpu_tasks_without_idle_timeout", by=("task_region",)), "{{task_region}}")],
            stacked=True,
        ),
    )


def _audio(scope: Scope) -> tuple[Panel, Panel]:
    return (
        _heatmap(
            scope,
            71,
            "Audio bitrate",
            f"Configured AudioBitrate. {HOW_TO_READ} {IN_BYTES}",
            "rtcmpu_task_audio_bitrate_bytes_per_second",
            unit="Bps",
        ),
        _heatmap(
            scope,
            72,
            "Frame size",
            f"Configured VideoWidth x VideoHeight; 1280 x 720 are 922 thousand pixels. {HOW_TO_READ}",
            "rtcmpu_task_frame_pixels",
            unit="short",
        ),
    )


def _layout(scope: Scope) -> tuple[Panel, Panel]:
    return (
        _heatmap(
            scope,
            73,
            "Panes of the layout",
            f"Panes of tasks with video; 0 is a task without any. {HOW_TO_READ}",
            "rtcmpu_task_panes",
            unit="none",
        ),
        _heatmap(
            scope,
            74,
            "Listed users",
            f"Users in UserInfos. An empty list means everyone in the channel and does not count. {HOW_TO_READ}",
            "rtcmpu_task_users",
            unit="none",
        ),
    )


def _heatmap(scope: Scope, id_: int, title: str, description: str, family: str, *, unit: str) -> Panel:
    return distribution(About(id_, title, description), scope.total(f"{family}_bucket", by=("le",)), unit=unit)
