"""Tasks as a service creates them: few configurations shared by most, identities of their own, and odd ones.

A typical mixed task is about 2.7 kB of JSON, a single-stream one about 350 bytes.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from msgspec import Struct

Body = dict[str, Any]


def merged(body: Body, patch: Mapping[str, Any]) -> Body:
    """Return `body` with a JSON merge patch (RFC 7396) applied."""
    result = dict(body)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def seeded(seed: int, purpose: str) -> Random:
    """Return the random numbers of one purpose."""
    return Random(f"{seed}/{purpose}")  # noqa: S311 - a simulation repeats itself, and keeps no secrets


class Template(Struct, frozen=True):
    """One configuration that many mixed tasks share."""

    weight: int
    region: str
    width: int
    height: int
    framerate: int
    gop: int
    video_kbps: int
    audio_kbps: int
    codec: str = "H.264"
    profile: str = "high"
    preset: str = "veryfast"
    panes: int = 4
    idle_timeout_seconds: int = 300
    relayed_abroad: bool = False  # pushed to a second place outside the vendor's network too


TEMPLATES: Final = (
    Template(40, "CN-Shanghai", 1280, 720, 25, 50, 1500, 128),
    Template(20, "CN-Shanghai", 1920, 1080, 30, 60, 3000, 192, relayed_abroad=True),
    Template(12, "AP-Singapore", 1280, 720, 25, 50, 1800, 128, profile="main"),
    Template(10, "CN-Shanghai", 720, 1280, 24, 48, 1500, 64, panes=2, idle_timeout_seconds=120),
    Template(8, "EMAA-Saudi", 640, 480, 20, 40, 600, 64, profile="baseline", preset="superfast"),
    Template(6, "AP-Singapore", 1920, 1080, 30, 60, 2500, 128, codec="H.265", profile="main", preset="fast"),
    Template(4, "CN-Shanghai", 360, 640, 15, 30, 400, 48, panes=1, idle_timeout_seconds=600),
)
"""The configurations, with how common they are."""

_GRIDS: Final = {
    1: (("0", "0", "1", "1"),),
    2: (("0", "0", "0.5", "1"), ("0.5", "0", "0.5", "1")),
    4: (("0", "0", "0.5", "0.5"), ("0.5", "0", "0.5", "0.5"), ("0", "0.5", "0.5", "0.5"), ("0.5", "0.5", "0.5", "0.5")),
}


class TaskMaker:
    """Makes the JSON objects of new tasks, the same ones from the same `random`."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._weights = [template.weight for template in TEMPLATES]

    def any(self, app_id: str, *, mixed_share: float = 0.85) -> Body:
        """Return a task that is mixed with the probability `mixed_share`, and audio-only now and then."""
        if self._random.random() >= mixed_share:
            return self.single(app_id)
        return self.audio_only(app_id) if self._random.random() < 0.04 else self.mixed(app_id)

    def mixed(self, app_id: str, template: Template | None = None) -> Body:
        """Return a mixed task with video."""
        if template is None:
            template = self._random.choices(TEMPLATES, self._weights)[0]
        channel_id, users = self._channel(), [self._user() for _ in range(template.panes)]
        return {
            **self._common(app_id, channel_id, "1", template.region, str(template.idle_timeout_seconds)),
            "MultiStreamURL": self._outputs(channel_id, relayed_abroad=template.relayed_abroad),
            "TranscodeParams": {
                "Background": {"RenderMode": "1", "URL": "https://assets.example.com/backgrounds/studio-blue.png"},
                "EncodeParams": _encode_params(template),
                "Layout": {
                    "UserPanes": [
                        _pane(channel_id, user, place, rectangle)
                        for place, (user, rectangle) in enumerate(zip(users, _GRIDS[template.panes], strict=True))
                    ]
                },
                "UserInfos": [_user_info(channel_id, user) for user in users],
            },
            "SeiParams": {
                "LayoutVolume": {"FollowIdr": "1", "Interval": "1000"},
                "PassThrough": {
                    "FollowIdr": "0",
                    "Interval": "2000",
                    "PayloadContent": f"room={channel_id}",
                    "PayloadContentKey": "udd",
                },
                "PayloadType": "100",
            },
        }

    def audio_only(self, app_id: str) -> Body:
        """Return a mixed task without video and layout."""
        channel_id = self._channel()
        return {
            **self._common(app_id, channel_id, "1", "CN-Shanghai", "600"),
            "MultiStreamURL": self._outputs(channel_id),
            "TranscodeParams": {
                "EncodeParams": {
                    "AudioOnly": "true",
                    "AudioBitrate": "64",
                    "AudioChannels": "1",
                    "AudioSampleRate": "44100",
                },
                "UserInfos": [_user_info(channel_id, self._user()) for _ in range(2)],
            },
        }

    def single(self, app_id: str) -> Body:
        """Return a task that relays one stream as it is."""
        channel_id, stream_type = self._channel(), self._random.choice("00012")
        return {
            **self._common(app_id, channel_id, "0", self._random.choice(TEMPLATES).region, "300"),
            "StreamURL": f"rtmp://ingest.partner.example.net/relay/{channel_id}",
            "SingleSubParams": {
                "SourceType": "shareScreen" if stream_type == "2" else "camera",
                "StreamType": stream_type,
                "UserId": self._user(),
            },
        }

    def _common(self, app_id: str, channel_id: str, mix_mode: str, region: str, idle_timeout: str) -> Body:
        return {
            "AppId": app_id,
            "ChannelId": channel_id,
            "TaskId": f"{self._random.getrandbits(128):032x}",
            "MixMode": mix_mode,
            "Region": region,
            "MaxIdleTime": idle_timeout,
        }

    def _outputs(self, channel_id: str, *, relayed_abroad: bool = False) -> list[Body]:
        key = f"{self._random.getrandbits(128):032x}"
        outputs: list[Body] = [
            {"URL": f"rtmp://push.live.example.com/stage/{channel_id}?auth_key=1893456000-0-0-{key}", "IsAliCdn": True}
        ]
        if relayed_abroad:
            outputs.append({"URL": f"rtmps://ingest.partner.example.net:443/live/{channel_id}", "IsAliCdn": False})
        return outputs

    def _channel(self) -> str:
        return f"channel-{self._random.getrandbits(40):010x}"

    def _user(self) -> str:
        return f"user-{self._random.getrandbits(96):024x}"


def _encode_params(template: Template) -> Body:
    return {
        "AudioOnly": "false",
        "AudioBitrate": str(template.audio_kbps),
        "AudioChannels": "2",
        "AudioSampleRate": "48000",
        "VideoCodec": template.codec,
        "VideoBitrate": str(template.video_kbps),
        "VideoFramerate": str(template.framerate),
        "VideoGop": str(template.gop),
        "VideoHeight": str(template.height),
        "VideoWidth": str(template.width),
        "EnhancedParam": f'{{"profile":"{template.profile}","preset":"{template.preset}"}}',
    }


def _pane(channel_id: str, user_id: str, place: int, rectangle: tuple[str, str, str, str]) -> Body:
    x, y, width, height = rectangle
    return {
        "UserInfo": {"SourceType": "camera", "ChannelId": channel_id, "UserId": user_id},
        "Height": height,
        "Width": width,
        "X": x,
        "Y": y,
        "ZOrder": str(place),
        "BackgroundImageUrl": "https://assets.example.com/placeholders/camera-off.png?x-oss-process=image/resize,w_640,h_360",
        "RenderMode": "1",
    }


def _user_info(channel_id: str, user_id: str) -> Body:
    return {"ChannelId": channel_id, "UserId": user_id, "SourceType": "camera", "StreamType": "0"}


Change = Callable[[Body], Body]


def _patched(**patch: Any) -> Change:
    return lambda body: merged(body, patch)


def _encoded(**patch: Any) -> Change:
    return _patched(TranscodeParams={"EncodeParams": patch})


def _transcoded_with(name: str, value: Any) -> Change:
    return lambda body: {**body, "TranscodeParams": {**body["TranscodeParams"], name: value}}


def _pushed_to(url: str, *, is_ali_cdn: bool = True) -> Change:
    return _patched(MultiStreamURL=[{"URL": url, "IsAliCdn": is_ali_cdn}])


def _with_panes(change: Callable[[list[Body]], list[Body]]) -> Change:
    return lambda body: merged(
        body, {"TranscodeParams": {"Layout": {"UserPanes": change(body["TranscodeParams"]["Layout"]["UserPanes"])}}}
    )


def _with_first_pane(**patch: Any) -> Change:
    return _with_panes(lambda panes: [merged(panes[0], patch), *panes[1:]])


MISCONFIGURATIONS: Final[Mapping[str, Change]] = {
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
    "overlapping_panes": _with_panes(
        lambda panes: [
            {**pane, "X": "0.1", "Y": "0.1", "Width": "0.8", "Height": "0.8", "ZOrder": "0"} for pane in panes
        ]
    ),
    "pane_outside": _with_first_pane(X="0.8", Width="0.5"),
    "pane_of_a_stranger": _with_first_pane(UserInfo={"UserId": "user-who-left"}),
    "odd_resolution": _encoded(VideoWidth="1000", VideoHeight="1000"),
    "odd_width": _encoded(VideoWidth="853", VideoHeight="480"),
    "short_gop": _encoded(VideoGop="10"),
    "private_push_host": _pushed_to("rtmp://192.168.20.4/stage/c3", is_ali_cdn=False),
    "test_stream": _pushed_to("rtmp://live.twitch.tv/app/live_c4?bandwidthtest=true", is_ali_cdn=False),
    "h265_with_high_profile": _encoded(VideoCodec="H.265", EnhancedParam='{"profile":"high","preset":"fast"}'),
    "both_url_fields": _patched(StreamURL="rtmp://push.live.example.com/stage/other"),
    "single_with_transcoding": _patched(MixMode="0", SingleSubParams={"StreamType": "0", "UserId": "user-1"}),
}
"""What a rule should find."""

ODD_VALUES: Final[Mapping[str, Change]] = {
    "unreadable_bitrate": _encoded(VideoBitrate="1500kbps"),
    "unreadable_idle_timeout": _patched(MaxIdleTime="never"),
    "unreadable_pane": _with_first_pane(X="left"),
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
"""What must be read without losing the task."""


ALIBABA_HOST: Final = "push.live.example.com"
ALIBABA_VALIDITY_SECONDS: Final = 1800
"""What the domain adds to the time in a key of Alibaba's; the keys of `TaskMaker` are of the same domain."""
PARTNER_HOST: Final = "ingest.partner.example.net"

_QUERIES: Final[Mapping[str, Callable[[int, str], str]]] = {
    "alibaba": lambda at, digits: f"auth_key={at - ALIBABA_VALIDITY_SECONDS}-0-0-{digits}",
    "tencent": lambda at, digits: f"txSecret={digits}&txTime={at:X}",
    "volcengine": lambda at, digits: f"volcSecret={digits}&volcTime={at}",
    "qiniu": lambda at, digits: f"expire={at}&token={digits}",
    "oss": lambda at, digits: f"OSSAccessKeyId=key&Expires={at}&Signature={digits}",
    "wangsu": lambda at, digits: f"wsSecret={digits}&wsTime={at:x}",
}
SIGNERS: Final = tuple(_QUERIES)

_HOUR: Final = 3600
LIFETIMES: Final[Mapping[str, tuple[str, int]]] = {
    "key_expired": ("tencent", -_HOUR),
    "key_expired_days_ago": ("alibaba", -50 * _HOUR),
    **{
        f"key_expires_{2**place}min": (SIGNERS[place % len(SIGNERS)], 60 * 2**place) for place in range(10)
    },  # a minute to 8.5 h: something expires however long one looks
    **{f"key_valid_{signer}": (signer, 30 * 24 * _HOUR) for signer in SIGNERS},
    "key_with_a_late_time": ("volcengine", 200 * 365 * 24 * _HOUR),
}
"""The demonstration's keys: signer, and in how many seconds from the start each expires."""


def signed(body: Body, signer: str, expires_at: float, random: Random) -> Body:
    """Return a task that pushes to one URL, whose key expires at a Unix time."""
    query = _QUERIES[signer](int(expires_at), f"{random.getrandbits(128):032x}")
    is_ali_cdn = signer == "alibaba"
    host = ALIBABA_HOST if is_ali_cdn else PARTNER_HOST
    url = f"rtmp://{host}/signed/{body['TaskId']}?{query}"
    return merged(body, {"StreamURL": None, "MultiStreamURL": [{"URL": url, "IsAliCdn": is_ali_cdn}]})
