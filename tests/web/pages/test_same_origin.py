"""Who may begin something."""

import pytest

from exporter.web.pages.same_origin import is_same_origin


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://exporter:10678"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://exporter:10678"}, True),
        ({"Origin": "https://Exporter:10678"}, True),
        ({"Origin": "http://exporter"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({}, True),
    ],
)
def test_only_our_own_pages_and_no_browser_may_begin_something(headers: dict[str, str], *, is_ours: bool) -> None:
    """What a browser says of the sender counts; what says nothing is a program, which nobody can trick."""
    assert is_same_origin(headers, "exporter:10678") is is_ours
