"""The log: one line for each message and each of what libraries log, safe to show on a terminal and without secrets."""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from exporter.core.clock import Clock
from exporter.core.secret import HIDDEN

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["logfmt", "json"]

_SENSITIVE: Final = "secret|token|passw|passphrase|authorization|signature|cookie|payload|user_?id"
_SENSITIVE_KEY: Final = re.compile(_SENSITIVE)
# Repetitions are bounded where a long hostile text could make them slow.
_SENSITIVE_PAIR: Final = re.compile(
    rf"""((?:{_SENSITIVE})[\w.-]{{0,40}})(=|%3D|["']\s{{0,9}}:\s{{0,9}})("[^"]*"|'[^']*'|[^\s,;&"'}}]+)""",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://(\S*)")
_HOST_AND_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::\d{1,5}(?!\w))?")


def configure(level: Level, log_format: Format, stream: TextIO, on_message: Callable[[str], None]) -> None:
    """Send all log messages from here on to `stream`, each as one line; `on_message` gets the level of each."""
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _counter(on_message),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("msg"),
            redact,
            _in_order,
            as_json if log_format == "json" else as_logfmt,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    of_libraries = logging.INFO if level == "debug" else max(logging.WARNING, least)
    logging.basicConfig(handlers=[_Forwarder(of_libraries)], level=of_libraries, force=True)
    logging.captureWarnings(capture=True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values of sensitive keys and pairs, and of URLs all but scheme, host and port: a structlog processor."""
    return {key: _redacted(key, value) for key, value in event.items()}


def as_logfmt(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Write a message as `key=value` pairs; what a terminal would act upon is escaped."""
    return " ".join(f"{_logfmt_key(key)}={_logfmt_value(value)}" for key, value in event.items())


def as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Write a message as one JSON object in pure ASCII."""
    # DEL is the one control character that JSON leaves as it is.
    return json.dumps(event, allow_nan=False).replace("\x7f", "\\u007f")


def _redacted(key: str, value: object) -> Any:
    """Return `value` made of plain JSON types, without what must not be shown."""
    if _SENSITIVE_KEY.search(key.lower().replace("-", "_")):
        return HIDDEN
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _redacted(str(name), part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", part) for part in value]
    return _SENSITIVE_PAIR.sub(rf"\1\2{HIDDEN}", _URL.sub(_scheme_and_host, str(value)))


def _scheme_and_host(url: re.Match[str]) -> str:
    """Cut a URL to what may be shown of it: to the next space, since a path may hold any other character."""
    scheme, rest = url.groups()
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    host_and_port = _HOST_AND_PORT.match(authority.rpartition("@")[2])
    return f"{scheme}://{host_and_port.group() if host_and_port else ''}"


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {"ts": event.pop("ts"), "level": event.pop("level"), "msg": event.pop("msg"), **event}


def _logfmt_key(key: str) -> str:
    """Keys are identifiers of ours; a foreign one can't forge a second pair."""
    return re.sub(r"[^\w.-]", "_", key)


def _logfmt_value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    if text and text.isprintable() and not re.search(r'[\s"=\\]', text):
        return text
    return '"' + "".join(map(_logfmt_character, text)) + '"'


def _logfmt_character(character: str) -> str:
    """Escape quotes and all that has no printed form: control characters, line ends, direction marks."""
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else json.dumps(character)[1:-1].replace("\x7f", "\\u007f")


def _counter(on_message: Callable[[str], None]) -> Processor:
    def count(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        on_message(event["level"])
        return event

    return count


class LimitedLines:
    """Log lines of one kind, of which those beyond a limit in one second are counted under `summary` and `counted`."""

    def __init__(self, summary: str, clock: Clock, *, per_second: int, counted: str) -> None:
        self._summary = summary
        self._clock = clock
        self._per_second = per_second
        self._counted = counted
        self._second = 0
        self._written = self._left_out = self._worst_level = 0

    def write(self, level: int, message: str, about: Callable[[], Mapping[str, Any]]) -> None:
        """Write a line, or count it."""
        self.flush()
        if self._written < self._per_second:
            self._written += 1
            structlog.get_logger().log(level, message, **about())
        else:
            self._left_out += 1
            self._worst_level = max(self._worst_level, level)

    def flush(self) -> None:
        """Begin a new second, if it is one, by summing up the last; to be called about every second."""
        second = int(self._clock.monotonic())
        if second != self._second:
            if self._left_out:
                structlog.get_logger().log(self._worst_level, self._summary, **{self._counted: self._left_out})
            self._second = second
            self._written = self._left_out = self._worst_level = 0


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line; a broken pipe or a full disk must not end the daemon."""
        encoding = self._stream.encoding or "utf-8"
        with suppress(OSError, ValueError):
            self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


class _Forwarder(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that don't fit the format
            message = str(record.msg)
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))
        exception = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(level, message, library=record.name, **exception)
