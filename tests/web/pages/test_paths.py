"""Links to pages whose names may hold anything."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages.paths import app_path, safe_link, with_query

NAMES = st.text(st.characters(codec="utf-8"), min_size=1)


@given(NAMES, NAMES, NAMES)
def test_names_come_back_from_a_path(account: str, app_id: str, task_id: str) -> None:
    """Whatever stands in names, the path has as many parts as it should, and each can be read back."""
    parts = app_path(account, app_id, "tasks", task_id).split("/")
    assert [unquote(part) for part in parts] == ["", "apps", account, app_id, "tasks", task_id]


@given(st.text())
def test_a_path_is_plain_ascii(name: str) -> None:
    """Nothing in a name, half a surrogate pair included, ends an attribute or begins another part of the address."""
    path = app_path("production", name)
    assert path.isascii()
    assert not set(path) & set("\"'<>?#& \n")


@given(st.dictionaries(NAMES, NAMES))
def test_parameters_come_back_from_a_query(parameters: dict[str, str]) -> None:
    """All that is not empty is asked for as it is."""
    assert dict(parse_qsl(urlsplit(with_query("/violations", parameters)).query)) == parameters


def test_empty_parameters_are_left_out() -> None:
    """What is not asked for does not stand in the address."""
    assert with_query("/rules", {"text": "", "severity": "info"}) == "/rules?severity=info"
    assert with_query("/rules", {"text": ""}) == "/rules"


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://x.example", True),
        ("HTTP://x", True),
        ("javascript:alert(1)", False),
        (" https://x", False),
        ("", False),
    ],
)
def test_only_web_addresses_are_linked_to(url: str, *, is_safe: bool) -> None:
    """An address that would run something, or that is none, is not followed."""
    assert safe_link(url) == (url if is_safe else None)
