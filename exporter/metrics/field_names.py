"""Which fields of a task can have an unreadable value, and which a value outside a documented set."""

from typing import Final

from exporter.core.task import FIELDS

_CLOSED: Final = frozenset(
    {
        "MixMode",
        "Region",
        "MultiStreamURL.IsAliCdn",
        "SingleSubParams.SourceType",
        "SingleSubParams.StreamType",
        "EncodeParams.AudioOnly",
        "EncodeParams.VideoCodec",
        "EnhancedParam.profile",
        "EnhancedParam.preset",
        "UserInfo.SourceType",
        "UserInfos.SourceType",
        "UserInfos.StreamType",
    }
)
"""Names and truths: whatever else stands there is an unknown value, however odd."""

_READABLE_AND_CLOSED: Final = frozenset(
    {"StreamURL", "MultiStreamURL.URL", "EncodeParams.AudioChannels", "EncodeParams.AudioSampleRate"}
)
"""Numbers and URLs of which some are known: an unreadable one is an error, another one an unknown value."""

FIELDS_WITH_ERRORS: Final = tuple(field for field in FIELDS if field not in _CLOSED)
FIELDS_WITH_KNOWN_VALUES: Final = tuple(field for field in FIELDS if field in _CLOSED | _READABLE_AND_CLOSED)
