"""Series about single tasks: a task in, the exact lines of the text format out."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.core.task import Configuration
from exporter.metrics.family import headers, sections
from exporter.metrics.per_task_families import ListedTask, per_task_families, series_of
from tests.metrics.builders import FULL_TASK, configuration, configurations, listed_task
from tests.support.generated import examples


def _lines(*tasks: ListedTask) -> list[str]:
    """Return the lines of all families in the text format."""
    rendered = []
    for family in per_task_families():
        (section,) = sections(family, family.samples(tasks))
        rendered += section.decode().splitlines()
    return rendered


def test_a_task_with_all_numbers_has_all_series() -> None:
    """Each number is in its base unit under the labels that name the task; names are in the info."""
    task = 'account="prod",app_id="live",task_id="task-1"'
    names = r'channel_id="a \"channel\"",task_region="CN-Shanghai",mix_mode="mixed",codec="H.264",resolution="720p"'
    assert _lines(FULL_TASK) == [
        f"rtcmpu_task_info{{{task},{names}}} 1.0",
        f"rtcmpu_task_config_video_bitrate_bytes_per_second{{{task}}} 187500.0",
        f"rtcmpu_task_config_video_framerate_hertz{{{task}}} 25.0",
        f"rtcmpu_task_config_gop_duration_seconds{{{task}}} 1.6",
        f"rtcmpu_task_config_frame_width_pixels{{{task}}} 1280.0",
        f"rtcmpu_task_config_frame_height_pixels{{{task}}} 720.0",
        f"rtcmpu_task_config_frame_pixels{{{task}}} 921600.0",
        f"rtcmpu_task_config_audio_bitrate_bytes_per_second{{{task}}} 8000.0",
        f"rtcmpu_task_config_audio_channels{{{task}}} 2.0",
        f"rtcmpu_task_config_audio_sample_rate_hertz{{{task}}} 48000.0",
        f"rtcmpu_task_config_idle_timeout_seconds{{{task}}} 60.0",
        f"rtcmpu_task_config_outputs{{{task}}} 2.0",
        f"rtcmpu_task_config_panes{{{task}}} 1.0",
        f"rtcmpu_task_config_users{{{task}}} 2.0",
        f"rtcmpu_task_first_seen_timestamp_seconds{{{task}}} 1000.5",
        f"rtcmpu_task_last_changed_timestamp_seconds{{{task}}} 2000.0",
    ]


def test_what_a_task_has_not_is_absent() -> None:
    """A task without EncodeParams, and with a number that is none, has no series for either."""
    task = 'account="prod",app_id="live",task_id="t"'
    names = 'channel_id="channel",task_region="other",mix_mode="single",codec="none",resolution="none"'
    assert _lines(listed_task("t", configuration(region="Mars", mix_mode="single", idle_timeout_seconds=-5))) == [
        f"rtcmpu_task_info{{{task},{names}}} 1.0",
        f"rtcmpu_task_config_outputs{{{task}}} 0.0",
        f"rtcmpu_task_first_seen_timestamp_seconds{{{task}}} 1000.5",
        f"rtcmpu_task_last_changed_timestamp_seconds{{{task}}} 2000.0",
    ]


@settings(max_examples=examples(60))
@given(st.lists(configurations, max_size=5))
def test_series_are_counted_as_they_are_rendered(tasks: list[Configuration]) -> None:
    """Whatever a task is, it has as many series as it is said to have, between 4 and 16, all different."""
    listed = [listed_task(f"task-{number}", one) for number, one in enumerate(tasks)]
    lines = _lines(*listed)
    assert len(lines) == sum(map(series_of, listed))
    assert all(4 <= series_of(task) <= 16 for task in listed)
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series)


@settings(max_examples=examples(60))
@given(st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="utf-8"), max_size=20))
def test_hostile_ids_stay_label_values(task_id: str, channel_id: str) -> None:
    """Whatever an id is, the official parser reads it back as it was."""
    task = listed_task(task_id, channel_id=channel_id)
    family = per_task_families()[0]
    ((header, _),) = headers(family, openmetrics=False)
    (section,) = sections(family, family.samples([task]))
    (read,) = text_string_to_metric_families((header + section).decode())
    (sample,) = read.samples
    assert (sample.labels["task_id"], sample.labels["channel_id"]) == (task_id, channel_id)
