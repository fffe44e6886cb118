"""Queries of the API and the pages: parameters, filters, cursors."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import inf, isnan
from typing import Annotated, Any, Final, NoReturn, get_type_hints

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collector.inventory import Entry
from exporter.collector.past import HistoryFilter
from exporter.collector.task_diff import FIELD_GROUPS, KINDS
from exporter.metrics import labels
from exporter.rules.facts import PushKey
from exporter.rules.rule import SEVERITIES
from exporter.web.view import AppView, FindingKind, FindingsView, RuleView, View

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
LAST_PAGE: Final = 10**9 - 1
LARGEST_BITRATE_KBPS: Final = 10**9 - 1
LONGEST_TEXT: Final = 300  # characters that a form may send in one field
AGES: Final = {
    "under-1h": (-3600.0, inf),
    "over-1h": (-inf, -3600.0),
    "over-1d": (-inf, -86400.0),
    "over-7d": (-inf, -7 * 86400.0),
}
"""First and last second, relative to now, at which a violation was first seen."""

_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
NUMBER: Final = re.compile("[0-9]{1,15}")  # of a change or a violation
_BASE64: Final = re.compile(r"[A-Za-z0-9_-]+")


class BadQueryError(ValueError):
    """A parameter cannot be used; `str()` says which, and what was expected."""


class UnknownNameError(LookupError):
    """A query names something that does not exist; `str()` says what."""


class Parameter(Struct, frozen=True):
    """A parameter of a URL."""

    description: str = ""  # for the OpenAPI document, as `example` and `schema`
    example: str = ""
    name: str = ""  # empty: that of the field of `Query`
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string", "minLength": 1})  # draft 2020-12
    parse: Callable[[str], Any] = str  # returns the value; raises ValueError
    expected: str = "a value"  # what `parse` accepts
    into: str = ""  # which field of `Query` gets the value; empty: the one of this name

    @property
    def target(self) -> str:
        """The field of `Query` that gets the value."""
        return self.into or self.name

    def read(self, text: str) -> Any:
        """Return the value of a text, or raise BadQueryError."""
        try:
            return self.parse(text) if text in self.schema.get("enum", (text,)) else _refuse()
        except ValueError:
            raise BadQueryError(f"{self.name} is {text!r}, expected {self.expected}") from None


def choice(description: str, choices: Iterable[str], *, name: str = "", parse: Callable[[str], Any] = str) -> Parameter:
    """Return a parameter that is one of some values."""
    values = [str(one) for one in choices]
    return Parameter(description, "", name, {"type": "string", "enum": values}, parse, f"one of {', '.join(values)}")


def sorting(description: str, names: Iterable[str], by_name: Iterable[str] = ()) -> Parameter:
    """Return the parameter for the order of a list; `by_name` can't be reversed."""
    description += " With - in front, the greatest is first. Those without the value are last."
    return choice(description, (*by_name, *(f"{sign}{name}" for name in names for sign in ("", "-"))), name="sort")


def cursor(*names: int, parse: Callable[[str], tuple[str, ...]] | None = None) -> Parameter:
    """Return the parameter for the `next_cursor` of a list whose cursors hold one of these numbers of names."""

    def parse_names(text: str) -> tuple[str, ...]:
        try:
            found = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))) if _BASE64.fullmatch(text) else None
        except RecursionError:
            found = None
        if isinstance(found, list) and len(found) in names and all(isinstance(name, str) for name in found):
            return tuple(found)
        return _refuse()

    description = "The next_cursor of a response to the same query, for the next page."
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}
    return Parameter(description, "", "cursor", schema, parse or parse_names, "the next_cursor of an answer", "after")


def number_cursor(text: str) -> tuple[str, ...]:
    """Parse the `next_cursor` of a list of numbered items."""
    return (text,) if NUMBER.fullmatch(text) else _refuse()


def cursor_after(*names: str) -> str:
    """Return a cursor, fit for URLs, that names the last item of a page."""
    return urlsafe_b64encode(json.dumps(names).encode()).decode().rstrip("=")


def cursor_at(place: Sequence[float | str], *, is_sorted: bool) -> str:
    """Return the cursor of a place, a number and names, in a list; the number counts if the list is sorted by it."""
    number, *names = map(str, place)
    return cursor_after(*([number] if is_sorted else []), *names)


def _refuse() -> NoReturn:
    raise ValueError


def _written(value: object) -> str:
    """Return a value as `Parameter.read` takes it: numbers without an exponent."""
    return f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value)


def _parse_time(text: str) -> float:
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    time = datetime.fromisoformat(text.upper()) if _RFC_3339.fullmatch(text.upper()) else _refuse()
    return max(0.0, time.timestamp())  # nothing was noticed earlier, and seconds have no sign


def _whole(description: str, least: int, most: int, **schema: int) -> Parameter:
    def parse(text: str) -> int:
        return int(text) if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most else _refuse()

    whole = {"type": "integer", "minimum": least, "maximum": most, **schema}
    return Parameter(description, schema=whole, parse=parse, expected=f"a whole number from {least} to {most}")


def _bitrate(word: str) -> Parameter:
    return _whole(f"{word} video bitrate, kbit/s; tasks without one are left out.", 0, LARGEST_BITRATE_KBPS)


def _time(word: str) -> Parameter:
    return Parameter(
        f"Time in seconds since 1970 or as in RFC 3339; nothing {word} is returned.",
        "2027-01-15T08:00:00Z",
        schema={
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,9})?$"},
            ]
        },
        parse=_parse_time,
        expected="seconds since 1970 or a time such as 2027-01-15T08:00:00Z",
    )


_LIMIT: Final = _whole(
    *("Maximum number of items of a page. A page ends earlier if it would be too large.", 1, MAX_LIMIT),
    default=DEFAULT_LIMIT,
)
_FORMAT: Final = choice(
    "Form of the list: json, or csv with a Link header for the next page. Without it, the Accept header decides.",
    ("json", "csv"),
)
_TEXT: Final = Parameter(
    "Part of a TaskId, ChannelId, AppId or app name; case is ignored. Without it, everything matches.", "live-"
)


class Query(Struct, frozen=True, kw_only=True):
    """Filters, order and page that a URL asks for, each with its parameter. An empty text matches everything."""

    account: Annotated[str, Parameter("The name of an account, as the configuration gives it.", "production")] = ""
    app_id: Annotated[str, Parameter("An AppId.", "live-main")] = ""
    task_id: Annotated[str, Parameter("A TaskId.", "task-1")] = ""
    text: Annotated[str, _TEXT] = ""  # part of a TaskId or ChannelId, or of a rule's name, title or owner
    owner: Annotated[str, Parameter("The rule's owner, else the app's.", "live-ops")] = ""
    rule: Annotated[str, Parameter("The name of a rule.", "video-bitrate-agreed")] = ""
    severity: Annotated[str, choice("The severity of rules.", SEVERITIES)] = ""
    enabled: Annotated[str, choice("Whether rules are in force.", ("true", "false"))] = ""
    outcome: Annotated[
        FindingKind, choice("Which findings; violations by default.", FindingKind, parse=FindingKind)
    ] = FindingKind.VIOLATION
    state: Annotated[str, choice("Violations that are open, or that have ended.", ("open", "resolved"))] = "open"
    app_state: str = ""
    change: Annotated[str, choice("Kind of the change.", KINDS)] = ""
    field: Annotated[str, choice("A group of fields that changed.", FIELD_GROUPS)] = ""
    task_region: Annotated[str, choice(labels.TASK_REGION.meaning, labels.TASK_REGION.values)] = ""
    mix_mode: Annotated[str, choice(labels.MIX_MODE.meaning, labels.MIX_MODE.values)] = ""
    push_auth: Annotated[str, choice("A state of the key of a push URL.", labels.PUSH_AUTH_STATE.values)] = ""
    host: Annotated[str, Parameter("The host of a push URL, in lower case.", "push.example.com", parse=str.lower)] = ""
    codec: Annotated[str, choice("The video codec.", labels.CODEC.values)] = ""
    min_video_bitrate_kbps: Annotated[float, _bitrate("Least")] = -inf
    max_video_bitrate_kbps: Annotated[float, _bitrate("Greatest")] = inf
    since: Annotated[float, _time("earlier")] = -inf  # Unix time
    until: Annotated[float, _time("later")] = inf
    age: Annotated[str, choice("", AGES)] = ""  # `aged` turns it into `since` and `until`
    format: Annotated[str, _FORMAT] = ""  # empty: what the Accept header prefers
    sort: str = "task"
    order: Annotated[str, choice("", ("asc", "desc"))] = "asc"
    page: Annotated[int, _whole("", 1, LAST_PAGE)] = 1
    limit: Annotated[int, _LIMIT] = DEFAULT_LIMIT
    after: tuple[str, ...] = ()  # names of the last item of the page before

    @property
    def descending(self) -> bool:
        """Whether the greatest item is first."""
        return self.order == "desc"

    def ranked(self, value: float | None) -> float:
        """Return a number that orders by a value as `sort` says: `-` puts the greatest first, absent ones are last."""
        return inf if value is None else -value if self.sort.startswith("-") else value

    def place_before(self, names: int, *, is_sorted: bool) -> tuple[float | str, ...]:
        """Return the sorted number and names of the last item before a cursor. Raises BadQueryError."""
        if not self.after:
            return -inf, *[""] * names
        number, last = self.after[:-names], self.after[-names:]
        try:
            place = float(number[0]) if number else 0.0
            # A TaskId can be empty, that of the app as a whole.
            if len(number) == is_sorted and all(last[:-1]) and not isnan(place):
                return place, *last
        except ValueError:
            pass
        raise BadQueryError("cursor is of another order, expected the next_cursor of an answer to the same query")

    @property
    def narrows_tasks(self) -> bool:
        """Whether not every task of an app matches."""
        names = ("task_id", "text", "task_region", "mix_mode", "push_auth", "rule", "host", "codec")
        return self.by_bitrate or any(getattr(self, name) for name in names)

    @property
    def by_bitrate(self) -> bool:
        """Whether tasks without a known video bitrate are left out."""
        return self.min_video_bitrate_kbps > -inf or self.max_video_bitrate_kbps < inf

    @property
    def by_time(self) -> bool:
        """Whether findings without a known time are left out."""
        return self.since > -inf or self.until < inf

    def aged(self, now: float) -> "Query":
        """Return this query with its age as `since` and `until`."""
        if not self.age:
            return self
        first, last = AGES[self.age]
        return replace(self, since=now + first, until=now + last)

    def matches_app(self, account: str, app_id: str) -> bool:
        """Whether an app matches."""
        return self.account in {"", account} and self.app_id in {"", app_id}

    def app_of(self, view: View) -> AppView | None:
        """Return the app that a path names, if there is one."""
        return next((app for app in view.statuses() if app.status.key == (self.account, self.app_id)), None)

    def matches_group(self, group: FindingsView) -> bool:
        """Whether a group of findings matches, apart from its tasks."""
        return (
            self.matches_app(group.account, group.app_id)
            and self.rule in {"", group.rule.name}
            and self.severity in {"", group.rule.severity}
            and self.owner in {"", group.owner}
        )

    def matches_time(self, since: float | None) -> bool:
        """Whether a finding that was first seen at `since` matches."""
        return not self.by_time if since is None else self.since <= since <= self.until

    def matches_task(self, entry: Entry, push_keys: Callable[[Entry], Iterable[PushKey]] = lambda _entry: ()) -> bool:
        """Whether a task matches, apart from its app and the rules that it violates."""
        configuration = entry.configuration
        return (
            (not self.task_region or labels.task_region(configuration) == self.task_region)
            and (not self.mix_mode or labels.mix_mode(configuration) == self.mix_mode)
            and self.task_id in {"", entry.task_id}
            and (not self.text or self.has_text(entry.task_id, entry.channel_id))
            and (not self.host or any(output.host == self.host for output in configuration.outputs))
            and (not self.codec or (labels.video(configuration) or ("",))[0] == self.codec)
            and (not self.by_bitrate or self._matches_bitrate(entry))
            and (not self.push_auth or any(key.state == self.push_auth for key in push_keys(entry)))
        )

    def _matches_bitrate(self, entry: Entry) -> bool:
        bitrate = video_bitrate(entry)
        return bitrate is not None and self.min_video_bitrate_kbps <= bitrate <= self.max_video_bitrate_kbps

    def of_past(self, limit: int, *, ended: bool = False) -> HistoryFilter:
        """Return which changes, or violations that have ended, match."""
        shared = ("account", "app_id", "task_id", "change", "field", "rule", "severity", "since", "until")
        before = int(self.after[0]) if self.after else None
        return HistoryFilter(**{name: getattr(self, name) for name in shared}, ended=ended, before=before, limit=limit)

    def matches_rule(self, shown: RuleView) -> bool:
        """Whether a rule matches."""
        rule = shown.rule
        return (
            self.severity in {"", rule.severity}
            and self.enabled in {"", "true" if shown.why_off is None else "false"}
            and self.rule in {"", rule.name}
            and self.has_text(rule.name, rule.title, rule.owner)
        )

    def unknown_names(self, view: View, former_apps: Iterable[tuple[str, str]] = ()) -> Sequence[str]:
        """Return a sentence for each name in a filter that neither exists nor is in `former_apps`."""
        statuses = [app.status for app in view.statuses()]
        apps = {status.key for status in statuses} | set(former_apps)
        unknown = []
        if self.account and self.account not in {account for account, _ in apps}:
            unknown.append(f"There is no account {self.account!r}.")
        elif self.app_id and not any(self.matches_app(*app) for app in apps):
            unknown.append(
                f"There is no app {self.app_id!r}" + (f" in account {self.account!r}." if self.account else ".")
            )
        if self.rule or self.owner:
            rules = [shown.rule for shown in view.rules()]
            if self.rule and self.rule not in {known.name for known in rules}:
                unknown.append(f"There is no rule {self.rule!r}.")
            owners = {known.owner for known in rules} | {status.owner for status in statuses}
            if self.owner and self.owner not in owners:
                unknown.append(f"No app and no rule has the owner {self.owner!r}.")
        return unknown

    def require_known(self, view: View, former_apps: Iterable[tuple[str, str]] = ()) -> None:
        """Raise UnknownNameError if a name in a filter does not exist."""
        if unknown := self.unknown_names(view, former_apps):
            raise UnknownNameError(" ".join(unknown))

    def parameters(self, known: Iterable[Parameter], **changes: str) -> Mapping[str, str]:
        """Return the parameters that ask for this query's first page, with changes; empty where a default is meant."""
        plain = {one.name: _written(getattr(self, one.target)) for one in known if one.target not in {"page", "after"}}
        defaults = {one.name: _written(getattr(_EVERYTHING, one.target)) for one in known}
        return {name: "" if value == defaults[name] else value for name, value in plain.items()} | changes

    def has_text(self, *names: str) -> bool:
        """Whether a name contains the text."""
        return not self.text or any(self.text.lower() in name.lower() for name in names)


_EVERYTHING: Final = Query()
_BY_NAME: Final = {
    name: replace(one, name=name)
    for name, hint in get_type_hints(Query, include_extras=True).items()
    for one in getattr(hint, "__metadata__", ())
}
"""The parameters that several lists have."""


def known(*parts: str | Parameter) -> tuple[Parameter, ...]:
    """Return the parameters of a list, in their order: names of those that several lists have, and its own."""
    found: list[Parameter] = []
    for part in parts:
        found += [part] if isinstance(part, Parameter) else [_BY_NAME[name] for name in part.split()]
    return tuple(found)


def read_query(given: Iterable[tuple[str, str]], parameters: Sequence[Parameter]) -> Query:
    """Return what the parameters of an API request ask for. Raises BadQueryError."""
    by_name = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in given:
        if name not in by_name:
            expected = f"one of {', '.join(by_name)}" if by_name else "none"
            raise BadQueryError(f"unknown parameter {name!r}, expected {expected}")
        parameter = by_name[name]
        if parameter.target in values:
            raise BadQueryError(f"{name} is given twice, expected once")
        if not text:
            raise BadQueryError(f"{name} is empty, expected a value")
        values[parameter.target] = parameter.read(text)
    return _checked(Query(**values))


def read_form(given: Mapping[str, str], parameters: Iterable[Parameter]) -> Query:
    """Return the query of a page's form; empty fields match everything. Raises BadQueryError."""
    values: dict[str, Any] = {}
    for parameter in parameters:
        text = given.get(parameter.name, "").strip()
        if len(text) > LONGEST_TEXT:
            raise BadQueryError(f"{parameter.name} has {len(text)} characters, expected at most {LONGEST_TEXT}")
        if text:
            values[parameter.target] = parameter.read(text)
    return _checked(Query(**values))


def _checked(query: Query) -> Query:
    if query.since > query.until:
        raise BadQueryError("since is later than until: nothing can match")
    return query


def video_bitrate(entry: Entry) -> int | None:
    """Return the video bitrate of a task in kbit/s; None: there is no readable one."""
    encoding = entry.configuration.encoding
    return None if encoding is None else encoding.video.bitrate_kbps
