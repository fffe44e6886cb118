"""What each rule that an exporter has by default should find in one task: written from the meaning of the rules.

A check returns whether the task violates the rule; None: the rule does not apply to it.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from itertools import combinations
from types import MappingProxyType
from typing import Final

from tests.oracle.push_auth import key_of, state_of
from tests.oracle.written_task import WrittenPane, WrittenTask, has_user, host_of, is_incomplete, scheme_of

Check = Callable[[WrittenTask], bool | None]

_EDGE: Final = Decimal("1.001")
_NUDGE: Final = Decimal("0.001")
_WITH_A_RULE_OF_THEIR_OWN: Final = frozenset(
    {
        "Region",
        "MixMode",
        "StreamURL",
        "MultiStreamURL.URL",
        "EncodeParams.VideoCodec",
        "EnhancedParam.profile",
        "EnhancedParam.preset",
        "EncodeParams.AudioChannels",
        "EncodeParams.AudioSampleRate",
    }
)


def _number(name: str, least: int, most: int) -> Check:
    """Return the check of one number of the video."""
    return _of_video(lambda task: _outside(task.numbers.get(name), least, most))


def _audio_number(name: str, *allowed: int) -> Check:
    """Return the check of one number of the audio that has few values."""
    return lambda task: None if name not in task.numbers else task.numbers[name] not in allowed


def _name(name: str) -> Check:
    """Return the check that a name of the video is documented."""
    return _of_video(lambda task: None if name not in task.names else task.names[name] == "other")


def _of_video(check: Check) -> Check:
    """Return a check that leaves audio-only tasks alone."""
    return lambda task: None if task.audio_only else check(task)


def _outside(number: int | None, least: int, most: int) -> bool | None:
    return None if number is None else number not in range(least, most + 1)


def _size(task: WrittenTask) -> bool | None:
    sides = [task.numbers[name] for name in ("VideoWidth", "VideoHeight") if name in task.numbers]
    return any(side > 1920 for side in sides) if sides else None


def _gop(task: WrittenTask) -> bool | None:
    gop, framerate = task.numbers.get("VideoGop"), task.numbers.get("VideoFramerate")
    return Fraction(gop, framerate) > 4 if gop is not None and framerate else None


def _short_gop(task: WrittenTask) -> bool | None:
    gop, framerate = task.numbers.get("VideoGop"), task.numbers.get("VideoFramerate")
    return Fraction(gop, framerate) < Fraction(1, 2) if gop and framerate else None


def _odd_size(task: WrittenTask) -> bool | None:
    sides = [task.numbers[name] for name in ("VideoWidth", "VideoHeight") if name in task.numbers]
    return any(side % 2 for side in sides) if sides else None


def _bits_per_pixel(task: WrittenTask) -> bool | None:
    numbers = [task.numbers.get(f"Video{name}") or 0 for name in ("Bitrate", "Width", "Height", "Framerate")]
    if 0 in numbers:
        return None
    kbps, width, height, framerate = numbers
    bits = Fraction(kbps * 1000, width * height * framerate)
    return bits < Fraction(1, 100) or bits > 1


def _preset(task: WrittenTask) -> bool | None:
    return task.names["preset"] in {"veryslow", "placebo"} if "preset" in task.names else None


def _profile(task: WrittenTask) -> bool | None:
    if task.names.get("VideoCodec") != "H.265" or "profile" not in task.names:
        return None
    return task.names["profile"] != "main"


def _enhanced(task: WrittenTask) -> bool | None:
    return "EncodeParams.EnhancedParam" in task.unreadable if task.encoding else None


def _in_mode(mode: str, violated: Check) -> Check:
    return lambda task: violated(task) if task.mode == mode else None


def _without_source(task: WrittenTask) -> bool | None:
    return None if "SingleSubParams" in task.unreadable else task.source is None


def _without_transcoding(task: WrittenTask) -> bool | None:
    return None if "TranscodeParams" in task.unreadable else not task.transcoding


def _audio_only(violated: Check) -> Check:
    """Return a check of audio-only tasks alone."""
    return lambda task: violated(task) if task.audio_only else None


def _everyone(task: WrittenTask) -> bool | None:
    return not task.user_streams if task.transcoding and "UserInfos" not in task.unreadable else None


def _without_layout(task: WrittenTask) -> bool | None:
    is_readable = not {"Layout", "UserPanes"} & {*task.unreadable}
    return not task.panes if task.encoding and not task.audio_only and is_readable else None


def _users_screen(task: WrittenTask) -> bool | None:
    screens = [stream for stream, kind, _ in task.user_streams if kind == "screen"]
    return any(stream != "video" for stream in screens) if screens else None


def _is_private(url: str) -> bool:
    """Whether no push from the internet reaches the host."""
    host = host_of(url)
    try:
        return not ip_address(host.removeprefix("[")).is_global
    except ValueError:
        end = host.rpartition(".")[2]
        return bool(host) and ("." not in host or host == "example.com" or end in {"local", "internal", "test"})


def _h265(task: WrittenTask) -> bool | None:
    flags = [flag for url, flag in task.urls.items() if flag is not None and scheme_of(url) in {"rtmp", "rtmps"}]
    return not all(flags) if flags and task.names.get("VideoCodec") == "H.265" else None


def _incomplete(task: WrittenTask) -> bool | None:
    required = {"AudioBitrate", "AudioChannels", "AudioSampleRate"}
    if not task.audio_only:
        required |= {"VideoBitrate", "VideoFramerate", "VideoGop", "VideoHeight", "VideoWidth"}
    given = {*task.numbers, *(field.removeprefix("EncodeParams.") for field in task.unreadable)}
    return not required <= given if task.encoding else None


def _pane_users(task: WrittenTask, wrong: Callable[[set[str]], bool]) -> bool | None:
    """Whether any pane shows a user whose streams in UserInfos are wrong."""
    if not task.panes or not task.user_streams:
        return None
    streams: dict[tuple[str, str], set[str]] = {}
    for stream, _, user in task.user_streams:
        streams.setdefault(user, set()).add(stream)
    return any(wrong(streams.get(pane.source[0], set())) for pane in task.panes if pane.source)


def _shown_twice(task: WrittenTask) -> bool | None:
    shown = [pane.source for pane in task.panes if pane.source]
    return len(set(shown)) < len(shown) if len(task.panes) > 1 else None


def _screen(task: WrittenTask) -> bool | None:
    return task.source[0] != "video" if task.source is not None and task.source[1] == "screen" else None


def _no_url(task: WrittenTask) -> bool | None:
    if any("StreamURL" in field for field in task.unreadable):
        return None
    return not task.stream_url and not task.multi_stream_url


def _both_url_fields(task: WrittenTask) -> bool | None:
    return task.stream_url and task.multi_stream_url if task.urls else None


def _any_url(violated: Callable[[str], bool]) -> Check:
    return lambda task: any(map(violated, task.urls)) if task.urls else None


def _pane_outside(task: WrittenTask) -> bool | None:
    return any(map(_is_outside, task.panes)) if task.panes else None


def _is_outside(pane: WrittenPane) -> bool:
    """Whether a pane is seen to reach outside the picture."""
    for start, extent in ((pane.left, pane.width), (pane.top, pane.height)):
        if start is not None and (start < -_NUDGE or start + max(extent or 0, 0) > _EDGE):
            return True
    return False


def _panes_overlap(task: WrittenTask) -> bool | None:
    if len(task.panes) < 2:
        return None
    return any(_cover(one, other) for one, other in combinations(task.panes, 2) if one.layer == other.layer)


def _cover(one: WrittenPane, other: WrittenPane) -> bool:
    """Whether two panes have an area in common."""
    return _meet(one.left, one.width, other.left, other.width) and _meet(one.top, one.height, other.top, other.height)


def _meet(start: Decimal | None, extent: Decimal | None, start2: Decimal | None, extent2: Decimal | None) -> bool:
    """Whether two stretches of one line have more than a thousandth in common."""
    if start is None or extent is None or start2 is None or extent2 is None:
        return False
    return min(start + extent, start2 + extent2) - max(start, start2) > _NUDGE


def _render_modes(task: WrittenTask) -> bool | None:
    modes = [task.background_render_mode, *(pane.render_mode for pane in task.panes)]
    return _any_undocumented([mode for mode in modes if mode is not None])


def _follow_idr(task: WrittenTask) -> bool | None:
    return _any_undocumented([number for name, number in task.sei.items() if name.endswith(".FollowIdr")])


def _any_undocumented(switches: list[int]) -> bool | None:
    """Whether any of some numbers is neither 0 nor 1."""
    return any(switch not in {0, 1} for switch in switches) if switches else None


def _sei_interval(task: WrittenTask) -> bool | None:
    intervals = [number for name, number in task.sei.items() if name.endswith(".Interval")]
    return any(_outside(interval, 1000, 5000) for interval in intervals) if intervals else None


def _payload_type(task: WrittenTask) -> bool | None:
    kind = task.sei.get("PayloadType")
    return None if kind is None else kind not in {5, *range(100, 255)}


def _push_auth(state: str) -> Check:
    """Return the check that no key of a task is in a state now, without validities by setting."""

    def violated(task: WrittenTask) -> bool | None:
        keys = [key_of(url, {}) for url in task.urls]
        if all(signer == "none" for signer, _ in keys):
            return None
        return any(state_of(key, time.time()) == state for key in keys)

    return violated


def _old_type_a(task: WrittenTask) -> bool | None:
    """Whether a key of Alibaba's was made over a day ago; how long it is valid is nowhere configured."""
    if all(key_of(url, {})[0] == "none" for url in task.urls):
        return None
    made = [key_of(url, {host_of(url): 0}) for url in task.urls]
    return any(signer == "alibaba" and isinstance(at, int) and at <= time.time() - 86400 for signer, at in made)


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "video-bitrate-out-of-range": _number("VideoBitrate", 1, 10000),
        "video-framerate-out-of-range": _number("VideoFramerate", 1, 60),
        "video-gop-out-of-range": _number("VideoGop", 1, 60),
        "video-size-out-of-range": _of_video(_size),
        "video-size-odd": _of_video(_odd_size),
        "gop-too-long": _of_video(_gop),
        "gop-too-short": _of_video(_short_gop),
        "bits-per-pixel-implausible": _of_video(_bits_per_pixel),
        "video-codec-unknown": _name("VideoCodec"),
        "video-profile-unknown": _name("profile"),
        "video-preset-unknown": _name("preset"),
        "preset-too-slow": _of_video(_preset),
        "profile-does-not-fit-codec": _of_video(_profile),
        "enhanced-param-unreadable": _enhanced,
        "audio-bitrate-out-of-range": lambda task: _outside(task.numbers.get("AudioBitrate"), 8, 500),
        "audio-channels-undocumented": _audio_number("AudioChannels", 1, 2),
        "audio-sample-rate-undocumented": _audio_number("AudioSampleRate", 8000, 16000, 32000, 44100, 48000),
        "idle-timeout-out-of-range": lambda task: _outside(task.idle_timeout_seconds, 10, 24 * 60 * 60),
        "idle-timeout-missing": lambda task: (
            None if "MaxIdleTime" in task.unreadable else task.idle_timeout_seconds is None
        ),
        "region-unknown": lambda task: None if task.region is None else task.region == "other",
        "mix-mode-unknown": lambda task: task.mode == "other",
        "single-without-source": _in_mode("single", _without_source),
        "single-with-transcoding": _in_mode("single", lambda task: task.transcoding),
        "mixed-without-transcoding": _in_mode("mixed", _without_transcoding),
        "mixed-with-source": _in_mode("mixed", lambda task: task.source is not None),
        "encode-params-incomplete": _in_mode("mixed", _incomplete),
        "audio-only-with-layout": _audio_only(lambda task: bool(task.panes)),
        "audio-only-with-video-settings": _audio_only(
            lambda task: bool(task.names) or any(name.startswith("Video") for name in task.numbers)
        ),
        "video-without-layout": _in_mode("mixed", _without_layout),
        "screen-share-without-video": _screen,
        "user-screen-share-without-video": _users_screen,
        "everyone-mixed": _in_mode("mixed", _everyone),
        "push-url-missing": _no_url,
        "push-url-in-both-fields": _both_url_fields,
        "push-auth-expired": _push_auth("expired"),
        "push-auth-expired-at-start": _push_auth("never: who reads a list once saw no task being added"),
        "push-auth-expiring": _push_auth("expiring"),
        "push-auth-malformed": _push_auth("malformed"),
        "push-auth-validity-unknown": _old_type_a,
        "push-url-incomplete": _any_url(is_incomplete),
        "push-url-is-test": _any_url(lambda url: "bandwidthtest=true" in url),
        "push-scheme-unknown": _any_url(lambda url: scheme_of(url) == "other"),
        "push-host-not-public": _any_url(_is_private),
        "h265-over-rtmp": _of_video(_h265),
        "push-url-with-password": _any_url(has_user),
        "panes-outside-canvas": _pane_outside,
        "panes-overlapping": _panes_overlap,
        "pane-user-not-mixed": lambda task: _pane_users(task, lambda streams: not streams),
        "pane-of-audio-user": lambda task: _pane_users(task, lambda streams: streams == {"audio"}),
        "pane-user-twice": _shown_twice,
        "render-mode-undocumented": _render_modes,
        "sei-interval-out-of-range": _sei_interval,
        "sei-payload-type-out-of-range": _payload_type,
        "sei-follow-idr-undocumented": _follow_idr,
        "values-unreadable": lambda task: any(field != "EncodeParams.EnhancedParam" for field in task.unreadable),
        "values-unknown": lambda task: any(field not in _WITH_A_RULE_OF_THEIR_OWN for field in task.undocumented),
    }
)
"""The check of each rule that looks at one task alone."""
