"""Requests, responses and errors as values, without any HTTP library."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

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
    window: Literal["sliding", "fixed", "bucket"] = "sliding"
    others_per_second: float = 0.0  # requests of other users of the same account, which take their share of the limit


STATUS_OF_CODE: Final = MappingProxyType(
    {
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
)
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
