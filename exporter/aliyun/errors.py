"""What a failed request means and what to do next.

Every failure of the transport, the service or the credentials ends here as one type, `ApiError`; nothing above this
package looks at HTTP statuses, codes of the vendor or exceptions of aiohttp.
"""

from exporter.state import State


class ApiError(Exception):
    """A request that did not bring what was asked for.

    `str()` of it is one line that says what was wrong and what to do, without secrets and without the service's own
    message (which may quote the request).
    """

    def __init__(
        self,
        state: State,
        reason: str,
        *,
        code: str = "",
        status: int = 0,
        request_id: str = "",
        retryable: bool = False,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason
        self.code = code
        """The vendor's error code, cleaned to letters, digits, `.`, `_` and `-`; empty where there is none."""
        self.status = status
        """The HTTP status; 0 where no answer came."""
        self.request_id = request_id
        self.retryable = retryable
        """Whether the same request may succeed a moment later."""
        self.wait_seconds = wait_seconds
        """How long the service asks to wait; None where it does not say."""
