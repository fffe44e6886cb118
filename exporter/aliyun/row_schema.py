"""The documented shape of one row, as types that the decoder fills by itself; attributes have the vendor's names.

Leaves are whatever JSON they come as. A row that strays from the shape is read by `lenient_json.py`.
"""

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct, field

Leaf = Any

_Decoded = TypeVar("_Decoded")

# A longer list is unreadable as a whole, and its task is shown without it.
MAX_URLS: Final = 100
MAX_PANES: Final = 100
MAX_USERS: Final = 1000

_LISTS: Final = frozenset({"multi_stream_url", "user_panes", "user_infos"})  # which say nothing where they are empty
_NOTHING: Final = (None, "")


class Part(Struct, forbid_unknown_fields=True, rename="pascal", omit_defaults=True, gc=False):
    """An object of the row; what is absent from it is None."""


class Stream(Part):
    """One of MultiStreamURL."""

    url: Leaf = field(name="URL", default=None)
    is_ali_cdn: Leaf = None


class SingleSubParams(Part):
    """The stream that a single-stream task relays."""

    source_type: Leaf = None
    stream_type: Leaf = None
    user_id: Leaf = None


class Background(Part):
    """The image behind the panes."""

    render_mode: Leaf = None
    url: Leaf = field(name="URL", default=None)


class EncodeParams(Part):
    """What the output is encoded to."""

    audio_only: Leaf = None
    audio_bitrate: Leaf = None
    audio_channels: Leaf = None
    audio_sample_rate: Leaf = None
    video_codec: Leaf = None
    video_bitrate: Leaf = None
    video_framerate: Leaf = None
    video_gop: Leaf = None
    video_height: Leaf = None
    video_width: Leaf = None
    enhanced_param: Leaf = None  # an `EnhancedParam` that is written as JSON text


class EnhancedParam(Part, rename=None):
    """The encoder's settings; their keys are lower case."""

    profile: Leaf = None
    preset: Leaf = None


class PaneUser(Part):
    """Who is shown in a pane."""

    source_type: Leaf = None
    channel_id: Leaf = None
    user_id: Leaf = None


class UserPane(Part):
    """One of UserPanes."""

    user_info: PaneUser | None = None
    height: Leaf = None
    width: Leaf = None
    x: Leaf = None
    y: Leaf = None
    z_order: Leaf = None
    background_image_url: Leaf = None
    render_mode: Leaf = None


class Layout(Part):
    """Where the panes are."""

    user_panes: Annotated[list[UserPane], Meta(max_length=MAX_PANES)] | None = None


class UserInfo(Part):
    """One of UserInfos: whose stream is mixed."""

    channel_id: Leaf = None
    user_id: Leaf = None
    source_type: Leaf = None
    stream_type: Leaf = None


class LayoutVolume(Part):
    """How often the layout and the volumes are written into the stream."""

    follow_idr: Leaf = None
    interval: Leaf = None


class PassThrough(Part):
    """What else is written into the stream."""

    follow_idr: Leaf = None
    interval: Leaf = None
    payload_content: Leaf = None
    payload_content_key: Leaf = None
    payload_type: Leaf = None


class SeiParams(Part):
    """Supplemental information in the stream; the documents show PayloadType both here and in PassThrough."""

    layout_volume: LayoutVolume | None = None
    pass_through: PassThrough | None = None
    payload_type: Leaf = None


class TranscodeParams(Part):
    """How streams are mixed and encoded."""

    background: Background | None = None
    encode_params: EncodeParams | None = None
    layout: Layout | None = None
    user_infos: Annotated[list[UserInfo], Meta(max_length=MAX_USERS)] | None = None
    sei_params: SeiParams | None = None


class Row(Part):
    """One task; the documents show SeiParams both here and in TranscodeParams."""

    app_id: Leaf = None
    channel_id: Leaf = None
    task_id: Leaf = None
    mix_mode: Leaf = None
    stream_url: Leaf = field(name="StreamURL", default=None)
    region: Leaf = None
    max_idle_time: Leaf = None
    multi_stream_url: Annotated[list[Stream], Meta(max_length=MAX_URLS)] | None = field(
        name="MultiStreamURL", default=None
    )
    single_sub_params: SingleSubParams | None = None
    transcode_params: TranscodeParams | None = None
    sei_params: SeiParams | None = None


def decoder_of(shape: type[_Decoded]) -> msgspec.json.Decoder[_Decoded]:
    """Return a decoder of JSON in which no number costs much: msgspec's own reading of `1e300` takes 20 us."""
    return msgspec.json.Decoder(shape, float_hook=float)


def is_set(part: Part | None) -> bool:
    """Whether anything is said in an object; one that says nothing means the same as its absence."""
    if part is not None:
        for name, value in zip(part.__struct_fields__, msgspec.structs.astuple(part), strict=True):
            if is_set(value) if isinstance(value, Part) else value not in _NOTHING and (value or name not in _LISTS):
                return True
    return False
