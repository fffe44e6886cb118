"""A page read the plain way: `json.loads`, then dataclasses built by hand. What `decode` is compared with."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Pane:
    """One of UserPanes."""

    x: float
    y: float
    width: float
    height: float
    z_order: int
    render_mode: int
    user_id: str
    background_image_url: str


@dataclass(slots=True)
class User:
    """One of UserInfos."""

    channel_id: str
    user_id: str
    source_type: str
    stream_type: str


@dataclass(slots=True)
class Encode:
    """EncodeParams."""

    audio_only: bool
    audio_bitrate_kbps: int
    audio_channels: int
    audio_sample_rate_hertz: int
    video_codec: str
    video_bitrate_kbps: int
    video_framerate: int
    video_gop: int
    video_width: int
    video_height: int
    profile: str
    preset: str


@dataclass(slots=True)
class PlainTask:
    """One task with its numbers as numbers."""

    task_id: str
    channel_id: str
    region: str
    mix_mode: str
    idle_timeout_seconds: int
    urls: list[str]
    encode: Encode | None
    panes: list[Pane]
    users: list[User]


def decode(body: bytes) -> list[PlainTask]:
    """Read a page of well-formed rows; an odd one raises."""
    return [_task(row) for row in json.loads(body)["MPUTasks"]]


def _task(row: dict[str, Any]) -> PlainTask:
    transcode = row.get("TranscodeParams") or {}
    encode = transcode.get("EncodeParams")
    panes = (transcode.get("Layout") or {}).get("UserPanes") or []
    return PlainTask(
        task_id=row["TaskId"],
        channel_id=row["ChannelId"],
        region=row.get("Region", ""),
        mix_mode=row.get("MixMode", ""),
        idle_timeout_seconds=int(row.get("MaxIdleTime") or 0),
        urls=[row.get("StreamURL", ""), *(stream["URL"] for stream in row.get("MultiStreamURL") or [])],
        encode=_encode(encode) if encode else None,
        panes=[_pane(pane) for pane in panes],
        users=[_user(user) for user in transcode.get("UserInfos") or []],
    )


def _encode(encode: dict[str, str]) -> Encode:
    enhanced = json.loads(encode.get("EnhancedParam") or "{}")
    return Encode(
        audio_only=encode.get("AudioOnly") == "true",
        audio_bitrate_kbps=int(encode.get("AudioBitrate") or 0),
        audio_channels=int(encode.get("AudioChannels") or 0),
        audio_sample_rate_hertz=int(encode.get("AudioSampleRate") or 0),
        video_codec=encode.get("VideoCodec", ""),
        video_bitrate_kbps=int(encode.get("VideoBitrate") or 0),
        video_framerate=int(encode.get("VideoFramerate") or 0),
        video_gop=int(encode.get("VideoGop") or 0),
        video_width=int(encode.get("VideoWidth") or 0),
        video_height=int(encode.get("VideoHeight") or 0),
        profile=enhanced.get("profile", ""),
        preset=enhanced.get("preset", ""),
    )


def _pane(pane: dict[str, Any]) -> Pane:
    return Pane(
        x=float(pane.get("X") or 0),
        y=float(pane.get("Y") or 0),
        width=float(pane.get("Width") or 0),
        height=float(pane.get("Height") or 0),
        z_order=int(pane.get("ZOrder") or 0),
        render_mode=int(pane.get("RenderMode") or 0),
        user_id=(pane.get("UserInfo") or {}).get("UserId", ""),
        background_image_url=pane.get("BackgroundImageUrl", ""),
    )


def _user(user: dict[str, str]) -> User:
    return User(user["ChannelId"], user["UserId"], user.get("SourceType", ""), user.get("StreamType", ""))
