"""Tasks that are set up wrongly, and values that nobody would write: each by name, made from an ordinary mixed task.

The names are kept with the tasks as marks, so that a count of what is wrong can be held against them.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from exporter.simulator.fleet import Body, merged

Change = Callable[[Body], Body]


def _patched(**patch: Any) -> Change:
    """Return a change that merges `patch` into the task."""
    return lambda body: merged(body, patch)


def _encoded(**patch: Any) -> Change:
    """Return a change of EncodeParams."""
    return _patched(TranscodeParams={"EncodeParams": patch})


def _transcoded_with(name: str, value: Any) -> Change:
    """Return a change that puts `value`, null included, into TranscodeParams."""
    return lambda body: {**body, "TranscodeParams": {**body["TranscodeParams"], name: value}}


def _pushed_to(url: str, *, is_ali_cdn: bool = True) -> Change:
    """Return a change of all outputs."""
    return _patched(MultiStreamURL=[{"URL": url, "IsAliCdn": is_ali_cdn}])


def _overlapping_panes(body: Body) -> Body:
    """Put all panes over one another, in one layer."""
    panes = body["TranscodeParams"]["Layout"]["UserPanes"]
    moved = [{**pane, "X": "0.1", "Y": "0.1", "Width": "0.8", "Height": "0.8", "ZOrder": "0"} for pane in panes]
    return merged(body, {"TranscodeParams": {"Layout": {"UserPanes": moved}}})


def _pane_outside(body: Body) -> Body:
    """Let a pane reach out of the picture."""
    first, *others = body["TranscodeParams"]["Layout"]["UserPanes"]
    moved = [{**first, "X": "0.8", "Width": "0.5"}, *others]
    return merged(body, {"TranscodeParams": {"Layout": {"UserPanes": moved}}})


def _unreadable_pane(body: Body) -> Body:
    """Give a pane a place that is no number."""
    first, *others = body["TranscodeParams"]["Layout"]["UserPanes"]
    moved = [{**first, "X": "left"}, *others]
    return merged(body, {"TranscodeParams": {"Layout": {"UserPanes": moved}}})


MISCONFIGURATIONS: Final[Mapping[str, Change]] = MappingProxyType(
    {
        "bitrate_too_high": _encoded(VideoBitrate="8000"),
        "no_idle_timeout": _patched(MaxIdleTime=None),
        "idle_timeout_too_long": _patched(MaxIdleTime="86400"),
        "wrong_region": _patched(Region="EMAA-Saudi"),
        "foreign_push_host": _pushed_to("rtmp://ingest.unknown-partner.example.org/live/a1", is_ali_cdn=False),
        "duplicate_push_url": _pushed_to("rtmp://push.live.example.com/stage/twice"),
        "password_in_url": _pushed_to("rtmp://studio:example-password@push.live.example.com/stage/b2"),
        "slow_preset": _encoded(EnhancedParam='{"profile":"high","preset":"placebo"}'),
        "gop_too_long": _encoded(VideoGop="60", VideoFramerate="5"),
        "framerate_too_low": _encoded(VideoFramerate="5", VideoGop="10"),
        "overlapping_panes": _overlapping_panes,
        "pane_outside": _pane_outside,
        "odd_resolution": _encoded(VideoWidth="1000", VideoHeight="1000"),
        "h265_with_high_profile": _encoded(VideoCodec="H.265", EnhancedParam='{"profile":"high","preset":"fast"}'),
        "both_url_fields": _patched(StreamURL="rtmp://push.live.example.com/stage/other"),
        "single_with_transcoding": _patched(MixMode="0", SingleSubParams={"StreamType": "0", "UserId": "user-1"}),
    }
)
"""What a rule should find."""

ODD_VALUES: Final[Mapping[str, Change]] = MappingProxyType(
    {
        "unreadable_bitrate": _encoded(VideoBitrate="1500kbps"),
        "unreadable_idle_timeout": _patched(MaxIdleTime="never"),
        "unreadable_pane": _unreadable_pane,
        "unknown_codec": _encoded(VideoCodec="AV1"),
        "unknown_region": _patched(Region="EU-Frankfurt"),
        "other_case_region": _patched(Region="CN-shanghai"),
        "no_region": _patched(Region=None),
        "unknown_mix_mode": _patched(MixMode="7"),
        "enhanced_param_not_json": _encoded(EnhancedParam="profile=high"),
        "empty_layout_volume": _patched(SeiParams={"LayoutVolume": ""}),
        "payload_type_below": lambda body: merged(
            body, {"SeiParams": {"PayloadType": None, "PassThrough": {"PayloadType": "120"}}}
        ),
        "payload_type_twice": _patched(SeiParams={"PassThrough": {"PayloadType": "100"}}),
        "new_fields": _patched(StreamQuality={"Level": "3"}, TranscodeParams={"Watermark": {"URL": "x"}}),
        "numbers_as_numbers": _encoded(VideoBitrate=1500, VideoFramerate=25, AudioBitrate=128),
        "null_user_infos": _transcoded_with("UserInfos", None),
        "null_layout": _transcoded_with("Layout", None),
        "empty_strings": _patched(SeiParams="", SingleSubParams="", StreamURL=""),
        "null_everything": lambda body: {**body, "TranscodeParams": None, "SeiParams": None, "MultiStreamURL": None},
        "unknown_channels": _encoded(AudioChannels="6"),
        "only_a_width": _encoded(VideoHeight=None),
    }
)
"""What must be read without losing the task."""
