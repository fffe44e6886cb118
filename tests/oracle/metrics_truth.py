"""What an exporter should publish for given rows: counted from what the rows say, by code of its own.

It follows the documented meaning of each metric, not how any program computes it. Samples of value 0 are left out.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from tests.oracle.push_auth import host_of, key_of, state_of
from tests.oracle.written_task import WrittenTask, known_number, read_task, scheme_of

MOST_HOSTS: Final = 20
PREFIX: Final = "rtcmpu_"
BYTES_PER_KILOBIT: Final = 125

_Labels = Mapping[str, str]


def truth_of_app(
    rows: Iterable[bytes], *, now: float | None = None, validities: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the expected samples of one app.

    Args:
        rows: All rows that are listed.
        now: When push keys have the expected states; None: now.
        validities: What is configured for push hosts.

    Returns:
        `rows`, the number of rows listed, and `samples`: by the metric's full name, in its unit, a list of
        `{"labels": …, "value": …}` without the labels account and app_id. A distribution is there by its
        `_gsum` and `_gcount`.
    """
    counted = _Counted(time.time() if now is None else now, validities)
    listed = list(map(read_task, rows))
    for task in listed:
        if task is None:
            counted.add("task_field_errors", {"field": "TaskId"})
        else:
            counted.add_task(task)
    return {"rows": len(listed), "samples": counted.samples()}


class _Counted:
    """Sums over tasks."""

    def __init__(self, now: float, validities: Mapping[str, int]) -> None:
        self._now = now
        self._validities = validities
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], Fraction] = {}
        self._hosts: Counter[str] = Counter()
        self._expiries: dict[str, int] = {}

    def samples(self) -> dict[str, list[dict[str, Any]]]:
        without_host = self._hosts.pop("", 0)
        if without_host:
            self.add("task_outputs_by_host", {"host": "other"}, without_host)
        for place, (host, count) in enumerate(sorted(self._hosts.items(), key=lambda each: (-each[1], each[0]))):
            self.add("task_outputs_by_host", {"host": host if place < MOST_HOSTS else "other"}, count)
        for signer, expiry in self._expiries.items():
            self.add("push_auth_next_expiry_timestamp_seconds", {"signer": signer}, expiry)
        by_name: dict[str, list[dict[str, Any]]] = {}
        for (name, labels), value in sorted(self._values.items()):
            shown = value.numerator if value.denominator == 1 else float(value)
            by_name.setdefault(PREFIX + name, []).append({"labels": dict(labels), "value": shown})
        return by_name

    def add(self, name: str, labels: _Labels, amount: int | Fraction = 1) -> None:
        key = (name, tuple(labels.items()))
        self._values[key] = self._values.get(key, Fraction(0)) + amount

    def add_task(self, task: WrittenTask) -> None:
        """Count a task in every metric that it belongs to."""
        where = {"task_region": task.region or "other", "mix_mode": task.mode}
        self.add("tasks", where)
        for field in task.unreadable:
            self.add("task_field_errors", {"field": field})
        for field in task.undocumented:
            self.add("task_unknown_values", {"field": field})
        if task.idle_timeout_seconds is None and "MaxIdleTime" not in task.unreadable:
            self.add("tasks_without_idle_timeout", {"task_region": where["task_region"]})
        self._distribute("task_idle_timeout_seconds", where, task.idle_timeout_seconds)
        self._add_outputs(task, where)
        if task.source:
            self.add("tasks_by_source", {"stream_type": task.source[0], "source_type": task.source[1]})
        if task.encoding:
            self._add_encoding(task)
        self.add("tasks_by_billing_tier", {"tier": _tier(task)})
        self._add_distributions(task, where)

    def _add_outputs(self, task: WrittenTask, where: _Labels) -> None:
        bitrates = [task.numbers[name] for name in ("VideoBitrate", "AudioBitrate") if name in task.numbers]
        for url, is_ali_cdn in task.urls.items():
            cdn = "unknown" if is_ali_cdn is None else "alibaba" if is_ali_cdn else "other"
            self.add("task_outputs", {"cdn": cdn, "scheme": scheme_of(url)})
            if task.mode == "mixed" and bitrates:
                labels = {"task_region": where["task_region"], "cdn": cdn}
                self.add("task_configured_egress_bytes_per_second", labels, sum(bitrates) * BYTES_PER_KILOBIT)
            self._hosts[host_of(url)] += 1
            key = signer, expiry = key_of(url, self._validities)
            self.add("task_outputs_by_push_auth", {"signer": signer, "state": state_of(key, self._now)})
            if isinstance(expiry, int) and expiry > self._now:
                self._expiries[signer] = min(expiry, self._expiries.get(signer, expiry))

    def _add_encoding(self, task: WrittenTask) -> None:
        def number(name: str) -> str:
            if name in task.numbers:
                return known_number(name, task.numbers[name])[0]
            return "other" if f"EncodeParams.{name}" in task.unreadable else "none"

        labels = {"channels": number("AudioChannels"), "sample_rate_hertz": number("AudioSampleRate")}
        self.add("tasks_by_audio", {**labels, "audio_only": str(task.audio_only).lower()})
        if not task.audio_only:
            unnamed = "other" if "EncodeParams.EnhancedParam" in task.unreadable else "none"
            labels = {"codec": task.names.get("VideoCodec", "none")}
            labels |= {name: task.names.get(name, unnamed) for name in ("profile", "preset")}
            self.add("tasks_by_video", {**labels, "resolution": _resolution(task)})

    def _add_distributions(self, task: WrittenTask, where: _Labels) -> None:
        numbers = task.numbers
        for name in ("Video", "Audio"):
            kbps = numbers.get(f"{name}Bitrate")
            amount = None if kbps is None else kbps * BYTES_PER_KILOBIT
            self._distribute(f"task_{name.lower()}_bitrate_bytes_per_second", where, amount)
        framerate = numbers.get("VideoFramerate")
        self._distribute("task_video_framerate_hertz", where, framerate)
        if framerate and "VideoGop" in numbers:
            self._distribute("task_gop_duration_seconds", where, Fraction(numbers["VideoGop"], framerate))
        if "VideoWidth" in numbers and "VideoHeight" in numbers:
            self._distribute("task_frame_pixels", where, numbers["VideoWidth"] * numbers["VideoHeight"])
        if task.encoding and not task.audio_only and {"Layout", "UserPanes"}.isdisjoint(task.unreadable):
            self._distribute("task_panes", where, len(task.panes))
        if "UserInfos" not in task.unreadable:
            self._distribute("task_users", where, len(task.user_streams) or None)

    def _distribute(self, name: str, where: _Labels, amount: int | Fraction | None) -> None:
        """Add to a distribution, if there is something to add."""
        if amount is not None:
            self.add(f"{name}_gcount", where)
            self.add(f"{name}_gsum", where, amount)


def _resolution(task: WrittenTask) -> str:
    """Return `resolution`: by the short side, `none` where neither side is there."""
    sides = ("VideoWidth", "VideoHeight")
    if not any(side in task.numbers or f"EncodeParams.{side}" in task.unreadable for side in sides):
        return "none"
    width, height = (task.numbers.get(side, 0) for side in sides)
    if min(width, height) not in (1080, 720, 480, 360):
        return "other"
    return f"portrait_{width}p" if height > width else f"{height}p"


def _tier(task: WrittenTask) -> str:
    """Return `tier`, estimated by area."""
    if task.mode == "single":
        return "single_audio" if task.source and task.source[0] == "audio" else "single_video"
    if task.mode == "mixed" and task.audio_only:
        return "audio"
    if task.mode != "mixed" or not {"VideoWidth", "VideoHeight"} <= task.numbers.keys():
        return "unknown"
    pixels = task.numbers["VideoWidth"] * task.numbers["VideoHeight"]
    return "480p" if pixels <= 640 * 480 else "720p" if pixels <= 1280 * 720 else "above_720p"
