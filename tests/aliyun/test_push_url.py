"""Of a push URL scheme, host, signer and time are kept, and a digest of the stream it names."""

import base64
import gc
import json
import re
import sys
import time
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.aliyun import push_url
from exporter.aliyun.parse_task import Interner, read_row
from exporter.aliyun.push_signature import SIGNATURE_KEYS
from exporter.aliyun.push_url import LONGEST_URL, parse_push_url
from exporter.core.push_auth import MALFORMED, NEVER, NO_TIME, SIGNERS, is_time
from exporter.core.task import URL_PROBLEMS
from tests.support.generated import examples
from tests.support.hostile import HOSTILE_URLS

MD5 = "0123456789abcdef" * 2
SHA256 = MD5 * 2
T = 1_800_000_000
HEX = f"{T:x}"


def jwt(claims: object) -> str:
    """Return a token with claims, which may be the text of JSON."""
    parts = ('{"alg": "HS256"}', claims if isinstance(claims, str) else json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def many(count: int, last: str) -> str:
    """Return a query with parameters that are in no form, and then another one."""
    return "&".join([f"p{place}=v" for place in range(count)] + [last])


@pytest.mark.parametrize(
    ("url", "scheme", "host", "has_userinfo"),
    [
        ("rtmp://example.com/live/key", "rtmp", "example.com", False),
        ("RTMP://Push.Example.COM:1935/live", "rtmp", "push.example.com", False),
        ("rtmps://user:password@example.com/live", "rtmps", "example.com", True),
        ("rtmp://user@host@example.com/live", "rtmp", "example.com", True),
        ("srt://[2001:DB8::1]:9000?streamid=key", "srt", "[2001:db8::1]", False),
        ("rtmp://example.com?key", "rtmp", "example.com", False),
        ("rtmp://example.com:key/live", "rtmp", "example.com", False),
        ("//example.com/live", "", "example.com", False),
        ("example.com/live/key", "", "", False),
        ("key:secret", "", "", False),
        ("rtmp://", "rtmp", "", False),
        ("rtmp://[::1", "rtmp", "", False),
        ("rtmp://a\tb/live", "rtmp", "", False),
        ("rtmp://\ud800/live", "rtmp", "", False),
        ("rtmp://video-center.alivecdn.com/a/s?vhost=Push.Example.com&auth_key=k", "rtmp", "push.example.com", False),
        ("rtmp://example.com/a/s?vhost=secret/path", "rtmp", "example.com", False),
        ("rtmp://example.com/a/s?vhost=%41%42.example.com", "rtmp", "example.com", False),
    ],
)
def test_scheme_and_host_are_taken_out(url: str, scheme: str, host: str, has_userinfo: bool) -> None:
    """Scheme and host come in lower case, without port, user, path and query; what is no URL has neither."""
    parsed = parse_push_url(url)
    assert (parsed.output.scheme, parsed.output.host, parsed.output.has_userinfo) == (scheme, host, has_userinfo)


@pytest.mark.parametrize(
    ("query", "signer", "signed_time"),
    [
        ("", "none", NO_TIME),
        ("key=abc&token=abc&expire=soon&e=1800000000", "none", NO_TIME),
        (f"auth_key={T}-0-0-{MD5}", "alibaba", T),
        (f"auth_key={T}--0-{MD5}", "alibaba", NO_TIME),
        (f"vhost=push.example.com&auth_key={T}-rand-uid-{MD5}", "alibaba", T),
        (f"auth_key={T}000-0-0-{MD5}", "alibaba", MALFORMED),
        (f"auth_key=1000000000-0-0-{MD5}", "alibaba", MALFORMED),
        ("auth_key=token-of-unknown-make", "alibaba", NO_TIME),
        (f"auth_key={T}-0-0-{MD5}0", "alibaba", NO_TIME),
        (f"txSecret={MD5}&txTime=5867D600", "tencent", 1_483_200_000),
        (f"txTime={HEX}&txSecret={SHA256}", "tencent", T),
        (f"txSecret={MD5}&txTime={T}", "tencent", MALFORMED),
        (f"txSecret={MD5}", "tencent", NO_TIME),
        (f"txSecret=short&txTime={HEX}", "tencent", NO_TIME),
        ("auth_info=encrypted%3D.1", "huawei", NO_TIME),
        (f"hwSecret={SHA256}&hwTime={HEX}", "huawei", T),
        (f"volcSecret={MD5}&volcTime={T}", "volcengine", T),
        (f"volcSecret={MD5}&volcTime={T}000", "volcengine", MALFORMED),
        (f"expire={T}&token=abc", "qiniu", T),
        (f"e={T}&token=AK:sign", "qiniu", T),
        (f"e={T}&token=AK%3Asign", "qiniu", T),
        (f"e={T}&token=sign", "none", NO_TIME),
        (f"OSSAccessKeyId=ak&Expires={T}&Signature=s%2B", "oss", T),
        (f"OSSAccessKeyId=ak&Expires={T}", "none", NO_TIME),
        (f"wowzatokenendtime={T}&wowzatokenhash=h", "wowza", T),
        (f"myendtime={T}&myhash=h&mystarttime=1", "wowza", T),
        ("wowzatokenendtime=0&wowzatokenhash=h", "wowza", NEVER),
        (f"wowzatokenendtime={T}", "none", NO_TIME),
        (f"endtime={T}&hash=h", "wowza", T),
        (f"endtime={T}", "none", NO_TIME),
        (f"hdnts=st=1~exp={T}~acl=/*~hmac={SHA256}", "akamai", T),
        (f"hdnea=exp%3D{T}%7Eacl%3D%2F*%7Ehmac%3D{SHA256}", "akamai", T),
        ("hdnts=unknown", "akamai", NO_TIME),
        (f"wsSecret={MD5}&wsTime={HEX}", "wangsu", T),
        (f"jwt={jwt({'exp': T})}", "jwt", T),
        (f"token={jwt({'exp': T + 0.5})}", "jwt", T),
        (f"token={jwt({'exp': T * 1000})}", "jwt", MALFORMED),
        (f"token={jwt({'sub': 'x'})}", "jwt", NO_TIME),
        (f"token={jwt([])}", "jwt", NO_TIME),
        ("jwt=unknown", "jwt", NO_TIME),
        (f"token={jwt({'exp': T, 'sub': 'x' * 300})}", "jwt", T),
        (f"token={jwt({'sub': 'x' * 300, 'exp': T})}", "jwt", T),
        (f"token={jwt({'sub': 'x' * 354, 'exp': T})}", "jwt", T),
        (f"token={jwt({'sub': 'x' * 355, 'exp': T})}", "jwt", NO_TIME),
        (f"token={jwt({'nested': {'exp': 1}, 'exp': T})}", "jwt", T),
        ("token=" + jwt('{"exp": 1.8e9}'), "jwt", T),
        ("token=" + jwt('{"exp": 1800000000e0}'), "jwt", T),
        (f"e=soon&token={jwt({'exp': T})}", "jwt", T),
        (f"e=soon&expire=soon&token={jwt({'exp': T})}", "none", NO_TIME),
        ("token=" + jwt('{"exp": "soon"}'), "jwt", NO_TIME),
        ("token=" + jwt('{"exp": 1e300}'), "jwt", NO_TIME),
        ("token=" + jwt('{"exp": -5}'), "jwt", MALFORMED),
        (f"token={jwt({'exp': T, 'iss': 'exp', 'aud': ['a', {}]})}", "jwt", T),
        (f"token={jwt({'exp': T, 'nested': {'exp': 1}})}", "jwt", NO_TIME),
        (f"token={jwt({chr(34) + 'exp': T})}", "jwt", NO_TIME),
        (f"token={jwt({'exp': T}).replace('.', '.*')}", "jwt", NO_TIME),
        ("token=" + jwt('{"a":' + "[" * 500), "jwt", NO_TIME),
        (f"name=直播&token={jwt({'sub': '播' * 20, 'exp': T})}", "jwt", T),
        (f"name={'直' * 414}&auth_key={T}-0-0-{MD5}", "alibaba", T),
        (f"name={'直' * 415}&auth_key={T}-0-0-{MD5}", "alibaba", NO_TIME),
        (many(8, f"auth_key={T}-0-0-{MD5}"), "alibaba", T),
        (many(8, f"txSecret={MD5}&txTime={HEX}"), "tencent", T),
        (many(9, f"auth_key={T}-0-0-{MD5}"), "alibaba", T),
        (many(10, f"auth_key={T}-0-0-{MD5}"), "alibaba", NO_TIME),
        (many(20, f"volcSecret={MD5}&volcTime={T}"), "volcengine", NO_TIME),
        (many(200, f"auth_key={T}-0-0-{MD5}"), "alibaba", NO_TIME),
        (many(50, f"wowzatokenhash=h&wowzatokenendtime={T}"), "wowza", NO_TIME),
        (many(200, "name=v"), "none", NO_TIME),
        (f"bandwidthtest=true&token=a&e=1&hash=1&auth_key={T}-0-0-{MD5}", "alibaba", T),
        (f"auth_key={T}%2D0%2D0%2D{MD5}", "alibaba", T),
        (f"txSecret=%30{MD5[1:]}&txTime=%3{HEX[0]}{HEX[1:]}", "tencent", T),
        (f"hwSecret={'%30' * 64}&hwTime={HEX}", "huawei", T),
        ("token=" + "x" * 1100, "none", NO_TIME),
        (f"wsSecret={MD5}&wsTime={HEX}&auth_key={T}-0-0-{MD5}", "alibaba", T),
        (f"jwt={jwt({'exp': 1})}&txSecret={MD5}&txTime={HEX}", "tencent", T),
        (f"auth_key={T}-0-0-{MD5}&name={'x' * LONGEST_URL}", "alibaba", NO_TIME),
        (f"name={'x' * LONGEST_URL}&auth_key={T}-0-0-{MD5}", "alibaba", NO_TIME),
    ],
)
def test_signer_and_time_are_read(query: str, signer: str, signed_time: int) -> None:
    """Each vendor's form is recognised by its keys, with the time that it states; of two the first in the table."""
    parsed = parse_push_url(f"rtmp://push.example.com/live/stream?{query}")
    assert (parsed.output.signer, parsed.time) == (signer, signed_time)


@pytest.mark.parametrize(
    ("url", "signer"),
    [
        (f"srt://h:9000?streamid=#!::h=live/s,m=publish,e={T},token=AK:sign", "qiniu"),
        (f"srt://h:9000?streamid=#!::h=live/s,m=publish,e={T},token=sign", "qiniu"),
        (f"srt://h:9000?streamid=%23!::h=live/s,m=publish,e={T},token=AK:sign&latency=200", "qiniu"),
        (f"srt://h:9000?streamid=#!::h=d,r=live/s,txSecret={MD5},txTime={HEX}", "tencent"),
        (f"srt://h:9000?streamid=%23%21%3A%3Ah%3Dlive%2F直%2Cm%3Dpublish%2Ce%3D{T}%2Ctoken%3DAK%3Asign", "qiniu"),
        ("srt://h:9000?streamid=" + many(8, f"e={T}&token=AK:sign").replace("&", "%2C").replace("=", "%3D"), "qiniu"),
        (f"srt://h:9000?streamid={'x' * 263},auth_key={T}-0-0-{MD5}", "alibaba"),
        (f"srt://h:1105?mode=caller&streamid=#!::h=d,r=/live/s?auth_key={T}-0-0-{MD5},m=publish", "alibaba"),
    ],
)
def test_the_stream_id_of_srt_is_read_like_a_query(url: str, signer: str) -> None:
    """SRT carries the signature in `streamid`."""
    parsed = parse_push_url(url)
    assert (parsed.output.signer, parsed.time, parsed.output.problem) == (signer, T, None)


def test_a_long_stream_id_is_not_read() -> None:
    """The signature in a stream id of over 320 characters is `unreadable`."""
    parsed = parse_push_url(f"srt://h:9000?streamid={'x' * 264},auth_key={T}-0-0-{MD5}&auth_key=1")
    assert (parsed.output.signer, parsed.time) == ("alibaba", NO_TIME)


@pytest.mark.parametrize(
    "group",
    [
        (
            "rtmp://push.example.com/live/s",
            "rtmps://PUSH.example.com:443/live/s",
            "rtmp://push.example.com:1935/live/s?",
            "rtmp://user:password@push.example.com/live/s",
            f"rtmp://push.example.com/live/s?auth_key={T}-0-0-{MD5}",
            f"rtmp://push.example.com/live/s?txTime={HEX}&txSecret={MD5}",
            f"rtmp://push.example.com/live/s?myendtime={T}&mystarttime=1&myhash=h",
            f"rtmp://push.example.com/live/s?starttime=2&endtime={T}&hash=h",
            f"rtmp://push.example.com/live/s?OSSAccessKeyId=STS.a&Expires={T}&Signature=s&security-token=CAIS%2Bx",
            f"rtmp://push.example.com/live/s?security-token=other&Signature=s&Expires={T}&OSSAccessKeyId=STS.b",
            f"rtmp://push.example.com/live/s?wsSecret={MD5}&wsTime={HEX}&auth_key={T}-0-0-{MD5}",
            f"rtmp://video-center.alivecdn.com/live/s?vhost=push.example.com&auth_key={T}-0-0-{MD5}",
        ),
        ("rtmp://push.example.com/live/s?name=a", f"rtmp://push.example.com/live/s?e={T}&name=a&token=AK:sign"),
        ("rtmp://push.example.com/live/s?name=b",),
        (
            f"rtmp://push.example.com/live/s?auth_key={T}-0-0-{MD5}&vhost=a/b",
            "rtmp://push.example.com/live/s?vhost=a/b",
        ),
        ("rtmp://push.example.com:1936/live/s",),
        ("rtmp://push.example.com/live/S",),
        ("rtmp://push.example.com/other/s",),
        (
            "srt://push.example.com:10080?streamid=#!::h=live/s,m=publish,e=1,token=AK:sign",
            f"srt://push.example.com?streamid=#!::h=live/s,m=publish,e={T},token=AK:other",
            f"srt://push.example.com?streamid=#!::h=live/s,m=publish,e={T},token=other",
            "srt://push.example.com?latency=20&streamid=#!::h=live/s,m=publish",
        ),
        ("srt://push.example.com?streamid=#!::h=live/t,m=publish",),
        ("srt://push.example.com?streamid=直", "srt://push.example.com?streamid=%E7%9B%B4"),
        ("srt://push.example.com?streamid=%D6%B1",),
        ("srt://push.example.com?streamid=%D6%B2",),
    ],
)
def test_one_stream_has_one_identity(group: tuple[str, ...]) -> None:
    """Signatures, the scheme's TLS, default ports and the case of the host do not make another stream."""
    assert len({parse_push_url(url).stream for url in group}) == 1
    others = {"rtmp://push.example.com/live/s", "rtmp://push.example.com/live/s?name=a"} - set(group)
    assert not {parse_push_url(url).stream for url in others} & {parse_push_url(group[0]).stream}


@pytest.mark.parametrize(
    "start",
    [
        f"rtmp://h.example.com/live/直播?sign={'x' * 300}",
        f"rtmp://h.example.com/live/{'直' * 400}?",
        "rtmp://h.example.com/live/s?" + many(8, "name=v"),
        "rtmp://h.example.com/live/s?" + many(200, "name=v"),
        "rtmp://h.example.com/live/s?name=" + "x" * LONGEST_URL,
    ],
)
def test_the_whole_url_names_the_stream(start: str) -> None:
    """Streams differ by what is at the end of a long URL, whatever the signature before it, which alone makes none."""
    key = f"auth_key={T}-0-0-{MD5}"
    one, two = (parse_push_url(f"{start}&{key}&stream={name}") for name in ("one", "two"))
    assert one.stream != two.stream
    renewed = parse_push_url(f"{start}&{key.replace('-0-0-', '-1-0-')}&stream=one")
    is_read = len(start) < LONGEST_URL and start.count("&") < 20
    assert (renewed.stream == one.stream) is is_read


@pytest.mark.parametrize(
    ("url", "problem", "is_test"),
    [
        ("rtmp://h/live/s", None, False),
        ("rtmp://h/live/s?bandwidthtest=true", None, True),
        ("rtmp://h/live/s?bandwidthtest=false", None, False),
        ("rtmp://h/live/?streamname=s", None, False),
        ("rtmp://h", "no_app", False),
        ("rtmp://h//", "no_app", False),
        ("rtmp://h////", "no_app", False),
        ("rtmp://h//live//", "no_stream", False),
        ("rtmp://h//live//s", None, False),
        (f"rtmp://h/{'a' * 300}/s", None, False),
        ("rtmp://h/live", "no_stream", False),
        (f"rtmp://h/live/?auth_key={T}-0-0-{MD5}", "no_stream", False),
        ("rtmp://h/live/****", "placeholder", False),
        (f"rtmp://h/live/*{'s' * 59}****", "placeholder", False),
        (f"rtmp://h/live/*{'s' * 60}****", None, False),
        ("rtmp://h/live/<key>", "placeholder", False),
        ("rtmp://h/live/{}", "placeholder", False),
        ("rtmp://h/live/s ", "white_space", False),
        ("rtmp://h/live/s\n", "white_space", False),
        ("rtmp://h/live/\u3000s", "white_space", False),
        ("rtmp://h/live/" + "s" * LONGEST_URL, "too_long", False),
        ("srt://h?streamid=s", None, False),
        (f"srt://h:1105?streamid=#!::h=live/s,m=publish,e={T},token=AK:sign", None, False),
        ("srt://h/?latency=200&streamid=%23!::r=s", None, False),
        (f"srt://h:1105?streamid=#!::e={T},token=AK:sign", "no_app", False),
        ("srt://h?streamid=", "no_app", False),
    ],
)
def test_what_makes_a_url_incomplete_is_noted(url: str, problem: str | None, is_test: bool) -> None:
    """Of several problems the first is kept."""
    parsed = parse_push_url(url)
    assert (parsed.output.problem, parsed.output.is_test) == (problem, is_test)


_FORM_KEYS = st.sampled_from(sorted(SIGNATURE_KEYS | {"wowzatokenendtime", "wowzatokenhash", "vhost", "streamid"}))
_VALUES: st.SearchStrategy[Any] = (
    st.text(st.characters(), max_size=30)
    | st.from_regex(r"\A[0-9]{1,15}(-[a-f0-9]{0,33}){0,3}\Z")
    | st.sampled_from([MD5, SHA256, HEX, str(T), "eyJ.e30.x", "eyJ." + "A" * 50 + ".x", "exp=9~hmac="])
)
_QUERIES = st.lists(st.tuples(_FORM_KEYS, _VALUES), max_size=40).map(
    lambda pairs: "&".join(f"{key}={value}" for key, value in pairs)
)
URLS = st.builds("{}{}".format, st.sampled_from(["rtmp://h.example.com/a/s?", "srt://h?"]), _QUERIES)


@settings(max_examples=examples(500))
@given(st.text(st.characters()) | st.from_regex(r"\A[a-z]{1,5}:/{0,3}[\x00-\xff]{0,20}\Z") | URLS)
def test_no_text_breaks_it(url: str) -> None:
    """Whatever the text is, the result is of the closed sets and may be shown."""
    parsed = parse_push_url(url)
    assert parsed.output.host.isprintable()
    assert not set("/?#@") & set(parsed.output.host + parsed.output.scheme)
    assert parsed.output.signer in SIGNERS
    assert parsed.output.problem in {None, *URL_PROBLEMS}
    assert parsed.time in {NO_TIME, MALFORMED, NEVER} or is_time(parsed.time)
    assert len(parsed.stream) == 8


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_costs_little(url: str) -> None:
    """The best of many readings of each hostile URL takes less than a fraction of a millisecond."""
    best = 1.0
    for _ in range(50):
        began = time.perf_counter()
        parse_push_url(url)
        best = min(best, time.perf_counter() - began)
    assert best < 100e-6  # what a quiet machine takes: docs/benchmarks.md


def test_few_servers_are_remembered() -> None:
    """However many hosts there are, what is kept of them is bounded."""
    for number in range(2 * push_url.REMEMBERED_SERVERS + 1):
        parse_push_url(f"rtmp://{number}.example.com/live/s")
    kept = [one for one in vars(push_url).values() if isinstance(one, dict)]
    assert max(map(len, kept)) <= push_url.REMEMBERED_SERVERS


def test_nothing_of_a_url_is_left_anywhere() -> None:
    """After rows are read, neither tasks nor anything that the package remembers holds user, port, path or key."""
    canary, port = "c4n4ry" * 2, 54321
    left = re.compile(r"\b5432[1]\b")  # alone, since longer numbers may have these digits; not as the pattern has them
    urls = [
        f"rtmp://{canary}:{canary}@a.example.com/live/s",
        f"rtmp://a.example.com:{port}/live/s",
        f"rtmp://a.example.com:{canary}/live/s",
        f"rtmp://a.example.com/{canary}/{canary}?auth_key={T}-{canary}-0-{MD5}&name={canary}",
        f"srt://a.example.com?streamid=#!::h={canary},m=publish,e={T},token={canary}:sign",
        f"rtmp://a.example.com/live/s?vhost={canary}/x&{canary}endtime={T}&{canary}hash={canary}",
        f"rtmp://a.example.com/live/s?jwt={jwt({'exp': T, 'sub': canary})}",
        canary,
    ]
    share = Interner()
    rows = [{"TaskId": "t", "StreamURL": url, "MultiStreamURL": [{"URL": url}, {"URL": f"{url}2"}]} for url in urls]
    tasks = [read_row(json.dumps(row).encode(), app_id="a", share=share) for row in rows]
    assert None not in tasks
    modules = [vars(module) for name, module in sys.modules.items() if name.startswith("exporter.aliyun")]
    waiting, seen = [tasks, share, *modules], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, ModuleType):
            seen.add(id(one))
            assert not isinstance(one, str | bytes) or (canary not in str(one) and left.search(str(one)) is None)
            assert not isinstance(one, int) or one != port
            waiting += gc.get_referents(one)
