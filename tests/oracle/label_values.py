"""The label values that an exporter should publish for what is in a row, each with whether it is a known one."""

from types import MappingProxyType
from typing import Any, Final

_REGIONS = {"cn-shanghai": "CN-Shanghai", "ap-singapore": "AP-Singapore", "emaa-saudi": "EMAA-Saudi"}
_PRESETS = "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo"
_NAMES: Final = MappingProxyType(
    {"VideoCodec": ("H.264", "H.265"), "profile": ("baseline", "main", "high"), "preset": tuple(_PRESETS.split())}
)
_NUMBERS: Final = MappingProxyType({"AudioChannels": (1, 2), "AudioSampleRate": (8000, 16000, 32000, 44100, 48000)})


def task_region(value: Any) -> tuple[str, bool]:
    """Return `task_region`; an absent one is `other` too, though not an unknown value."""
    if not value:
        return "other", True
    region = _REGIONS.get(str(value).lower())
    return (region, True) if region else ("other", False)


def mix_mode(value: Any, *, has_source: bool, has_transcoding: bool) -> tuple[str, bool]:
    """Return `mix_mode`."""
    if value in (None, ""):
        return ("single" if has_source and not has_transcoding else "mixed"), True
    mode = {"0": "single", "1": "mixed"}.get(str(value))
    return (mode, True) if mode else ("other", False)


def scheme(url: str) -> tuple[str, bool]:
    """Return `scheme`."""
    before = url.partition("://")[0].lower()
    return (before, True) if before in {"rtmp", "rtmps", "srt"} else ("other", False)


def stream_type(value: Any) -> tuple[str, bool]:
    """Return `stream_type`."""
    kind = {"": "original", "0": "original", "1": "audio", "2": "video"}.get(str(value or ""))
    return (kind, True) if kind else ("other", False)


def source_type(value: Any) -> tuple[str, bool]:
    """Return `source_type`."""
    kind = {"": "camera", "camera": "camera", "sharescreen": "screen"}.get(str(value or "").lower())
    return (kind, True) if kind else ("other", False)


def truth(value: Any) -> tuple[bool | None, bool]:
    """Return a boolean, which may be written as text."""
    if value in (None, ""):
        return None, True
    answer = {"true": True, "false": False}.get(str(value).lower())
    return answer, answer is not None


def known(name: str, value: Any) -> tuple[str, bool]:
    """Return the label of a name from a closed set."""
    if not value:
        return "none", True
    for canonical in _NAMES[name]:
        if str(value).lower() == canonical.lower():
            return canonical, True
    return "other", False


def known_number(name: str, number: int) -> tuple[str, bool]:
    """Return the label of a number from a closed set."""
    return (str(number), True) if number in _NUMBERS[name] else ("other", False)
