"""Of a push URL only scheme and host are ever kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.push_url import PushUrl, parse_push_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtmp://example.com/live/key", PushUrl("rtmp", "example.com", has_userinfo=False)),
        ("RTMP://Push.Example.COM:1935/live", PushUrl("rtmp", "push.example.com", has_userinfo=False)),
        ("rtmps://user:password@example.com/live", PushUrl("rtmps", "example.com", has_userinfo=True)),
        ("rtmp://user@host@example.com/live", PushUrl("rtmp", "example.com", has_userinfo=True)),
        ("srt://[2001:DB8::1]:9000?streamid=key", PushUrl("srt", "[2001:db8::1]", has_userinfo=False)),
        ("rtmp://example.com?key", PushUrl("rtmp", "example.com", has_userinfo=False)),
        ("rtmp://example.com:key/live", PushUrl("rtmp", "example.com", has_userinfo=False)),
        ("//example.com/live", PushUrl("", "example.com", has_userinfo=False)),
        ("example.com/live/key", PushUrl("", "", has_userinfo=False)),
        ("key:secret", PushUrl("", "", has_userinfo=False)),
        ("rtmp://", PushUrl("rtmp", "", has_userinfo=False)),
        ("rtmp://[::1", PushUrl("rtmp", "", has_userinfo=False)),
        ("rtmp://a\tb/live", PushUrl("rtmp", "", has_userinfo=False)),
        ("rtmp://\ud800/live", PushUrl("rtmp", "", has_userinfo=False)),
    ],
)
def test_scheme_and_host_are_taken_out(url: str, expected: PushUrl) -> None:
    """Scheme and host come in lower case, without port, user, path and query; what is no URL has neither."""
    assert parse_push_url(url) == expected


@given(st.text(st.characters()) | st.from_regex(r"\A[a-z]{1,5}:/{0,3}[\x00-\xff]{0,20}\Z"))
def test_no_text_breaks_it(url: str) -> None:
    """Whatever is there, parsing returns something that may be shown."""
    parsed = parse_push_url(url)
    assert parsed.host.isprintable()
    assert not set("/?#@") & set(parsed.host + parsed.scheme)
