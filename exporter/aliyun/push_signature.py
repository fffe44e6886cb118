"""Which vendor's signature a push URL carries and the time in it: one small reader for each form.

The forms are the vendors' documented ones (Wangsu's and JWT's are common knowledge). Readers get hostile text: they are
bounded by what `push_url` passes and never raise.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import Final

import msgspec

from exporter.core.push_auth import EARLIEST, LATEST, MALFORMED, NEVER, NO_SIGNER, NO_TIME

_TYPE_A: Final = re.compile(r"([0-9]{9,20})-[^-]+-[^-]*-[0-9a-f]{32}")
_AKAMAI: Final = re.compile(r"(?:^|~)exp=([0-9]{1,20})(?=~)")
_JWT: Final = re.compile(r"eyJ[\w-]*+\.([\w-]++)\.[\w-]*+", re.ASCII)
SRT_MODE_KEY: Final = "m"  # `m=publish` in the stream id of SRT
LONGEST_TOKEN: Final = 1024  # characters of a JWT whose claims are read
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,16}")
_HEX_32: Final = re.compile(r"[0-9A-Fa-f]{32}")
_HEX_64: Final = re.compile(r"[0-9A-Fa-f]{64}")
_HEX_32_OR_64: Final = re.compile(r"(?:[0-9A-Fa-f]{32}){1,2}")

_Values = Mapping[str, str]
_Reader = Callable[[_Values], int | None]
"""Returns the time in a query that has a form's first key; None if it is not this form."""

Signature = tuple[str, int, tuple[str, ...]]
"""The signer; Unix seconds or one of the codes of `core.push_auth`; and the query keys that belong to signatures."""

UNSIGNED: Final[Signature] = (NO_SIGNER, NO_TIME, ())


def read_signature(parameters: _Values) -> Signature:
    """Return the signature in a query, the first of the table where there are several; `UNSIGNED` without one."""
    found: list[tuple[int, str, tuple[str, ...], int]] = []
    has_prefixed = False
    for key in parameters:
        if key in _FORMS:
            for rank, signer, keys, read in _FORMS[key]:
                time = read(parameters)
                if time is not None:
                    found.append((rank, signer, keys, time))
                    break
        elif not has_prefixed and key.endswith("endtime"):
            prefix = key.removesuffix("endtime")  # the customer's choice
            hash_key = f"{prefix}hash"
            if (time := _wowza_time(key, hash_key, parameters)) is not None:
                found.append((_WOWZA_RANK, "wowza", (key, hash_key, f"{prefix}starttime"), time))
                has_prefixed = True
    if not found:
        return UNSIGNED
    _, signer, keys, time = found[0] if len(found) == 1 else min(found)
    if len(found) > 1:
        keys = tuple(chain.from_iterable(each[2] for each in found))
    return signer, time, keys


def _time(text: str, base: int = 10) -> int:
    """Return the time that digits state, in Unix seconds."""
    seconds = int(text, base)
    return seconds if EARLIEST <= seconds < LATEST else MALFORMED


def _present(key: str, values: _Values) -> int | None:
    """Read a signature whose time is unknown."""
    return NO_TIME if values[key] else None


def _type_a(values: _Values) -> int | None:
    text = values["auth_key"]
    match = _TYPE_A.fullmatch(text)
    return _time(match[1]) if match else NO_TIME if text else None


def _secret_and_time(secret_key: str, secret: re.Pattern[str], time_key: str, base: int) -> _Reader:
    """Return the reader of a secret of known length beside a time."""
    digits = _HEX if base == 16 else _DECIMAL

    def read(values: _Values) -> int | None:
        time = values.get(time_key, "")
        if not secret.fullmatch(values[secret_key]) or not digits.fullmatch(time):
            return NO_TIME if values[secret_key] and time else None
        return _time(time, base)

    return read


def _decimal_beside(key: str, partners: tuple[str, ...], values: _Values) -> int | None:
    """Read the forms whose keys are common words: they count only with a decimal time and their partners."""
    if not all(map(values.get, partners)) or not _DECIMAL.fullmatch(values[key]):
        return None
    return _time(values[key])


def _qiniu_e(values: _Values) -> int | None:
    """Read `e`, whose token names an access key, or is in the stream id of SRT."""
    is_qiniu = ":" in values.get("token", "") or SRT_MODE_KEY in values
    return _decimal_beside("e", ("token",), values) if is_qiniu else None


def _wowza_time(endtime: str, hash_key: str, values: _Values) -> int | None:
    if values.get(hash_key) and values[endtime] and not values[endtime].strip("0"):
        return NEVER
    return _decimal_beside(endtime, (hash_key,), values)


def _akamai(key: str, values: _Values) -> int | None:
    text = values[key]
    match = _AKAMAI.search(text) if "~hmac=" in text else None
    return _time(match[1]) if match else _present(key, values)


class _Claims(msgspec.Struct):
    exp: int | float | None = None


_CLAIMS: Final = msgspec.json.Decoder(_Claims)


def _token(values: _Values) -> int | None:
    return _expiry_claim(values["token"])


def _jwt(values: _Values) -> int | None:
    time = _expiry_claim(values["jwt"])
    return _present("jwt", values) if time is None else time


def _expiry_claim(token: str) -> int | None:
    """Return the expiry in a JWT; None if it is none."""
    if len(token) > LONGEST_TOKEN:
        return NO_TIME if token.startswith("eyJ") else None
    match = _JWT.fullmatch(token)
    if not match:
        return None
    try:
        expires = _CLAIMS.decode(urlsafe_b64decode(match[1] + "==")).exp
    except (ValueError, RecursionError):
        return NO_TIME
    if expires is None:
        return NO_TIME
    return int(expires) if EARLIEST <= expires < LATEST else MALFORMED


_TABLE: Final[tuple[tuple[str, tuple[str, ...], _Reader], ...]] = (
    ("alibaba", ("auth_key",), _type_a),
    ("tencent", ("txSecret", "txTime"), _secret_and_time("txSecret", _HEX_32_OR_64, "txTime", 16)),
    ("tencent", ("txSecret",), partial(_present, "txSecret")),
    ("huawei", ("auth_info",), partial(_present, "auth_info")),
    ("huawei", ("hwSecret", "hwTime"), _secret_and_time("hwSecret", _HEX_64, "hwTime", 16)),
    ("huawei", ("hwSecret",), partial(_present, "hwSecret")),
    ("volcengine", ("volcSecret", "volcTime"), _secret_and_time("volcSecret", _HEX_32, "volcTime", 10)),
    ("volcengine", ("volcSecret",), partial(_present, "volcSecret")),
    ("qiniu", ("expire", "token"), partial(_decimal_beside, "expire", ("token",))),
    ("qiniu", ("e", "token"), _qiniu_e),
    (
        "oss",
        ("Expires", "OSSAccessKeyId", "Signature"),
        partial(_decimal_beside, "Expires", ("OSSAccessKeyId", "Signature")),
    ),
    ("wowza", ("endtime", "hash", "starttime"), partial(_wowza_time, "endtime", "hash")),
    ("akamai", ("hdnts",), partial(_akamai, "hdnts")),
    ("akamai", ("hdnea",), partial(_akamai, "hdnea")),
    ("wangsu", ("wsSecret", "wsTime"), _secret_and_time("wsSecret", _HEX_32, "wsTime", 16)),
    ("wangsu", ("wsSecret",), partial(_present, "wsSecret")),
    ("jwt", ("jwt",), _jwt),
    ("jwt", ("token",), _token),
)
"""In the order in which one of several wins; a second row of a signer is tried where the first does not apply."""

SIGNATURE_KEYS: Final = frozenset(chain.from_iterable(keys for _, keys, _ in _TABLE))
WOWZA_ENDINGS: Final = ("endtime", "hash")  # of query keys, behind a prefix of the customer's choice

_WOWZA_RANK: Final = next(rank for rank, row in enumerate(_TABLE) if row[0] == "wowza")
_FORMS: Final = {
    key: tuple((rank, *row) for rank, row in enumerate(_TABLE) if row[1][0] == key)
    for key in {row[1][0] for row in _TABLE}
}
"""The forms by their first key."""
