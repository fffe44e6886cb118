"""What an exporter should publish, counted from rows by hand and by the simulator."""

from typing import Any

import msgspec
import pytest

from exporter.simulator.task_maker import ODD_VALUES, TEMPLATES, TaskMaker, seeded
from tests.oracle.metrics_truth import truth_of_app
from tests.support.rows import example_row


def truth(*tasks: dict[str, Any]) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples by name and label values."""
    samples = truth_of_app([msgspec.json.encode(task) for task in tasks])["samples"]
    return {
        name: {tuple(sample["labels"].values()): sample["value"] for sample in listed}
        for name, listed in samples.items()
    }


def encoded(**encoding: Any) -> dict[str, Any]:
    """Return a mixed task with these EncodeParams."""
    return {"TaskId": "t", "MixMode": "1", "TranscodeParams": {"EncodeParams": encoding}}


def test_the_vendors_example() -> None:
    """A single-stream task with both URL fields and TranscodeParams counts in each family exactly once."""
    where = ("CN-Shanghai", "single")
    assert truth(example_row()) == {
        "rtcmpu_tasks": {where: 1},
        "rtcmpu_task_outputs": {("other", "rtmp"): 1},
        "rtcmpu_task_outputs_by_host": {("example.com",): 1},
        "rtcmpu_task_outputs_by_push_auth": {("none", "unsigned"): 1},
        "rtcmpu_tasks_by_video": {("H.264", "high", "veryfast", "other"): 1},
        "rtcmpu_tasks_by_audio": {("2", "44100", "false"): 1},
        "rtcmpu_tasks_by_source": {("original", "camera"): 1},
        "rtcmpu_tasks_by_billing_tier": {("single_video",): 1},
        "rtcmpu_task_video_bitrate_bytes_per_second_gcount": {where: 1},
        "rtcmpu_task_video_bitrate_bytes_per_second_gsum": {where: 437_500},
        "rtcmpu_task_audio_bitrate_bytes_per_second_gcount": {where: 1},
        "rtcmpu_task_audio_bitrate_bytes_per_second_gsum": {where: 16_000},
        "rtcmpu_task_video_framerate_hertz_gcount": {where: 1},
        "rtcmpu_task_video_framerate_hertz_gsum": {where: 30},
        "rtcmpu_task_gop_duration_seconds_gcount": {where: 1},
        "rtcmpu_task_gop_duration_seconds_gsum": {where: 1},
        "rtcmpu_task_frame_pixels_gcount": {where: 1},
        "rtcmpu_task_frame_pixels_gsum": {where: 1_920_000},
        "rtcmpu_task_idle_timeout_seconds_gcount": {where: 1},
        "rtcmpu_task_idle_timeout_seconds_gsum": {where: 30},
        "rtcmpu_task_panes_gcount": {where: 1},
        "rtcmpu_task_panes_gsum": {where: 1},
        "rtcmpu_task_users_gcount": {where: 1},
        "rtcmpu_task_users_gsum": {where: 1},
    }


def test_a_small_fleet_by_hand() -> None:
    """Three tasks, counted on paper."""
    maker = TaskMaker(seeded(1, "truth"))
    full_hd = maker.mixed("app", TEMPLATES[1])
    audio = maker.audio_only("app")
    single = maker.single("app")
    single |= {"Region": "AP-Singapore", "SingleSubParams": {"StreamType": "1"}}
    found = truth(full_hd, audio, single)
    assert found["rtcmpu_tasks"] == {("CN-Shanghai", "mixed"): 2, ("AP-Singapore", "single"): 1}
    assert found["rtcmpu_task_outputs"] == {("alibaba", "rtmp"): 2, ("other", "rtmps"): 1, ("unknown", "rtmp"): 1}
    assert found["rtcmpu_tasks_by_video"] == {("H.264", "high", "veryfast", "1080p"): 1}
    assert found["rtcmpu_tasks_by_audio"] == {("2", "48000", "false"): 1, ("1", "44100", "true"): 1}
    assert found["rtcmpu_tasks_by_source"] == {("audio", "camera"): 1}
    assert found["rtcmpu_tasks_by_billing_tier"] == {("above_720p",): 1, ("audio",): 1, ("single_audio",): 1}
    # (3000 + 192) kbit/s to each of two, 64 kbit/s to one: 125 bytes/s each.
    assert found["rtcmpu_task_configured_egress_bytes_per_second"] == {
        ("CN-Shanghai", "alibaba"): 125 * (3192 + 64),
        ("CN-Shanghai", "other"): 125 * 3192,
    }
    assert found["rtcmpu_task_panes_gcount"] == {("CN-Shanghai", "mixed"): 1}
    assert found["rtcmpu_task_users_gsum"] == {("CN-Shanghai", "mixed"): 6}
    assert "rtcmpu_tasks_without_idle_timeout" not in found
    assert "rtcmpu_task_field_errors" not in found
    assert "rtcmpu_task_unknown_values" not in found


@pytest.mark.parametrize(
    ("width", "height", "resolution", "tier"),
    [
        ("1920", "1080", "1080p", "above_720p"),
        ("1080", "1920", "portrait_1080p", "above_720p"),
        ("1280", "720", "720p", "720p"),
        ("720", "720", "720p", "720p"),
        ("640", "480", "480p", "480p"),
        ("360", "640", "portrait_360p", "480p"),
        ("1000", "1000", "other", "above_720p"),
        ("", "", "none", "unknown"),
        ("1280", "", "other", "unknown"),
        ("wide", "wide", "other", "unknown"),
    ],
)
def test_resolution_and_tier(width: str, height: str, resolution: str, tier: str) -> None:
    """The resolution is named by its short side, the tier is by area; both need both sides."""
    found = truth(encoded(VideoWidth=width, VideoHeight=height, AudioOnly="false"))
    assert found["rtcmpu_tasks_by_video"] == {("none", "none", "none", resolution): 1}
    assert found["rtcmpu_tasks_by_billing_tier"] == {(tier,): 1}


def test_odd_values_are_counted_by_field() -> None:
    """Each odd value costs its field, and is counted under the field's name."""
    maker = TaskMaker(seeded(1, "odd"))
    tasks = [change(maker.mixed("app", TEMPLATES[0])) for change in ODD_VALUES.values()]
    found = truth(*tasks)
    assert found["rtcmpu_task_field_errors"] == {
        ("EncodeParams.EnhancedParam",): 1,
        ("EncodeParams.VideoBitrate",): 1,
        ("MaxIdleTime",): 1,
        ("UserPanes.X",): 1,
    }
    assert found["rtcmpu_task_unknown_values"] == {
        ("EncodeParams.AudioChannels",): 1,
        ("EncodeParams.VideoCodec",): 1,
        ("MixMode",): 1,
        ("Region",): 1,
    }
    assert sum(found["rtcmpu_tasks"].values()) == len(tasks)


def test_what_is_absent_is_not_what_can_not_be_read() -> None:
    """No idle timeout is counted where it is unset; an unreadable one is an error of its field."""
    tasks: list[dict[str, Any]] = [
        {"TaskId": "1"},
        {"TaskId": "2", "MaxIdleTime": ""},
        {"TaskId": "3", "MaxIdleTime": None, "Region": "EMAA-Saudi"},
        {"TaskId": "4", "MaxIdleTime": "never"},
        {"TaskId": "5", "MaxIdleTime": 90},
    ]
    found = truth(*tasks)
    assert found["rtcmpu_tasks_without_idle_timeout"] == {("other",): 2, ("EMAA-Saudi",): 1}
    assert found["rtcmpu_task_field_errors"] == {("MaxIdleTime",): 1}
    assert found["rtcmpu_task_idle_timeout_seconds_gsum"] == {("other", "mixed"): 90}


def test_a_row_without_a_task_id_counts_nowhere_else() -> None:
    """Such a row is listed, and an error of its field alone."""
    assert truth({"AppId": "app", "MixMode": "1"}, {"TaskId": ""}) == {"rtcmpu_task_field_errors": {("TaskId",): 2}}


def test_where_the_mode_is_absent() -> None:
    """Without a MixMode a task with SingleSubParams alone is single, any other is mixed."""
    source: dict[str, Any] = {"SingleSubParams": {"UserId": "u"}}
    transcoding: dict[str, Any] = {"TranscodeParams": {"UserInfos": [{}]}}
    found = truth({"TaskId": "1", **source}, {"TaskId": "2", **source, **transcoding}, {"TaskId": "3"})
    assert found["rtcmpu_tasks"] == {("other", "single"): 1, ("other", "mixed"): 2}


def test_egress_counts_what_can_be_read() -> None:
    """One readable bitrate is enough; without any, or without mixing, a task sends nothing that is known."""
    urls = {"MultiStreamURL": [{"URL": "srt://a"}, {"URL": "http://b", "IsAliCdn": False}]}
    tasks = [
        {**encoded(AudioBitrate="64", VideoBitrate="fast"), **urls},
        {**encoded(VideoWidth="640"), **urls},
        {**encoded(AudioBitrate="64"), **urls, "MixMode": "0"},
    ]
    found = truth(*tasks)
    assert found["rtcmpu_task_configured_egress_bytes_per_second"] == {
        ("other", "unknown"): 8000,
        ("other", "other"): 8000,
    }
    assert found["rtcmpu_task_outputs"] == {("unknown", "srt"): 3, ("other", "other"): 3}
    assert found["rtcmpu_task_unknown_values"] == {("MultiStreamURL.URL",): 3}
