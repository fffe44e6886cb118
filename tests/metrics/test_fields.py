"""The closed lists of fields, checked against what reading a row reports."""

import json
from typing import Any

import pytest

from exporter.aliyun.response import read_row
from exporter.metrics.task_families import FIELDS_WITH_ERRORS, FIELDS_WITH_KNOWN_VALUES

ODD = [[1], {"a": 1}, True, "odd", 10**30, ["x"], [{"URL": []}]]


def _full_row() -> dict[str, Any]:
    """Return a row with every documented field."""
    user = {"ChannelId": "c", "UserId": "u", "SourceType": "camera", "StreamType": "0"}
    return {
        "AppId": "live",
        "TaskId": "t",
        "ChannelId": "c",
        "MixMode": "1",
        "StreamURL": "rtmp://a/b",
        "Region": "CN-Shanghai",
        "MaxIdleTime": "60",
        "MultiStreamURL": [{"URL": "rtmp://c/d", "IsAliCdn": True}],
        "SingleSubParams": {"SourceType": "camera", "StreamType": "0", "UserId": "u"},
        "TranscodeParams": {
            "Background": {"RenderMode": "1", "URL": "http://x"},
            "EncodeParams": {
                "AudioOnly": "false",
                "AudioBitrate": "64",
                "AudioChannels": "2",
                "AudioSampleRate": "48000",
                "VideoCodec": "H.264",
                "VideoBitrate": "1000",
                "VideoFramerate": "25",
                "VideoGop": "50",
                "VideoHeight": "720",
                "VideoWidth": "1280",
                "EnhancedParam": '{"profile": "main", "preset": "fast"}',
            },
            "Layout": {
                "UserPanes": [
                    {
                        "UserInfo": dict(user),
                        "Height": "1",
                        "Width": "1",
                        "X": "0",
                        "Y": "0",
                        "ZOrder": "0",
                        "BackgroundImageUrl": "http://x",
                        "RenderMode": "1",
                    }
                ]
            },
            "UserInfos": [dict(user)],
            "SeiParams": {
                "LayoutVolume": {"FollowIdr": "1", "Interval": "1000"},
                "PassThrough": {
                    "FollowIdr": "1",
                    "Interval": "1000",
                    "PayloadContent": "x",
                    "PayloadContentKey": "udd",
                    "PayloadType": "100",
                },
            },
        },
    }


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) in a row."""
    places: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        places.append((value, key))
        places += _places(inner)
    return places


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_whatever_is_odd_in_a_row_is_in_the_lists(odd: Any) -> None:
    """An odd value in any place of a row is reported under a field that the labels document."""
    reported = 0
    for number in range(len(_places(_full_row()))):
        row = _full_row()
        container, key = _places(row)[number]
        if key in {"AppId", "TaskId"}:
            continue
        container[key] = odd
        task = read_row(json.dumps(row).encode(), app_id="live")  # type: ignore[arg-type,unused-ignore]
        assert task is not None
        assert set(task.configuration.field_errors) <= set(FIELDS_WITH_ERRORS)
        assert set(task.configuration.unknown_values) <= set(FIELDS_WITH_KNOWN_VALUES)
        reported += len(task.configuration.field_errors) + len(task.configuration.unknown_values)
    assert reported
