"""What the owners of the demonstration's apps expect of their tasks: it finds what no rule for everyone can know."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from exporter.config.policy_model import Expect, Range

_PUSH_HOSTS: Final = ("push.live.example.com", "*.partner.example.net")

EXPECTATIONS: Final[Mapping[str, Expect]] = MappingProxyType(
    {
        "live-main": Expect(
            push_hosts=_PUSH_HOSTS,
            push_schemes=("rtmp", "rtmps"),
            resolution=("1080p", "720p", "480p", "portrait_720p", "portrait_360p"),
            video_bitrate_kbps=Range(least=300.0, most=3000.0),
            video_framerate=Range(least=15.0),
            idle_timeout_seconds=Range(most=3600.0),
            tasks=Range(least=1000.0, most=6000.0),
        ),
        "live-events": Expect(video_codec=("H.264", "H.265"), push_hosts=_PUSH_HOSTS),
        "education": Expect(mix_mode=("mixed",), tasks=Range(most=60.0)),
        "relay-only": Expect(mix_mode=("single",), outputs=Range(most=1.0)),
        "staging-stage": Expect(
            region=("CN-Shanghai", "AP-Singapore"),
            push_hosts=_PUSH_HOSTS,
            video_bitrate_kbps=Range(most=3000.0),
            idle_timeout_seconds=Range(most=3600.0),
        ),
    }
)
"""By AppId."""
