"""Who signed a push URL and when its key expires, which matters when a push starts; a running one goes on."""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

NO_SIGNER: Final = "none"
SIGNERS: Final = (
    NO_SIGNER, "alibaba", "tencent", "huawei", "volcengine", "qiniu", "oss", "wowza", "akamai", "wangsu", "jwt",
)  # fmt: skip
"""The values of the label `signer`."""

UNSIGNED: Final = "unsigned"
UNREADABLE: Final = "unreadable"
MALFORMED_STATE: Final = "malformed"
VALID: Final = "valid"
EXPIRING: Final = "expiring"
EXPIRED: Final = "expired"
STATES: Final = (UNSIGNED, UNREADABLE, MALFORMED_STATE, VALID, EXPIRING, EXPIRED)
"""The values of the label `state` of a push URL's key."""

SHARED_FORMS: Final = {"alibaba": ("alibaba", "huawei"), "tencent": ("tencent", "huawei")}
"""The vendors that a form of signature may be of; a setting decides."""
WITH_VALIDITY: Final = frozenset({"alibaba", "huawei"})
"""The signers whose URLs expire a validity after the time in them, which the push domain's settings decide."""
REMEMBERED_HOSTS: Final = 1024
DAY_SECONDS: Final = 86400

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


class HostSetting(Struct, frozen=True):
    """What is configured for the push URLs of some hosts."""

    hosts: str  # a name or a pattern
    validity_seconds: int | None
    signer: str | None


class Expiry(NamedTuple):
    """What decides the state of a key at any time; equal for all keys that expire together."""

    signer: str
    state: str  # the state for good; empty where time decides
    at: int  # unix seconds; 0 where no time is known


def doubtful_from(expiry: Expiry, time: int) -> int | None:
    """Return the Unix time from which on a key whose expiry is not known may have expired; None: never."""
    return time + DAY_SECONDS if expiry.state == UNREADABLE and is_time(time) else None


class PushAuthSettings(Struct, frozen=True):
    """How the time in a push URL is read."""

    hosts: tuple[HostSetting, ...] = ()  # the first that fits counts
    warning_seconds: float = DAY_SECONDS

    def expiry(self, signer: str, host: str, time: int) -> Expiry:
        """Return the expiry of a key: its signer as it was read, the push URL's host, and the time as it is stored."""
        if signer == NO_SIGNER:
            return Expiry(signer, UNSIGNED, 0)
        signer, validity = _setting(self.hosts, signer, host)
        if time == MALFORMED:
            return Expiry(signer, MALFORMED_STATE, 0)
        if time == NEVER:
            return Expiry(signer, VALID, 0)
        if time == NO_TIME or validity is None:
            return Expiry(signer, UNREADABLE, 0)
        return Expiry(signer, "", time + validity)

    def signer(self, signer: str, host: str) -> str:
        """Return who signed a push URL, as it was read, by the settings of its host."""
        return signer if signer == NO_SIGNER else _setting(self.hosts, signer, host)[0]

    def state(self, expiry: Expiry, now: float) -> str:
        """Return the state of a key, one of `STATES`."""
        if expiry.state:
            return expiry.state
        if now >= expiry.at:
            return EXPIRED
        return EXPIRING if now >= expiry.at - self.warning_seconds else VALID

    def next_change(self, expiry: Expiry, now: float) -> float | None:
        """Return when the state of a key is another one; None: never."""
        if expiry.state or now >= expiry.at:
            return None
        warned_at = expiry.at - self.warning_seconds
        return warned_at if now < warned_at else expiry.at


DEFAULTS: Final = PushAuthSettings()


@lru_cache(maxsize=REMEMBERED_HOSTS)
def _setting(hosts: tuple[HostSetting, ...], signer: str, host: str) -> tuple[str, int | None]:
    """Return the signer, and what to add to the time in the URL; None: that is not known."""
    vendors = SHARED_FORMS.get(signer, (signer,))
    for setting in hosts:
        if fnmatchcase(host, setting.hosts) and (setting.signer is None or setting.signer in vendors):
            actual = setting.signer or signer
            if actual in WITH_VALIDITY:
                return actual, setting.validity_seconds
            return actual, 0
    return signer, None if signer in WITH_VALIDITY else 0
