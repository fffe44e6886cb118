"""Which vendor's signature a push URL carries and the time in it: one small reader for each documented form.

Readers get hostile text: they are bounded by what `push_url` passes and never raise.
"""

import re
from binascii import a2b_qp
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final

import msgspec

from exporter.core.push_auth import EARLIEST, LATEST, MALFORMED, NEVER, NO_SIGNER, NO_TIME

SRT_MODE_KEY: Final = "m"  # `m=publish` in the stream id of SRT
LONGEST_CLAIMS: Final = 512  # characters of a token's claims, in base64: the expiry in longer ones is not read
LONGEST_ESCAPED: Final = 320  # characters of Alibaba's or Akamai's token
LONGEST_SECRET: Final = 192  # characters of a secret, of 64 at most if none is escaped, and of the time beside it
LONGEST_DECIMAL: Final = 20  # digits of a time beside common words, of which none may be escaped
LONGEST_ACCESS_KEY: Final = 64  # characters of a token, among which `:` is looked for
LONGEST_NAME: Final = 64  # characters of a query key that is looked for behind too many others
MOST_FORMS: Final = 2  # whose first key is in a URL, and that are tried
MOST_NAMES: Final = 4  # at the end of a query, of parameters of which there are too many to be read
_TYPE_A: Final = re.compile(r"([0-9]{9,20})-[^-]++-[^-]*+-[0-9a-f]{32}\Z")
_AKAMAI: Final = re.compile(r"(?:[^~]*+~){0,4}?exp=([0-9]{1,20})~")
_DECIMAL: Final = re.compile(r"[0-9]{1,20}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,16}")
_HEX_32: Final = re.compile(r"[0-9A-Fa-f]{32}")
_HEX_64: Final = re.compile(r"[0-9A-Fa-f]{64}")
_HEX_32_OR_64: Final = re.compile(r"(?:[0-9A-Fa-f]{32}){1,2}")
_EXPIRY: Final = re.compile(rb'(?<!\\)"exp":\s*+(-?[0-9]{1,20}+(?:\.[0-9]{1,20}+)?(?:[eE]\+?[0-9]{1,2})?)\s*+[,}]')
_PERCENT_TO_EQUALS: Final = bytes.maketrans(b"%=", b"=\1")

_Values = Mapping[str, str]
_Reader = Callable[[str, _Values], int | None]
"""Returns the time in a query, given a form's first key, which is in it; None if it is not this form."""

Signature = tuple[str, int, frozenset[str]]
"""The signer; Unix seconds or one of the codes of `core.push_auth`; and the query keys that name no stream."""

UNSIGNED: Final[Signature] = (NO_SIGNER, NO_TIME, frozenset())


def read_signature(parameters: _Values) -> Signature:
    """Return the signature in a query, the first of the table where there are several; `UNSIGNED` without one."""
    found = []
    for key in parameters:
        if key in _RANKS:
            found.append((_RANKS[key], key))
        elif key.endswith("endtime") and f"{key.removesuffix('endtime')}hash" in parameters:
            found.append((_WOWZA, key))
    if len(found) > 1:
        found = sorted(found)[:MOST_FORMS]
    for rank, key in found:
        signer, keys, read = _TABLE[rank]
        time = read(key, parameters)
        if time is not None:
            prefix = key.removesuffix(keys[0])  # of Wowza's
            return signer, time, _NOT_NAMED[rank].union([prefix + key for key in keys]) if prefix else _NOT_NAMED[rank]
    return UNSIGNED


def signer_within(query: str) -> str:
    """Return the signer by the names of the last parameters, of which there are too many to be read."""
    names = [part[:LONGEST_NAME].partition("=")[0] for part in query.rsplit("&", MOST_NAMES)]
    for signer, partner in [_PARTNERS[name] for name in names if name in _PARTNERS]:
        if partner in names:
            return signer
    return NO_SIGNER


def unquoted(text: str, *, at_most: int = LONGEST_ESCAPED) -> str:
    """Resolve escapes of the form `%41`; a text of more than `at_most` characters is returned unchanged."""
    if "%" not in text or len(text) > at_most:
        return text
    # The same as quoted-printable but for the sign, which is decoded in C: an eighth of what urllib takes.
    quoted = text.encode(errors="surrogatepass").translate(_PERCENT_TO_EQUALS)
    raw = a2b_qp(quoted).replace(b"\1", b"=")
    decoded = raw.decode(errors="replace")  # an exception takes 1 us
    # What is not UTF-8 is perhaps GBK: other streams have other bytes.
    return raw.decode("latin-1") if "\ufffd" in decoded else decoded


def _time(seconds: float) -> int:
    return int(seconds) if EARLIEST <= seconds < LATEST else MALFORMED


def _decimal(text: str) -> int | None:
    return _time(int(text)) if len(text) <= LONGEST_DECIMAL and text.isdecimal() else None


def _present(_key: str, _values: _Values) -> int:
    return NO_TIME


def _time_in(form: re.Pattern[str]) -> _Reader:
    def read(key: str, values: _Values) -> int:
        match = form.match(unquoted(values[key]))
        return _time(int(match[1])) if match else NO_TIME

    return read


def _secret_beside(time_key: str, secret: re.Pattern[str], base: int) -> _Reader:
    digits = _HEX if base == 16 else _DECIMAL

    def read(key: str, values: _Values) -> int:
        time = unquoted(values.get(time_key, ""), at_most=LONGEST_SECRET)
        is_read = digits.fullmatch(time) and secret.fullmatch(unquoted(values[key], at_most=LONGEST_SECRET))
        return _time(int(time, base)) if is_read else NO_TIME

    return read


def _decimal_beside(*partners: str) -> _Reader:
    """Return the reader of a form whose keys are common words: they count only with a decimal time and partners."""
    names = frozenset(partners)

    def read(key: str, values: _Values) -> int | None:
        return _decimal(values[key]) if values.keys() >= names else None

    return read


def _qiniu_e(key: str, values: _Values) -> int | None:
    """Read `e`, whose token names an access key, or is in the stream id of SRT."""
    token = values.get("token", "")
    start = token[:LONGEST_ACCESS_KEY].lower()
    return _decimal(values[key]) if token and (SRT_MODE_KEY in values or ":" in start or "%3a" in start) else None


def _wowza(key: str, values: _Values) -> int | None:
    time = values[key]
    return _decimal(time) if time.strip("0") else NEVER


def _jwt(key: str, values: _Values) -> int | None:
    """Read the expiry in a token, which is often something else than a JWT under the key `token`."""
    head, _, rest = values[key].partition(".")
    text, dot, _ = rest.partition(".")
    if not dot or not head.startswith("eyJ"):
        return NO_TIME if key == "jwt" else None
    if len(text) > LONGEST_CLAIMS:
        return NO_TIME
    text = text.replace("-", "+").replace("_", "/")
    try:
        claims = msgspec.convert(text + "=" * (-len(text) % 4), bytes)  # a third of what binascii takes
    except ValueError:
        return NO_TIME
    # A decoder takes up to 15 us for one number and 5 us for nested lists: only the last `exp` is looked at.
    start = claims.rfind(b'"exp":')
    expiry = _EXPIRY.match(claims, start)
    if not expiry or claims.rfind(b"{", 1, start) > claims.rfind(b"}", 1, start):
        return NO_TIME  # it has none, or that of a claim which is an object
    return _time(float(expiry[1]))


_TABLE: Final[tuple[tuple[str, tuple[str, ...], _Reader], ...]] = (
    ("alibaba", ("auth_key",), _time_in(_TYPE_A)),
    ("tencent", ("txSecret", "txTime"), _secret_beside("txTime", _HEX_32_OR_64, 16)),
    ("huawei", ("auth_info",), _present),
    ("huawei", ("hwSecret", "hwTime"), _secret_beside("hwTime", _HEX_64, 16)),
    ("volcengine", ("volcSecret", "volcTime"), _secret_beside("volcTime", _HEX_32, 10)),
    ("qiniu", ("expire", "token"), _decimal_beside("token")),
    ("qiniu", ("e", "token"), _qiniu_e),
    (
        "oss",
        ("Expires", "OSSAccessKeyId", "Signature", "security-token"),
        _decimal_beside("OSSAccessKeyId", "Signature"),
    ),
    ("wowza", ("endtime", "hash", "starttime"), _wowza),  # these behind a prefix, which may be empty
    ("akamai", ("hdnts",), _time_in(_AKAMAI)),
    ("akamai", ("hdnea",), _time_in(_AKAMAI)),
    ("wangsu", ("wsSecret", "wsTime"), _secret_beside("wsTime", _HEX_32, 16)),
    ("jwt", ("jwt",), _jwt),
    ("jwt", ("token",), _jwt),
)
"""The signer, the keys of its form, of which the first is looked for, and the reader; of several the first wins."""

SIGNATURE_KEYS: Final = frozenset(chain.from_iterable(keys for _, keys, _ in _TABLE))
_COMMON_WORDS: Final = {"expire", "token", "e", "Expires", "Signature", "endtime", "hash", "starttime"}
_NOT_NAMED: Final = [(SIGNATURE_KEYS - _COMMON_WORDS).union(keys) for _, keys, _ in _TABLE]
"""The keys that name no stream beside a form's signature: its own, and others' that can be nothing else."""
_WOWZA: Final = next(rank for rank, (signer, _, _) in enumerate(_TABLE) if signer == "wowza")
_RANKS: Final = {keys[0]: rank for rank, (_, keys, _) in enumerate(_TABLE) if rank != _WOWZA}
FIRST_KEYS: Final = frozenset(_RANKS)
_PARTNERS: Final = {"wowzatokenendtime": ("wowza", "wowzatokenhash")} | {
    keys[0]: (signer, keys[:2][-1]) for signer, keys, _ in reversed(_TABLE)
}
"""By a form's first key the signer and the key that is beside it, if there is one."""
