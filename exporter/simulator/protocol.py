"""Requests, responses and errors as values, without any HTTP library; who may ask, and who signed a request.

The vendor's signature V3 (ACS3-HMAC-SHA256) is verified from its description alone. The signed set is what
SignedHeaders names, never the headers that are there: the official asynchronous client sends further, unsigned ones.
"""

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Struct


class Request(Struct, frozen=True):
    """One HTTP request as it arrived."""

    query: str  # the raw query, without the question mark
    headers: Mapping[str, str]  # by lower-case name
    method: str = "POST"
    path: str = "/"
    body: bytes = b""


class Response(Struct, frozen=True):
    """One answer, and how it is to be brought to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delay_seconds: float = 0.0  # how long it takes before the client gets it, from the moment it was made
    delivery: Literal["answer", "reset", "hang"] = "answer"
    """`reset`: the connection is cut instead; `hang`: no answer ever comes."""


class SimulatedAccount(Struct, frozen=True):
    """Who may ask for which apps, and how often."""

    access_key_id: str
    access_key_secret: str
    apps: tuple[str, ...]
    security_token: str | None = None  # a temporary key's token, which each request then has to carry
    security_token_expires_at: float | None = None  # seconds since 1970
    requests_per_second: int = 50


STATUS_OF_CODE: Final = {
    "AppInfoNotExist": 404,
    "TaskNotExist": 404,
    "InvalidAction.NotFound": 404,
    "InvalidAccessKeyId.NotFound": 404,
    "OperationDenied": 403,
    "Forbidden": 403,
    "Forbidden.RAM": 403,
    "InternalError": 500,
    "ServiceUnavailable": 503,
}
"""The status that the service gives with a code, where it is not 400."""

HOST_ID: Final = "live.aliyuncs.com"


class ServiceError(Exception):
    """A request that the service refuses."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = STATUS_OF_CODE.get(code, 400) if status is None else status
        self.headers = headers or {}

    def body(self, request_id: str) -> bytes:
        """Return the documented error body."""
        return msgspec.json.encode(
            {
                "RequestId": request_id,
                "HostId": HOST_ID,
                "Code": self.code,
                "Message": self.message,
                "Recommend": f"https://api.example.com/troubleshoot?q={self.code}",
            }
        )


ALGORITHM: Final = "ACS3-HMAC-SHA256"
MUST_BE_SIGNED: Final = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)
TOLERANCE_SECONDS: Final = 900.0

_AUTHORIZATION = re.compile(
    ALGORITHM
    + r" +Credential=(?P<key>[^,]+),\s*SignedHeaders=(?P<names>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


def canonical_query(query: str) -> str:
    """Return the query sorted by key and quoted as RFC 3986 demands."""
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in pairs)


def expected_signature(request: Request, signed_names: Sequence[str], secret: str) -> str:
    """Return the signature that `secret` gives to the named headers of `request`, as lower-case hex."""
    header_lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_names)
    canonical = "\n".join(
        (
            request.method,
            request.path,
            canonical_query(request.query),
            header_lines,
            ";".join(signed_names),
            request.headers.get("x-acs-content-sha256", ""),
        )
    )
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


class Verifier:
    """Identifies who signed a request; remembers nonces for as long as their dates are accepted."""

    def __init__(self, accounts: Mapping[str, SimulatedAccount]) -> None:
        self._accounts = accounts
        self._nonces: set[str] = set()
        self._nonces_in_order: deque[tuple[float, str]] = deque()

    def verify(self, request: Request, now: float) -> SimulatedAccount:
        """Return the account that signed `request`; `now` is the server's time. Raises ServiceError."""
        match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", "").strip())
        if match is None:
            raise ServiceError("IncompleteSignature", f"The Authorization header is not of the form of {ALGORITHM}.")
        names = match["names"].split(";")
        missing = [name for name in MUST_BE_SIGNED if name not in names or not request.headers.get(name)]
        if missing or names != sorted(names):
            raise ServiceError("IncompleteSignature", f"Not signed, or not in order: {', '.join(missing or names)}.")
        account = self._accounts.get(match["key"])
        if account is None:
            raise ServiceError("InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        _check_date(request.headers["x-acs-date"], now)
        if request.headers["x-acs-content-sha256"] != hashlib.sha256(request.body).hexdigest():
            raise ServiceError("SignatureDoesNotMatch", "x-acs-content-sha256 is not the hash of the body.")
        if not hmac.compare_digest(match["signature"], expected_signature(request, names, account.access_key_secret)):
            raise ServiceError("SignatureDoesNotMatch", "Specified signature does not match our calculation.")
        _check_token(request.headers, names, account, now)
        self._remember_nonce(request.headers["x-acs-signature-nonce"], now)
        return account

    def _remember_nonce(self, nonce: str, now: float) -> None:
        while self._nonces_in_order and self._nonces_in_order[0][0] < now - 2 * TOLERANCE_SECONDS:
            self._nonces.discard(self._nonces_in_order.popleft()[1])
        if nonce in self._nonces:
            raise ServiceError("SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces.add(nonce)
        self._nonces_in_order.append((now, nonce))


def _check_date(text: str, now: float) -> None:
    try:
        date = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ServiceError("IllegalTimestamp", "The input parameter Timestamp is not valid.") from None
    if abs(date.timestamp() - now) > TOLERANCE_SECONDS:
        raise ServiceError("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _check_token(
    headers: Mapping[str, str], signed_names: Sequence[str], account: SimulatedAccount, now: float
) -> None:
    token = headers.get("x-acs-security-token", "")
    if account.security_token is None:
        if token:
            raise ServiceError("InvalidSecurityToken.MismatchWithAccessKey", "This key has no security token.")
        return
    if not token:
        raise ServiceError("MissingSecurityToken", "SecurityToken is mandatory for this action.")
    if "x-acs-security-token" not in signed_names:
        raise ServiceError("IncompleteSignature", "Not signed: x-acs-security-token.")
    if token != account.security_token:
        raise ServiceError(
            "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatches with the AccessKey."
        )
    if account.security_token_expires_at is not None and now >= account.security_token_expires_at:
        raise ServiceError("InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
