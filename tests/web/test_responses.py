"""Responses: pieces of ready bytes, pages of JSON, conditions, compression and content types."""

import gzip
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.responses import WORTH_COMPRESSING_BYTES, gathered, json_text, quality
from tests.web.api.api_view import Client, json_of
from tests.web.fake_view import FakeView, app_view

CHUNKS = st.lists(st.binary(max_size=40), max_size=40)


@given(chunks=CHUNKS, piece_bytes=st.integers(min_value=1, max_value=60))
def test_pieces_are_the_chunks_in_order_and_as_few_as_they_may_be(chunks: list[bytes], piece_bytes: int) -> None:
    """Nothing is lost or moved, no piece is empty, none but a single chunk is over the limit."""
    pieces = list(gathered(chunks, piece_bytes))
    assert b"".join(pieces) == b"".join(chunks)
    assert all(pieces)
    assert all(len(piece) <= piece_bytes or piece in chunks for piece in pieces)
    assert all(len(one) + len(next_one) > piece_bytes for one, next_one in pairwise(pieces))


def test_a_large_chunk_is_handed_on_uncopied() -> None:
    """What is large already costs no copy."""
    large = b"x" * 100
    assert any(piece is large for piece in gathered([b"a", large, b"b"], 50))


APPS = "/api/v1/apps"
OPENAPI = "/api/v1/openapi.json"


async def test_what_has_not_changed_is_not_sent_again(client: Client, view: FakeView) -> None:
    """The ETag of an answer gets a 304 without a body until the content changes."""
    first = await client.get(APPS)
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    assert first.headers["Cache-Control"] == "no-cache"
    again = await client.get(APPS, headers={"If-None-Match": etag})
    assert (again.status, await again.read()) == (304, b"")
    assert (again.headers["ETag"], again.headers["Cache-Control"]) == (etag, "no-cache")
    view.apps = [app_view(name="renamed")]
    changed = await client.get(APPS, headers={"If-None-Match": etag})
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [("*", 304), ('"another", {}', 304), ("{strong}", 304), ('"another"', 200), ("nonsense", 200), ("", 200)],
)
async def test_an_etag_is_found_among_others(client: Client, if_none_match: str, status: int) -> None:
    """A list of ETags, a star and the strong form of one count; what can't be read counts as nothing."""
    etag = (await client.get(APPS)).headers["ETag"]
    header = if_none_match.replace("{strong}", etag.removeprefix("W/")).replace("{}", etag)
    assert (await client.get(APPS, headers={"If-None-Match": header})).status == status


async def test_large_answers_are_compressed_for_those_who_want_it(client: Client) -> None:
    """A gzip member holds the same bytes, and its ETag is the same."""
    plain = await client.get(OPENAPI, headers={"Accept-Encoding": "identity"})
    packed = await client.get(OPENAPI, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    body = await packed.read()
    assert packed.headers["Content-Length"] == str(len(body))
    assert len(body) < WORTH_COMPRESSING_BYTES * 20
    assert gzip.decompress(body) == await plain.read()
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Vary"] == "Accept, Accept-Encoding"


async def test_small_answers_are_sent_as_they_are(client: Client, view: FakeView) -> None:
    """Compressing a few bytes pays for nobody."""
    view.apps = []
    answer = await client.get(APPS, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers
    assert json.loads(await answer.read()) == {"apps": []}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_head_is_get_without_a_body(client: Client, encoding: str) -> None:
    """HEAD has the headers that GET has, compressed or not, and the connection stays usable."""
    headers = {"Accept-Encoding": encoding}
    full = await client.get(OPENAPI, headers=headers)
    bare = await client.head(OPENAPI, headers=headers)
    for name in ("Content-Length", "Content-Type", "Content-Encoding", "ETag", "Cache-Control", "Vary"):
        assert bare.headers.get(name) == full.headers.get(name)
    assert await bare.read() == b""
    assert (await client.head(OPENAPI, headers={"If-None-Match": full.headers["ETag"]})).status == 304
    assert await json_of(client, APPS)


async def test_who_does_not_read_json_is_refused(client: Client) -> None:
    """An Accept header without JSON is a 406 that says what was expected."""
    answer = await client.get(APPS, headers={"Accept": "text/html"})
    assert (answer.status, answer.content_type) == (406, "application/json")
    assert await answer.json() == {"error": "Accept is 'text/html', expected one that has application/json or */*"}


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("", True),
        ("*/*", True),
        ("application/*", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/html, application/xhtml+xml, */*;q=0.8", True),
        ("text/html", False),
        ("application/xml, text/*", False),
        ("application/json;q=0, */*", False),
        ("application/json;q=0.000", False),
        ("*/*;q=0", False),
        ("application/*;q=0, */*;q=0.1", False),
        ("application/json;q=0.01", True),
    ],
)
def test_json_is_accepted_by_the_most_specific_range(accept: str, *, accepted: bool) -> None:
    """The range that names JSON most closely decides; a quality of 0 means that it is not wanted."""
    assert (quality(accept, "application/json") > 0) is accepted


def test_any_text_is_pure_ascii() -> None:
    """Whatever the service says, half characters included, no byte of the answer is more than JSON."""
    text = json_text({"text": "\ud800\u202e</script>\0é"})
    assert text.isascii()
    assert json.loads(text) == {"text": "\ud800\u202e</script>\0é"}


def test_what_json_has_no_word_for_is_refused() -> None:
    """No answer has NaN in it, which most readers of JSON do not take."""
    with pytest.raises(ValueError, match="Out of range"):
        json_text({"number": float("nan")})
