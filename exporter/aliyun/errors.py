"""What a failed request means and what to do next: every failure ends here as one type, `ApiError`."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from exporter.aliyun import lenient_json
from exporter.core.collection_state import State


class ApiError(Exception):
    """A request that failed; `str()` is one line for people, without secrets and the service's own message."""

    def __init__(
        self,
        state: State,
        reason: str,
        *,
        code: str = "",
        status: int = 0,
        retryable: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason
        self.code = code
        """The vendor's error code, cleaned to letters, digits, `.`, `_` and `-`; empty where there is none."""
        self.status = status  # the HTTP status; 0 where no answer came
        self.retryable = retryable  # whether the same request may succeed a moment later
        self.wait_seconds = wait_seconds  # how long the service asks to wait; None where it does not say


def parse_http_date(value: str) -> float | None:
    """Return the wall-clock seconds of a date such as `Thu, 26 Oct 2023 10:22:32 GMT`; None where it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


MAX_WAIT_SECONDS: Final = 300.0  # a longer wait that the service asks for is not believed: the next attempt shows

MAX_ERROR_BYTES: Final = 64 * 1024  # a longer body is not the service's error
NAMES_OF_CODES: Final = ("code", "errorcode", "errcode", "error_code", "error")
"""Members that report an error, in lower case; the first is the documented one."""

_MAX_CODE_CHARACTERS: Final = 64
_NO_ACCESS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_TASK_CODE: Final = re.compile(r"^invalid_?task_?id|task.*not[._-]?(?:found|exist)", re.IGNORECASE)
"""Codes that say that there is no such task."""


class _Verdict(NamedTuple):
    state: State
    sentence: str
    retryable: bool = False


_GRANT: Final = "grant the RAM user or role the action live:ListRtcMPUTaskDetail on resource *"
_CLOCK: Final = "the service refuses this machine's time: set the clock by NTP"

_SENTENCES: Final[Mapping[State, Mapping[str, str]]] = {
    State.THROTTLED: {
        "Throttling": "the service throttles: lower requests_per_second or find who else uses the account",
    },
    State.AUTH_ERROR: {
        "InvalidAccessKeyId": "the access key is not valid: check access_key_id",
        "InvalidAccessKeyId.NotFound": (
            "the access key id is unknown: check access_key_id and that the key was not deleted"
        ),
        "InvalidAccessKeyId.Inactive": "the access key is disabled: enable it in the RAM console or configure another",
        "Signature": "the service refuses the signature: check the access key",
        "SignatureDoesNotMatch": "the signature does not match: check access_key_secret, it may belong to another key",
        "SignatureNonceUsed": (
            "the service saw this request before: if that lasts, look for a proxy that repeats requests"
        ),
        "InvalidSecurityToken": "the security token is not valid: check where the credentials come from",
        "InvalidSecurityToken.Expired": (
            "the security token has expired: renew it, or configure a source that renews itself"
        ),
        "InvalidSecurityToken.Malformed": "the security token is malformed: check that it was copied whole",
        "InvalidSecurityToken.MismatchWithAccessKey": (
            "the security token belongs to another access key: set the three values of one set"
        ),
        "MissingSecurityToken": "this access key is a temporary one and needs its token: set security_token",
        "Forbidden": f"the service forbids the call: {_GRANT}",
        "Forbidden.RAM": f"the access key may not list tasks: {_GRANT}",
        "InvalidTimeStamp": _CLOCK,
        "IllegalTimestamp": _CLOCK,
    },
    State.NOT_ENABLED: {
        "OperationDenied": "ApsaraVideo Live or its MPU service is not enabled for this account: enable it",
    },
    State.APP_INVALID: {
        "InvalidAppId": "the service takes the AppId for invalid: check the app's id",
        "AppInfoNotExist": "the account has no app with this id: check the app's id and the account's key",
    },
    State.REQUEST_REJECTED: {
        "MissingParam": "the service misses a parameter: look for a proxy that changes requests",
        "InvalidParam": "the service rejects a parameter of the request",
    },
    State.SERVER_ERROR: {
        "InternalError": "the service reports an internal error",
        "ServiceUnavailable": "the service is unavailable for now",
    },
}
_RETRYABLE: Final = frozenset({"Throttling", "SignatureNonceUsed", "InternalError", "ServiceUnavailable"})
_CODES: Final = {
    code: _Verdict(state, sentence, code in _RETRYABLE)
    for state, sentences in _SENTENCES.items()
    for code, sentence in sentences.items()
}
"""What each code means; the longest prefix counts: a code is the entry's name, or that and more."""


def answer_failure(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> ApiError:
    """Say what an answer of any status means that brings no page; `now` is for a `Retry-After` that is a date."""
    content = _error_object(body)
    code = _code_of(content)
    limit = _limit(headers, now)
    verdict = _verdict(status, content, code, limit)
    return ApiError(
        verdict.state,
        verdict.sentence,
        code=code,
        status=status,
        retryable=verdict.retryable,
        wait_seconds=limit.wait_seconds,
    )


def is_about_the_clock(error: ApiError) -> bool:
    """Whether the service refused the time of a request."""
    return error.code.casefold().startswith(("invalidtimestamp", "illegaltimestamp"))


def is_about_the_key(error: ApiError) -> bool:
    """Whether the service refused a key that a newer one may replace."""
    return error.code.casefold().startswith(("invalidsecuritytoken", "invalidaccesskeyid", "signaturedoesnotmatch"))


def is_about_the_task(error: ApiError) -> bool:
    """Whether the answer to a lookup says that there is no such task; no other refusal says anything about it."""
    if error.wait_seconds is not None or error.state not in {State.REQUEST_REJECTED, State.INVALID_RESPONSE}:
        return False
    return bool(_TASK_CODE.search(error.code)) or (error.status >= 400 and error.code.casefold() == "invalidparam")


def _verdict(status: int, content: Mapping[str, Any] | None, code: str, limit: "_Limit") -> _Verdict:
    """Name what an answer means, in the order of the documented table: the first match wins."""
    by_code = _by_code(code)
    is_limited = limit.is_reached and status >= 400
    if status == HTTPStatus.TOO_MANY_REQUESTS or "throttling" in code.casefold() or is_limited:
        return _CODES["Throttling"]
    is_general = by_code is None or by_code.state is State.SERVER_ERROR
    if limit.wait_seconds is not None and 400 <= status < 500 and is_general and not _TASK_CODE.search(code):
        return _CODES["Throttling"]
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return _Verdict(State.TIMEOUT, "the service gave up waiting for the request: check the network", True)
    if by_code is None or 300 <= status < 400 or (status >= 500 and not is_general):
        return _by_status(status, code, is_json=content is not None)
    if by_code.state is State.REQUEST_REJECTED and status in _NO_ACCESS:
        return _by_status(status, code, is_json=True)
    return by_code


def _by_code(code: str) -> _Verdict | None:
    folded = code.casefold()
    prefixes = [known for known in _CODES if folded.startswith(known.casefold())]
    return _CODES[max(prefixes, key=len)] if prefixes else None


def _by_status(status: int, code: str, *, is_json: bool) -> _Verdict:
    if status >= 500:
        return _Verdict(State.SERVER_ERROR, f"the service failed with status {status}", True)
    if 300 <= status < 400:
        sentence = f"redirected with status {status}, which a signed request must not follow: check endpoint and proxy"
        return _Verdict(State.NETWORK_ERROR, sentence, True)
    if status < 300:
        sentence = f"the answer has status {status} instead of 200: check endpoint and proxy"
        if status == HTTPStatus.OK:
            sentence = f"the service reports {f'the error {code}' if code else 'an error without a code'}"
        return _Verdict(State.INVALID_RESPONSE, sentence, True)
    if not is_json:
        sentence = f"something in between answered {status}, not the service: check endpoint and proxy"
        return _Verdict(State.NETWORK_ERROR, sentence, True)
    if status in _NO_ACCESS:
        return _Verdict(State.AUTH_ERROR, f"the service refused access with {code or status}: {_GRANT}")
    return _Verdict(State.REQUEST_REJECTED, f"the service rejected the request with {code or status}")


def _error_object(body: bytes) -> Mapping[str, Any] | None:
    if len(body) > MAX_ERROR_BYTES:
        return None
    try:
        content = lenient_json.decode(body)
    except (ValueError, RecursionError):
        return None
    return {key.casefold(): value for key, value in content.items()} if isinstance(content, dict) else None


def _code_of(content: Mapping[str, Any] | None) -> str:
    return next((code for name in NAMES_OF_CODES if (code := _cleaned((content or {}).get(name)))), "")


def _cleaned(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", value)[:_MAX_CODE_CHARACTERS] if isinstance(value, str) else ""


class _Limit(NamedTuple):
    is_reached: bool  # whether a header that only a limiter sets says that the limit is used up
    wait_seconds: float | None  # the longest wait that those headers name, else that of `Retry-After`; never 0


def _limit(headers: Mapping[str, str], now: float) -> _Limit:
    """Read the headers about throttling; a value that is 0, negative or unreadable is as if absent."""
    named: dict[str, list[str]] = {}
    for name, value in headers.items():
        named.setdefault(name.lower(), []).append(value)
    waits = [_seconds(value, per_second=1000) for value in named.get("x-acs-retry-after", ())]
    is_reached = any(waits)
    for value in named.get("x-ratelimit-user-api", []) + named.get("x-ratelimit-user", []):
        parts = (part.partition(":") for part in value.lower().split(","))
        quota = {name.strip(): amount.strip() for name, _, amount in parts}
        if quota.get("remain") == "0":
            is_reached = True
            waits.append(_seconds(quota.get("timeleft", ""), per_second=1000))
    if not any(waits):
        waits = [_retry_after(value, now) for value in named.get("retry-after", ())]
    return _Limit(is_reached, max(filter(None, waits), default=None))


def _retry_after(value: str, now: float) -> float | None:
    seconds = _seconds(value, per_second=1)
    until = parse_http_date(value) if seconds is None else None
    return seconds if until is None else min(max(until - now, 0.0), MAX_WAIT_SECONDS) or None


def _seconds(digits: str, *, per_second: int) -> float | None:
    """Read a wait, bounded; None where there is none, or one of 0."""
    digits = digits.strip()
    if not re.fullmatch(r"[0-9]{1,12}", digits):
        return None
    return min(int(digits) / per_second, MAX_WAIT_SECONDS) or None
