"""Dates in HTTP headers."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_http_date(value: str) -> float | None:
    """Return the wall-clock seconds of a date such as `Thu, 26 Oct 2023 10:22:32 GMT`; None where it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
