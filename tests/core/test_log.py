"""What a line of the log looks like, what never is in it, and how libraries get there."""

import io
import json
import logging
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.log import Format, as_json, as_logfmt, configure, redact

HOSTILE = st.text(st.characters(codec=None), max_size=40)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Catches log lines; afterwards all that `configure` sets is as it was."""
    root, credentials = logging.getLogger(), logging.getLogger("credentials")
    handlers, level, filters = root.handlers[:], root.level, credentials.filters[:]
    yield io.StringIO()
    root.handlers[:], credentials.filters[:] = handlers, filters
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def ignore(_level: str) -> None:
    """Count nothing."""


def test_a_logfmt_line_begins_with_time_level_and_message(stream: io.StringIO) -> None:
    """An RFC 3339 time in UTC, the level and the message come before all else, then the pairs in order."""
    configure("info", "logfmt", stream, ignore)
    before = datetime.now(UTC)
    structlog.get_logger().warning("app failed", app_id="live-main", requests=3, complete=False, owner=None)
    ts, rest = stream.getvalue().split(" ", maxsplit=1)
    assert rest == 'level=warning msg="app failed" app_id=live-main requests=3 complete=false owner=null\n'
    assert re.fullmatch(r"ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", ts)
    assert before <= datetime.fromisoformat(ts.removeprefix("ts=")) <= datetime.now(UTC)


def test_a_json_line_is_one_object_with_the_same_keys(stream: io.StringIO) -> None:
    """JSON has ts, level and msg first too, and keeps numbers, booleans, lists and objects as such."""
    configure("info", "json", stream, ignore)
    structlog.get_logger().error("app failed", requests=3, seconds=0.5, ids=("a", "b"), more={"complete": True})
    line = json.loads(stream.getvalue())
    assert list(line)[:3] == ["ts", "level", "msg"]
    del line["ts"]
    assert line == {
        "level": "error",
        "msg": "app failed",
        "requests": 3,
        "seconds": 0.5,
        "ids": ["a", "b"],
        "more": {"complete": True},
    }


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", ["debug", "info", "warning", "error"]), ("info", ["info", "warning", "error"]), ("error", ["error"])],
)
def test_only_messages_of_the_level_and_worse_are_shown_and_counted(
    stream: io.StringIO, level: str, shown: list[str]
) -> None:
    """What the level leaves out is neither written nor counted; `exception` counts as an error."""
    counted: Counter[str] = Counter()
    configure(level, "logfmt", stream, lambda one: counted.update([one]))  # type: ignore[arg-type]
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert re.findall(r"level=(\w+)", stream.getvalue()) == shown
    assert counted == Counter(shown)


@given(message=HOSTILE, key=HOSTILE, value=HOSTILE)
def test_hostile_text_stays_in_one_printable_line(message: str, key: str, value: str) -> None:
    """No text breaks a line, reaches the terminal as a control character, or can't be encoded."""
    event = redact(None, "", {"msg": message, key: value, "nested": [{key: value}]})
    for line in (as_logfmt(None, "", dict(event)), as_json(None, "", dict(event))):
        assert line.isprintable()
        line.encode()
    assert json.loads(as_json(None, "", dict(event)))["msg"] == event["msg"]


@given(value=HOSTILE)
def test_logfmt_values_read_back_as_they_were(value: str) -> None:
    """A quoted value holds the text and nothing that looks like a second pair."""
    line = as_logfmt(None, "", {"a": value, "b": 1})
    match = re.fullmatch(r'a=("(?:[^"\\]|\\.)*"|[^\s"=\\]+) b=1', line)
    assert match is not None
    text = match.group(1)
    read = json.loads(text) if text.startswith('"') else text
    assert read.encode("utf-16", "surrogatepass") == value.encode("utf-16", "surrogatepass")


@pytest.mark.parametrize(
    "key",
    ["secret", "access_key_secret", "SecurityToken", "x-acs-security-token", "Authorization", "db_password", "userId"],
)
def test_values_of_sensitive_keys_are_hidden_at_any_depth(key: str) -> None:
    """Whatever is under a sensitive key is replaced, in mappings and lists too."""
    event = {key: "hush", "outer": [{"inner": {key: ["hush"]}}]}
    shown = redact(None, "", event)
    assert "hush" not in str(shown)
    assert shown[key] == "<secret>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtmp://push.example.com/live/s1?auth_key=1-0-0-abc", "rtmp://push.example.com"),
        ("rtmp://user:hush@push.example.com:1935/live", "rtmp://push.example.com:1935"),
        ("rtmp://us/er:hush@push.example.com/live", "rtmp://us"),
        ("rtmp://host:hush/live", "rtmp://host"),
        ("http://[2001:db8::1]:8080/hush", "http://[2001:db8::1]:8080"),
        ("can't reach https://live.aliyuncs.com/?AppId=hush in time", "can't reach https://live.aliyuncs.com in time"),
        ("https://", "https://"),
        ("no address: a/b?c", "no address: a/b?c"),
        ("refused: SecurityToken=hush&AppId=a", "refused: SecurityToken=<secret>&AppId=a"),
        ('{"Signature": "hush", "Code": "x"}', '{"Signature": <secret>, "Code": "x"}'),
        ("POST%26SecurityToken%3Dhush", "POST%26SecurityToken%3D<secret>"),
    ],
)
def test_text_loses_what_addresses_and_pairs_give_away(text: str, shown: str) -> None:
    """Of a URL only scheme, host and port stay, wherever it is; sensitive pairs lose their values."""
    assert redact(None, "", {"msg": text})["msg"] == shown


def test_redaction_of_a_long_hostile_text_is_quick() -> None:
    """The time does not grow with the square of the length, which would be minutes here."""
    began = time.process_time()
    for text in ("a" * 200_000, "token" * 40_000, "a:" * 100_000, "rtmp:/" * 30_000):
        assert redact(None, "", {"msg": text})["msg"] == text
    assert time.process_time() - began < 10


def test_values_of_other_types_are_shown_by_their_text(stream: io.StringIO) -> None:
    """An object that hides itself stays hidden, and numbers that JSON lacks do not break a line."""

    class Hidden:
        def __str__(self) -> str:
            return "<secret>"

    configure("info", "json", stream, ignore)
    structlog.get_logger().info("m", value=Hidden(), ratio=float("nan"))
    line = json.loads(stream.getvalue())
    assert (line["value"], line["ratio"]) == ("<secret>", "nan")


def test_an_exception_is_one_line_without_secrets(stream: io.StringIO) -> None:
    """A traceback is a value of the line, redacted as all text is."""
    configure("info", "logfmt", stream, ignore)
    structlog.get_logger().error("failed", exc_info=ValueError("GET https://example.com/hush failed"))
    assert stream.getvalue().count("\n") == 1
    assert "ValueError: GET https://example.com failed" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_libraries_log_through_the_same_pipeline(stream: io.StringIO, log_format: Format) -> None:
    """A library's warning is a line like any other, redacted and counted; its info is not shown."""
    counted: Counter[str] = Counter()
    configure("info", log_format, stream, lambda level: counted.update([level]))
    logging.getLogger("aiohttp.server").warning("slow: %s", "https://example.com/hush")
    logging.getLogger("apscheduler").info("added job")
    line = stream.getvalue()
    assert "slow: https://example.com" in line
    assert "aiohttp.server" in line
    assert "hush" not in line
    assert line.count("\n") == 1
    assert counted == {"warning": 1}


def test_debug_shows_what_libraries_call_info(stream: io.StringIO) -> None:
    """At debug a library's info is shown, its debug output (which may quote requests) never."""
    configure("debug", "logfmt", stream, ignore)
    logging.getLogger("apscheduler").info("added job")
    logging.getLogger("urllib3").debug("GET /?secret")
    assert re.findall(r"level=(\w+)", stream.getvalue()) == ["info"]


def test_a_library_message_that_does_not_fit_its_arguments_is_shown_unformatted(stream: io.StringIO) -> None:
    """A library's mistake in a log call costs the formatting, nothing else."""
    configure("info", "logfmt", stream, ignore)
    logging.getLogger("library").warning("%d of %d", "some")  # noqa: PLE1206 - that is the mistake
    logging.getLogger("library").log(35, "an odd level")
    assert 'msg="%d of %d"' in stream.getvalue()
    assert 'level=warning msg="an odd level"' in stream.getvalue()


def test_warnings_of_python_are_lines_of_the_log(stream: io.StringIO) -> None:
    """What `warnings.warn` says does not go to the terminal raw."""
    configure("info", "logfmt", stream, ignore)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("deprecated thing", RuntimeWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "deprecated thing" in stream.getvalue()
    assert "library=py.warnings" in stream.getvalue()


def test_a_stream_that_is_gone_loses_lines_and_nothing_else(stream: io.StringIO) -> None:
    """Logging to a closed pipe raises nothing."""
    configure("info", "logfmt", stream, ignore)
    stream.close()
    structlog.get_logger().info("nobody reads this")


@pytest.mark.usefixtures("stream")
def test_a_stream_that_knows_ascii_alone_gets_escapes() -> None:
    """Text that the stream's encoding lacks is escaped, not lost."""
    raw = io.BytesIO()
    ascii_stream = io.TextIOWrapper(raw, encoding="ascii")
    configure("info", "logfmt", ascii_stream, ignore)
    structlog.get_logger().info("m", name="舞台")
    assert raw.getvalue().endswith(b"name=\\u821e\\u53f0\n")


def test_configuring_again_replaces_the_first_time(stream: io.StringIO) -> None:
    """After a second call each message is written once, to the second stream."""
    configure("info", "logfmt", io.StringIO(), ignore)
    configure("info", "logfmt", stream, ignore)
    logging.getLogger("library").warning("once")
    assert stream.getvalue().count("once") == 1
