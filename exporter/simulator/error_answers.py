"""The service's error codes with their statuses, and the body that carries them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

STATUS_OF_CODE: Final = MappingProxyType(
    {
        "MissingParam": 400,
        "InvalidParam": 400,
        "InvalidAppId": 400,
        "AppInfoNotExist": 404,
        "TaskNotExist": 404,
        "InvalidAction.NotFound": 404,
        "InvalidVersion": 400,
        "OperationDenied": 403,
        "Forbidden": 403,
        "Forbidden.RAM": 403,
        "InternalError": 500,
        "ServiceUnavailable": 503,
        "Throttling": 400,
        "Throttling.User": 400,
        "Throttling.Api": 400,
        "IncompleteSignature": 400,
        "SignatureDoesNotMatch": 400,
        "SignatureNonceUsed": 400,
        "InvalidTimeStamp.Expired": 400,
        "IllegalTimestamp": 400,
        "InvalidAccessKeyId.NotFound": 404,
        "InvalidAccessKeyId.Inactive": 400,
        "MissingSecurityToken": 400,
        "InvalidSecurityToken.Expired": 400,
        "InvalidSecurityToken.Malformed": 400,
        "InvalidSecurityToken.MismatchWithAccessKey": 400,
    }
)
"""The status that the service gives with each code."""

HOST_ID: Final = "live.aliyuncs.com"


class ServiceError(Exception):
    """A request that the service refuses."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = STATUS_OF_CODE[code] if status is None else status
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
