"""A page of 100 tasks: what its reading costs when rows are known, when they are new, and the plain way.

Then a push URL, and what the tasks of many pages share and take.
"""

import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet import APP_ID, pages
from benchmarks.report import median_seconds, milliseconds, show, times
from exporter.aliyun.parse_task import Interner, row_digest
from exporter.aliyun.push_url import parse_push_url
from exporter.aliyun.response import read_page
from exporter.collector.inventory import Entry, Inventory
from exporter.collector.reading import AppRows
from tests.support.hostile import HOSTILE_URLS

PAGES = 10
RUNS = 15
URL_RUNS = 2_000
TASKS = 20_000


def main() -> None:
    """Print the table."""
    answers = pages(PAGES * 100)
    size = statistics.mean(map(len, answers))
    known = {row_digest(row): "" for answer in answers for row in read_page(answer).rows}
    rows = AppRows(APP_ID, Interner())

    def look_up(answer: bytes) -> None:
        for row in read_page(answer).rows:
            known[rows.digest(row)]

    def read(answer: bytes) -> None:
        for row in read_page(answer).rows:
            rows.digest(row)
            rows.read(row)

    plain = _of_a_page(plainly_decoded, answers)
    figures = [
        ("known rows: split, digest, look up", _of_a_page(look_up, answers)),
        ("new rows: split, digest, read, share", _of_a_page(read, answers)),
        ("json.loads + dataclasses by hand", plain),
    ]
    show(
        f"Decoding a page of 100 tasks, {size / 1000:.0f} kB",
        ("way", "a page", "as much as the plain way"),
        [(way, milliseconds(seconds), times(seconds / plain)) for way, seconds in figures],
        note="The plain way raises on the first odd value and keeps 13 kB a task; new rows tolerate and share.",
    )
    path = "rtmp://h.example.com/live/s"
    urls = [
        ("plain", path),
        ("signed", f"{path}?auth_key=1800000000-0-0-{'0' * 32}"),
        ("2,000 characters", path + "s" * 2000),
    ]
    costs = [(name, _of_a_url(url)) for name, url in urls]
    costs.append((f"dearest of {len(HOSTILE_URLS)} hostile ones", max(map(_of_a_url, HOSTILE_URLS))))
    show("Reading a push URL, best of many", ("URL", "time"), [(name, f"{cost * 1e6:.1f} us") for name, cost in costs])
    show("Tasks that were accepted", ("tasks", "distinct configurations", "a task"), [_accepted()])


def _of_a_url(url: str) -> float:
    """Return the least time that reading a push URL takes."""
    best = 1.0
    for _ in range(URL_RUNS):
        began = time.perf_counter()
        parse_push_url(url)
        best = min(best, time.perf_counter() - began)
    return best


def _accepted() -> tuple[str, str, str]:
    """Return how many configurations accepted tasks share, and what each takes with its share of them."""
    answers = pages(TASKS)
    tracemalloc.start()
    inventory, rows = Inventory(), AppRows(APP_ID, Interner())
    for answer in answers:
        tasks = map(rows.read, read_page(answer).rows)
        inventory.accept([Entry.of(task, sent_at=0.0) for task in tasks if task], now=0.0)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    configurations = len({entry.configuration for entry in inventory})
    return f"{len(inventory):,}", str(configurations), f"{taken / len(inventory):.0f} B"


def _of_a_page(way: Callable[[bytes], object], answers: list[bytes]) -> float:
    """Return the median time of a page."""

    def all_pages() -> None:
        for answer in answers:
            way(answer)

    return median_seconds(all_pages, runs=RUNS) / len(answers)


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


def plainly_decoded(body: bytes) -> list[PlainTask]:
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
