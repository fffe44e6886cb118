"""What a configuration says as label values."""

from collections.abc import Callable
from typing import Any

import pytest

from exporter.core.task import UNREADABLE, Audio, Encoding, Source, Video
from exporter.metrics import labels
from tests.metrics.builders import configuration, encoding, push

WIDTH, HEIGHT = "EncodeParams.VideoWidth", "EncodeParams.VideoHeight"


def _resolution(width: int | None, height: int | None, *errors: str) -> str:
    return labels.resolution(Video(width=width, height=height), errors)


def _video(encoding: Encoding | None, *errors: str) -> tuple[str, ...] | None:
    return labels.video(configuration(encoding=encoding, field_errors=errors))


def _audio(encoding: Encoding | None, *errors: str) -> tuple[str, ...] | None:
    return labels.audio(configuration(encoding=encoding, field_errors=errors))


def _of(function: Callable[..., Any], name: str) -> Callable[[Any], Any]:
    """Return what a configuration says in which one thing is set."""
    return lambda value: function(configuration(**{name: value}))


def _tier(**changes: Any) -> str:
    return labels.billing_tier(configuration(**changes))


region, mode = _of(labels.task_region, "region"), _of(labels.mix_mode, "mix_mode")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        *((region(each), each) for each in ("CN-Shanghai", "AP-Singapore")),
        *((region(each), "other") for each in ("Mars", None)),
        *((mode(each), each) for each in ("single", "mixed")),
        (mode("7"), "other"),
        (labels.cdn(push(is_ali_cdn=True)), "alibaba"),
        (labels.cdn(push(is_ali_cdn=False)), "other"),
        (labels.cdn(push(is_ali_cdn=None)), "unknown"),
        *((labels.scheme(push(each)), each) for each in ("rtmp", "rtmps", "srt")),
        *((labels.scheme(push(each)), "other") for each in ("https", "")),
        (labels.source(Source("original", "camera")), ("original", "camera")),
        (labels.source(Source("video", "screen")), ("video", "screen")),
        (labels.source(Source("9", "window")), ("other", "other")),
    ],
)
def test_known_values_are_kept(found: object, expected: object) -> None:
    """What is documented is a value as it is, anything else is other."""
    assert found == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (_resolution(1920, 1080), "1080p"),
        (_resolution(1280, 720), "720p"),
        (_resolution(640, 480), "480p"),
        (_resolution(640, 360), "360p"),
        (_resolution(1080, 1920), "portrait_1080p"),
        (_resolution(360, 640), "portrait_360p"),
        (_resolution(720, 720), "720p"),
        *((_resolution(*odd), "other") for odd in ((1280, 718), (720, 0), (0, 0), (1920, None), (None, 1080))),
        (_resolution(None, None), "none"),
        (_resolution(None, None, WIDTH), "other"),
        (_resolution(None, None, HEIGHT), "other"),
        (_resolution(None, None, "EncodeParams.VideoGop"), "none"),
    ],
)
def test_resolution(found: str, expected: str) -> None:
    """The short side decides and must be met exactly; none is only where both sides are absent."""
    assert found == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            _video(encoding(codec="H.265", profile="main", preset="fast", width=1280, height=720)),
            ("H.265", "main", "fast", "720p"),
        ),
        (_video(encoding()), ("none", "none", "none", "none")),
        (_video(encoding(codec=UNREADABLE, profile="extended", preset="")), ("other", "other", "other", "none")),
        (_video(encoding(codec="H.264"), "EncodeParams.EnhancedParam"), ("H.264", "other", "other", "none")),
        (_video(None), None),
        (_video(encoding(audio_only=True, width=1280, height=720)), None),
        (_audio(encoding(audio=Audio(64, 2, 48000))), ("2", "48000", "false")),
        (_audio(encoding(audio=Audio(64, 1, 44100))), ("1", "44100", "false")),
        (_audio(encoding(audio=Audio(64, 6, 11025))), ("other", "other", "false")),
        (_audio(encoding(audio=Audio())), ("none", "none", "false")),
        (_audio(encoding(audio=Audio()), "EncodeParams.AudioChannels"), ("other", "none", "false")),
        (_audio(encoding(audio=Audio()), "EncodeParams.AudioSampleRate"), ("none", "other", "false")),
        (_audio(encoding(audio_only=True)), ("none", "none", "true")),
        (_audio(None), None),
    ],
)
def test_encoding(found: object, expected: object) -> None:
    """Absent is none; what can't be read or is not known is other; a task without video, or encoding, has no labels."""
    assert found == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (_tier(mix_mode="single", source=Source("audio", "camera")), "single_audio"),
        (_tier(mix_mode="single", source=Source("video", "screen")), "single_video"),
        (_tier(mix_mode="single", source=None), "single_video"),
        (_tier(encoding=encoding(audio_only=True, width=1920, height=1080)), "audio"),
        (_tier(encoding=encoding(width=640, height=480)), "480p"),
        (_tier(encoding=encoding(width=641, height=480)), "720p"),
        (_tier(encoding=encoding(width=1280, height=720)), "720p"),
        (_tier(encoding=encoding(width=1280, height=721)), "above_720p"),
        (_tier(encoding=encoding(width=1280)), "unknown"),
        (_tier(encoding=encoding(width=-1280, height=-720)), "unknown"),
        (_tier(encoding=None), "unknown"),
        (_tier(mix_mode="7", encoding=encoding(width=640, height=480)), "unknown"),
    ],
)
def test_billing_tier(found: str, expected: str) -> None:
    """The tier follows mode, audio and area, and is unknown where one of them is."""
    assert found == expected
