"""What a configuration says as label values."""

import pytest

from exporter.core.task import UNREADABLE, Audio, Source, Video
from exporter.metrics import labels
from tests.metrics.builders import configuration, encoding, push


@pytest.mark.parametrize(
    ("region", "expected"),
    [("CN-Shanghai", "CN-Shanghai"), ("AP-Singapore", "AP-Singapore"), ("Mars", "other"), (None, "other")],
)
def test_task_region(region: str | None, expected: str) -> None:
    """A region that is not documented is other, and so is an absent one."""
    assert labels.task_region(configuration(region=region)) == expected


@pytest.mark.parametrize(("mode", "expected"), [("single", "single"), ("mixed", "mixed"), ("7", "other")])
def test_mix_mode(mode: str, expected: str) -> None:
    """A mode that is not documented is other."""
    assert labels.mix_mode(configuration(mix_mode=mode)) == expected


@pytest.mark.parametrize(("is_ali_cdn", "expected"), [(True, "alibaba"), (False, "other"), (None, "unknown")])
def test_cdn(is_ali_cdn: bool | None, expected: str) -> None:
    """An output of which nothing says whose CDN it is has an unknown one."""
    assert labels.cdn(push(is_ali_cdn=is_ali_cdn)) == expected


@pytest.mark.parametrize(
    ("scheme", "expected"), [("rtmp", "rtmp"), ("rtmps", "rtmps"), ("srt", "srt"), ("https", "other"), ("", "other")]
)
def test_scheme(scheme: str, expected: str) -> None:
    """A scheme that is not known, or none, is other."""
    assert labels.scheme(push(scheme)) == expected


@pytest.mark.parametrize(
    ("width", "height", "errors", "expected"),
    [
        (1920, 1080, (), "1080p"),
        (1280, 720, (), "720p"),
        (640, 480, (), "480p"),
        (640, 360, (), "360p"),
        (1080, 1920, (), "portrait_1080p"),
        (360, 640, (), "portrait_360p"),
        (720, 720, (), "720p"),
        (1280, 718, (), "other"),
        (720, 0, (), "other"),
        (0, 0, (), "other"),
        (1920, None, (), "other"),
        (None, 1080, (), "other"),
        (None, None, (), "none"),
        (None, None, ("EncodeParams.VideoWidth",), "other"),
        (None, None, ("EncodeParams.VideoHeight",), "other"),
        (None, None, ("EncodeParams.VideoGop",), "none"),
    ],
)
def test_resolution(width: int | None, height: int | None, errors: tuple[str, ...], expected: str) -> None:
    """The short side decides and must be met exactly; none is only where both sides are absent."""
    assert labels.resolution(Video(width=width, height=height), errors) == expected


def test_video_labels_of_a_full_task() -> None:
    """Each of the four labels takes what is documented as it is."""
    full = encoding(codec="H.265", profile="main", preset="fast", width=1280, height=720)
    assert labels.video(configuration(encoding=full)) == ("H.265", "main", "fast", "720p")


def test_video_labels_tell_absent_from_unreadable() -> None:
    """Absent is none; what can't be read or is not known is other."""
    assert labels.video(configuration(encoding=encoding())) == ("none", "none", "none", "none")
    odd = encoding(codec=UNREADABLE, profile="extended", preset="")
    assert labels.video(configuration(encoding=odd)) == ("other", "other", "other", "none")


def test_an_unreadable_enhanced_param_makes_profile_and_preset_other() -> None:
    """JSON text that can't be parsed hides both: they are not absent."""
    broken = configuration(encoding=encoding(codec="H.264"), field_errors=("EncodeParams.EnhancedParam",))
    assert labels.video(broken) == ("H.264", "other", "other", "none")


@pytest.mark.parametrize("without_video", [None, encoding(audio_only=True, width=1280, height=720)])
def test_audio_only_tasks_and_those_without_encoding_have_no_video_labels(without_video: None) -> None:
    """Such tasks are not counted by video."""
    assert labels.video(configuration(encoding=without_video)) is None


@pytest.mark.parametrize(
    ("audio", "errors", "expected"),
    [
        (Audio(64, 2, 48000), (), ("2", "48000", "false")),
        (Audio(64, 1, 44100), (), ("1", "44100", "false")),
        (Audio(64, 6, 11025), (), ("other", "other", "false")),
        (Audio(), (), ("none", "none", "false")),
        (Audio(), ("EncodeParams.AudioChannels",), ("other", "none", "false")),
        (Audio(), ("EncodeParams.AudioSampleRate",), ("none", "other", "false")),
    ],
)
def test_audio_labels(audio: Audio, errors: tuple[str, ...], expected: tuple[str, str, str]) -> None:
    """A number that is absent is none; one that can't be read or is not known is other."""
    assert labels.audio(configuration(encoding=encoding(audio=audio), field_errors=errors)) == expected


def test_audio_labels_of_an_audio_only_task() -> None:
    """An audio-only task is counted by audio too, and says so."""
    assert labels.audio(configuration(encoding=encoding(audio_only=True))) == ("none", "none", "true")


def test_a_task_without_encoding_has_no_audio_labels() -> None:
    """Such a task is not counted by audio."""
    assert labels.audio(configuration()) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source("original", "camera"), ("original", "camera")),
        (Source("video", "screen"), ("video", "screen")),
        (Source("9", "window"), ("other", "other")),
    ],
)
def test_source_labels(source: Source, expected: tuple[str, str]) -> None:
    """A stream or source type that is not known is other."""
    assert labels.source(source) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mix_mode": "single", "source": Source("audio", "camera")}, "single_audio"),
        ({"mix_mode": "single", "source": Source("video", "screen")}, "single_video"),
        ({"mix_mode": "single", "source": None}, "single_video"),
        ({"encoding": encoding(audio_only=True, width=1920, height=1080)}, "audio"),
        ({"encoding": encoding(width=640, height=480)}, "480p"),
        ({"encoding": encoding(width=641, height=480)}, "720p"),
        ({"encoding": encoding(width=1280, height=720)}, "720p"),
        ({"encoding": encoding(width=1280, height=721)}, "above_720p"),
        ({"encoding": encoding(width=1280)}, "unknown"),
        ({"encoding": encoding(width=-1280, height=-720)}, "unknown"),
        ({"encoding": None}, "unknown"),
        ({"mix_mode": "7", "encoding": encoding(width=640, height=480)}, "unknown"),
    ],
)
def test_billing_tier(changes: dict[str, object], expected: str) -> None:
    """The tier follows mode, audio and area, and is unknown where one of them is."""
    assert labels.billing_tier(configuration(**changes)) == expected
