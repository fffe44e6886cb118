"""Who signed a push URL and when its key expires: the closed lists, and what a stored time means.

RTMP keys are checked when a push starts: a task with an expired key keeps running, and cannot reconnect.
"""

from typing import Final

NO_SIGNER: Final = "none"
SIGNERS: Final = (
    NO_SIGNER,
    "alibaba",
    "tencent",
    "huawei",
    "volcengine",
    "qiniu",
    "oss",
    "wowza",
    "akamai",
    "wangsu",
    "jwt",
)
"""The values of the label `signer`."""

TIME_BYTES: Final = 4  # size of the time that a task keeps of each output: big-endian Unix seconds, or a code below
NO_TIME: Final = 0  # the URL is unsigned, or its time cannot be read
MALFORMED: Final = 1
"""The URL states milliseconds, decimal digits where hexadecimal ones belong, or a time outside 2010 to 2100."""
NEVER: Final = 2**32 - 1  # the URL states that its key does not expire
EARLIEST: Final = 1_262_304_000  # 2010-01-01: no earlier time is taken for an expiry
LATEST: Final = 4_102_444_800  # 2100-01-01


def is_time(time: int) -> bool:
    """Whether a stored time is Unix seconds, not a code."""
    return EARLIEST <= time < LATEST
