"""What an exporter should publish for given rows: counted straight from the JSON, by code of its own.

It follows the documented meaning of each metric, not how any program computes it. Samples of value 0 are left out.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from tests.oracle.label_values import (
    billing_tier,
    known,
    known_number,
    mix_mode,
    resolution,
    scheme,
    source_type,
    stream_type,
    task_region,
    truth,
)
from tests.oracle.push_auth import host_of, key_of, state_of

MOST_HOSTS: Final = 20
PREFIX: Final = "rtcmpu_"
BYTES_PER_KILOBIT: Final = 125

_Labels = tuple[tuple[str, str], ...]
_PANE_DECIMALS = ("X", "Y", "Width", "Height")
_PANE_INTEGERS = ("ZOrder", "RenderMode")


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
    listed = [json.loads(row) for row in rows]
    for row in listed:
        counted.add_row(row)
    return {"rows": len(listed), "samples": counted.samples()}


class _Counted:
    """Sums over rows."""

    def __init__(self, now: float, validities: Mapping[str, int]) -> None:
        self._now = now
        self._validities = validities
        self._values: dict[tuple[str, _Labels], Fraction] = {}
        self._hosts: Counter[str] = Counter()
        self._expiries: dict[str, int] = {}

    def samples(self) -> dict[str, list[dict[str, Any]]]:
        """Return everything by the metric's name."""
        for place, (host, count) in enumerate(sorted(self._hosts.items(), key=lambda each: (-each[1], each[0]))):
            self._count("task_outputs_by_host", {"host": host if place < MOST_HOSTS else "other"}, count)
        for signer, expiry in self._expiries.items():
            self._count("push_auth_next_expiry_timestamp_seconds", {"signer": signer}, expiry)
        by_name: dict[str, list[dict[str, Any]]] = {}
        for (name, labels), value in sorted(self._values.items()):
            shown = value.numerator if value.denominator == 1 else float(value)
            by_name.setdefault(PREFIX + name, []).append({"labels": dict(labels), "value": shown})
        return by_name

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Count one row in every metric that it belongs to."""
        if _absent(row.get("TaskId")):
            self._field_error("TaskId")
            return
        source = self._object(row.get("SingleSubParams"), "SingleSubParams")
        transcoding = self._object(row.get("TranscodeParams"), "TranscodeParams")
        encoding = self._object(transcoding.get("EncodeParams"), "EncodeParams")
        region, region_known = task_region(row.get("Region"))
        mode, mode_known = mix_mode(row.get("MixMode"), has_source=bool(source), has_transcoding=bool(transcoding))
        self._unknown("Region", region_known)
        self._unknown("MixMode", mode_known)
        where = {"task_region": region, "mix_mode": mode}
        self._count("tasks", where)
        idle_timeout = self._integer(row.get("MaxIdleTime"), "MaxIdleTime")
        self._distribute("task_idle_timeout_seconds", where, idle_timeout)
        if _absent(row.get("MaxIdleTime")):
            self._count("tasks_without_idle_timeout", {"task_region": region})
        outputs = self._outputs(row)
        audio_only = self._audio_only(encoding)
        source_stream = self._source(source) if source else None
        video = self._encoding(encoding, audio_only=audio_only) if encoding else {}
        self._count(
            "tasks_by_billing_tier",
            {"tier": billing_tier(mode, source_stream, video.get("width"), video.get("height"), audio_only=audio_only)},
        )
        self._distributions(where, video, outputs)
        self._layout(transcoding, where, has_video=bool(encoding) and not audio_only)
        self._sei(row)

    def _outputs(self, row: Mapping[str, Any]) -> list[str]:
        """Count the distinct URLs; return the `cdn` of each."""
        cdns: dict[str, str] = {}
        fields: dict[str, str] = {}
        if not _absent(row.get("StreamURL")):
            cdns[row["StreamURL"]], fields[row["StreamURL"]] = "unknown", "StreamURL"
        for output in self._list(row.get("MultiStreamURL"), "MultiStreamURL"):
            url, is_ali_cdn = str(output.get("URL") or ""), truth(output.get("IsAliCdn"))[0]
            if url:
                cdns[url] = "unknown" if is_ali_cdn is None else "alibaba" if is_ali_cdn else "other"
                fields.setdefault(url, "MultiStreamURL.URL")
        for url, cdn in cdns.items():
            value, is_known = scheme(url)
            self._unknown(fields[url], is_known)
            self._count("task_outputs", {"cdn": cdn, "scheme": value})
            key = signer, expiry = key_of(url, self._validities)
            self._hosts[host_of(url)] += 1
            self._count("task_outputs_by_push_auth", {"signer": signer, "state": state_of(key, self._now)})
            if isinstance(expiry, int) and expiry > self._now:
                self._expiries[signer] = min(expiry, self._expiries.get(signer, expiry))
        return list(cdns.values())

    def _source(self, source: Mapping[str, Any]) -> str:
        """Count a single-stream task's source; return its stream type."""
        stream, stream_known = stream_type(source.get("StreamType"))
        kind, kind_known = source_type(source.get("SourceType"))
        self._unknown("SingleSubParams.StreamType", stream_known)
        self._unknown("SingleSubParams.SourceType", kind_known)
        self._count("tasks_by_source", {"stream_type": stream, "source_type": kind})
        return stream

    def _audio_only(self, encoding: Mapping[str, Any]) -> bool:
        """Return whether there is no video."""
        text = str(encoding.get("AudioOnly") or "false").lower()
        if text not in {"true", "false"}:
            self._field_error("EncodeParams.AudioOnly")
        return text == "true"

    def _encoding(self, encoding: Mapping[str, Any], *, audio_only: bool) -> dict[str, int | None]:
        """Count EncodeParams by its labels; return its numbers."""
        names = {
            "video": "VideoBitrate",
            "audio": "AudioBitrate",
            "framerate": "VideoFramerate",
            "gop": "VideoGop",
            "width": "VideoWidth",
            "height": "VideoHeight",
            "channels": "AudioChannels",
            "rate": "AudioSampleRate",
        }
        numbers = {short: self._integer(encoding.get(name), f"EncodeParams.{name}") for short, name in names.items()}
        self._count(
            "tasks_by_audio",
            {
                "channels": self._known_number(encoding, "AudioChannels", numbers["channels"]),
                "sample_rate_hertz": self._known_number(encoding, "AudioSampleRate", numbers["rate"]),
                "audio_only": str(audio_only).lower(),
            },
        )
        codec, codec_known = known("VideoCodec", encoding.get("VideoCodec"))
        self._unknown("EncodeParams.VideoCodec", codec_known)
        enhanced, readable = self._enhanced(encoding.get("EnhancedParam"))
        labels = {"codec": codec}
        for name in ("profile", "preset"):
            value, is_known = known(name, enhanced.get(name))
            self._unknown(f"EnhancedParam.{name}", is_known)
            labels[name] = value if readable else "other"
        labels["resolution"] = resolution(encoding, numbers["width"], numbers["height"])
        if not audio_only:
            self._count("tasks_by_video", labels)
        return numbers

    def _enhanced(self, value: Any) -> tuple[Mapping[str, Any], bool]:
        """Return the object in EnhancedParam, and whether it can be read."""
        if _absent(value):
            return {}, True
        try:
            enhanced = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            enhanced = None
        if not isinstance(enhanced, dict):
            self._field_error("EncodeParams.EnhancedParam")
            return {}, False
        return enhanced, True

    def _distributions(self, where: Mapping[str, str], video: Mapping[str, int | None], outputs: list[str]) -> None:
        """Sum up the numbers of EncodeParams, and what they make the task send."""
        bitrates = []
        for name in ("video", "audio"):
            kbps = video.get(name)
            if kbps is not None:
                bitrates.append(kbps)
                self._distribute(f"task_{name}_bitrate_bytes_per_second", where, kbps * BYTES_PER_KILOBIT)
        framerate, gop = video.get("framerate"), video.get("gop")
        width, height = video.get("width"), video.get("height")
        self._distribute("task_video_framerate_hertz", where, framerate)
        if framerate and gop is not None:
            self._distribute("task_gop_duration_seconds", where, Fraction(gop, framerate))
        if width is not None and height is not None:
            self._distribute("task_frame_pixels", where, width * height)
        if where["mix_mode"] == "mixed" and bitrates:
            for cdn in outputs:
                labels = {"task_region": where["task_region"], "cdn": cdn}
                self._count("task_configured_egress_bytes_per_second", labels, sum(bitrates) * BYTES_PER_KILOBIT)

    def _layout(self, transcoding: Mapping[str, Any], where: Mapping[str, str], *, has_video: bool) -> None:
        """Count panes and users."""
        layout = self._object(transcoding.get("Layout"), "Layout")
        panes = self._list(layout.get("UserPanes"), "UserPanes")
        for pane in panes:
            for name in _PANE_DECIMALS:
                self._decimal(pane.get(name), f"UserPanes.{name}")
            for name in _PANE_INTEGERS:
                self._integer(pane.get(name), f"UserPanes.{name}")
        if has_video:
            self._distribute("task_panes", where, len(panes))
        users = self._list(transcoding.get("UserInfos"), "UserInfos")
        self._distribute("task_users", where, len(users) or None)

    def _sei(self, row: Mapping[str, Any]) -> None:
        """Look for numbers of SeiParams that can't be read."""
        sei = self._object(row.get("SeiParams"), "SeiParams")
        for name in ("LayoutVolume", "PassThrough"):
            part = self._object(sei.get(name), name)
            for number in ("FollowIdr", "Interval"):
                self._integer(part.get(number), f"{name}.{number}")

    def _count(self, name: str, labels: Mapping[str, str], amount: int | Fraction = 1) -> None:
        """Add to a sample."""
        key = (name, tuple(labels.items()))
        self._values[key] = self._values.get(key, Fraction(0)) + amount

    def _distribute(self, name: str, where: Mapping[str, str], amount: int | Fraction | None) -> None:
        """Add to a distribution, if there is something to add."""
        if amount is not None:
            self._count(f"{name}_gcount", where)
            self._count(f"{name}_gsum", where, amount)

    def _field_error(self, field: str) -> None:
        """Count a value that can't be read."""
        self._count("task_field_errors", {"field": field})

    def _unknown(self, field: str, is_known: bool) -> None:
        """Count a value, unless it is a known one."""
        if not is_known:
            self._count("task_unknown_values", {"field": field})

    def _known_number(self, encoding: Mapping[str, Any], name: str, number: int | None) -> str:
        """Return the label of a number from a closed set."""
        if number is None:
            return "none" if _absent(encoding.get(name)) else "other"
        value, is_known = known_number(name, number)
        self._unknown(f"EncodeParams.{name}", is_known)
        return value

    def _integer(self, value: Any, field: str) -> int | None:
        """Return a whole number; count one that can't be read."""
        number = self._decimal(value, field)
        if number is not None and number != int(number):
            self._field_error(field)
            return None
        return None if number is None else int(number)

    def _decimal(self, value: Any, field: str) -> Decimal | None:
        """Return a number; count one that can't be read."""
        if _absent(value):
            return None
        try:
            return Decimal(str(value).strip())
        except InvalidOperation:
            self._field_error(field)
            return None

    def _object(self, value: Any, field: str) -> Mapping[str, Any]:
        """Return an object, an empty one where it is absent; count one that is none."""
        if _absent(value):
            return {}
        if not isinstance(value, dict):
            self._field_error(field)
            return {}
        return value

    def _list(self, value: Any, field: str) -> list[Mapping[str, Any]]:
        """Return a list, an empty one where it is absent; count one that is none."""
        if _absent(value):
            return []
        if not isinstance(value, list):
            self._field_error(field)
            return []
        return value


def _absent(value: Any) -> bool:
    """Whether a value says nothing."""
    return value in (None, "", [], {})
