"""JSON that the strict decoder refuses is read as far as it can be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.lenient_json import decode, without_lone_surrogates


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whole_text_is_left_alone(text: str) -> None:
    """Text without half characters keeps its bytes, escapes of whole pairs and escaped backslashes included."""
    encoded = json.dumps([text, f"\\ud800{text}"]).encode()
    assert without_lone_surrogates(encoded) == encoded
    assert decode(encoded) == json.loads(encoded)


@given(st.text(st.characters()))
def test_half_characters_are_replaced(text: str) -> None:
    """Whatever halves are in it, the text that is read can be encoded, and its whole characters remain."""
    read = decode(json.dumps(text).encode())
    read.encode()
    # Two halves that meet are one character, in JSON as in UTF-16.
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert read.replace("\ufffd", "") == expected.replace("\ufffd", "")


@pytest.mark.parametrize(("encoded", "expected"), [(b'"\xff"', "\ufffd"), (b"9" * 6000, "9" * 6000), (b"12", 12)])
def test_broken_bytes_and_absurd_numbers_are_read(encoded: bytes, expected: object) -> None:
    """Bytes that are no UTF-8 are replaced; a number that Python refuses to convert stays text."""
    assert decode(encoded) == expected


@pytest.mark.parametrize("encoded", [b"", b"{", b"nul", b"<html>"])
def test_what_is_no_json_is_refused(encoded: bytes) -> None:
    """There is no guessing beyond Unicode and numbers."""
    with pytest.raises(ValueError, match="Expecting"):
        decode(encoded)
