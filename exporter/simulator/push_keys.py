"""Push URLs with keys that expire, in the form of several vendors. The signatures are random digits."""

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from exporter.simulator.fleet import Body, merged

ALIBABA_HOST: Final = "push.live.example.com"
ALIBABA_VALIDITY_SECONDS: Final = 1800
"""What the domain adds to the time in a key of Alibaba's; the keys of `TaskMaker` are of the same domain."""
PARTNER_HOST: Final = "ingest.partner.example.net"

_QUERIES: Final[Mapping[str, Callable[[int, str], str]]] = MappingProxyType(
    {
        "alibaba": lambda at, digits: f"auth_key={at - ALIBABA_VALIDITY_SECONDS}-0-0-{digits}",
        "tencent": lambda at, digits: f"txSecret={digits}&txTime={at:X}",
        "volcengine": lambda at, digits: f"volcSecret={digits}&volcTime={at}",
        "qiniu": lambda at, digits: f"expire={at}&token={digits}",
        "oss": lambda at, digits: f"OSSAccessKeyId=key&Expires={at}&Signature={digits}",
        "wangsu": lambda at, digits: f"wsSecret={digits}&wsTime={at:x}",
    }
)
SIGNERS: Final = tuple(_QUERIES)

_HOUR: Final = 3600
LIFETIMES: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "key_expired": ("tencent", -_HOUR),
        "key_expired_days_ago": ("alibaba", -50 * _HOUR),
        **{
            f"key_expires_{2**place}min": (SIGNERS[place % len(SIGNERS)], 60 * 2**place) for place in range(10)
        },  # a minute to 8.5 h: something expires however long one looks
        **{f"key_valid_{signer}": (signer, 30 * 24 * _HOUR) for signer in SIGNERS},
        "key_with_a_late_time": ("volcengine", 200 * 365 * 24 * _HOUR),
    }
)
"""The demonstration's keys: signer, and in how many seconds from the start each expires."""


def signed(body: Body, signer: str, expires_at: float, random: Random) -> Body:
    """Return a task that pushes to one URL, whose key expires at a Unix time."""
    query = _QUERIES[signer](int(expires_at), f"{random.getrandbits(128):032x}")
    is_ali_cdn = signer == "alibaba"
    host = ALIBABA_HOST if is_ali_cdn else PARTNER_HOST
    url = f"rtmp://{host}/signed/{body['TaskId']}?{query}"
    return merged(body, {"StreamURL": None, "MultiStreamURL": [{"URL": url, "IsAliCdn": is_ali_cdn}]})
