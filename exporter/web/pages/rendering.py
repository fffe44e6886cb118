"""HTML from templates: everything is escaped, and a missing value is an error."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from aiohttp import web

from exporter import __version__
from exporter.core.clock import Clock
from exporter.web.responses import text_answer

if TYPE_CHECKING:
    from jinja2 import Environment

CHART_POINTS: Final = 120
MIN_CHART_POINTS: Final = 2
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def spoken_duration(seconds: float) -> str:
    """Format a duration in its two largest units: `250 ms`, `12 s`, `3 min 5 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{round(max(0.0, seconds) * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    (unit, size), (smaller, smaller_size) = next(pair for pair in pairwise(_UNITS) if seconds >= pair[0][1])
    rest = int(seconds % size // smaller_size)
    return f"{int(seconds // size)} {unit}" + (f" {rest} {smaller}" if rest else "")


def age(then: float, now: float) -> str:
    """Format how long ago a Unix time was."""
    seconds = int(now - then)
    return f"{spoken_duration(seconds)} ago" if seconds > 0 else "now"


def wait(then: float, now: float) -> str:
    """Format how far ahead a Unix time is."""
    seconds = then - now
    return f"in {spoken_duration(round(seconds))}" if seconds >= 1 else "now"


def chart_lines(values: Sequence[int | None]) -> Sequence[str]:
    """Return the points of a small chart, 120 wide and 24 high, as a line for each stretch of known values."""
    step = -(-len(values) // CHART_POINTS)
    shown = values[::-step][::-1] if step else ()
    known = [value for value in shown if value is not None]
    if len(known) < MIN_CHART_POINTS:
        return ()
    least, spread = min(known), max(known) - min(known)
    lines: list[list[str]] = [[]]
    for place, value in enumerate(shown):
        if value is None:
            lines.append([])
        else:
            height = 22 - 20 * (value - least) / spread if spread else 12
            lines[-1].append(f"{120 * place / (len(shown) - 1):.4g},{height:.3g}")
    return [" ".join(line) for line in lines if len(line) > 1]


def counted(count: int, noun: str) -> str:
    """Format a count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def app_path(root: str, account: str, app_id: str, *rest: str) -> str:
    """Return the path of an app's page, or of one below it; `root` is what all links begin with."""
    return f"{root}/apps/" + "/".join(quote(part, safe="", errors="replace") for part in (account, app_id, *rest))


def with_query(path: str, parameters: Mapping[str, str]) -> str:
    """Return a path with the parameters that are not empty."""
    query = urlencode([(name, value) for name, value in parameters.items() if value], errors="replace")
    return f"{path}?{query}" if query else path


def safe_link(url: str) -> str | None:
    """Return a URL that a page may link to; None: it is not http or https."""
    return url if url.lower().startswith(("https://", "http://")) else None


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "duration": spoken_duration,
    "number": "{:,}".format,
    "rate": lambda value: f"{value:,.2f}".rstrip("0").rstrip("."),
    "spaced": lambda name: name.replace("_", " "),
    "timestamp": lambda then: datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
}
"""How templates show values: a rate with at most two decimals, a Unix time as RFC 3339 in UTC."""

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that HTML can't hold and a terminal would act on."""


class PageError(Exception):
    """Shown as a page: status, title, message, and a link, below the root or elsewhere, that leads on."""

    def __init__(self, status: int, title: str, message: str, link: str = "/", link_text: str = "To all apps") -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.link = link
        self.link_text = link_text


class Renderer:
    """Renders templates; all links begin with `root`, which `telemetry_path` follows; `grafana_url` may be empty."""

    def __init__(self, clock: Clock, root: str, telemetry_path: str, grafana_url: str = "") -> None:
        self._clock = clock
        self._telemetry_path = telemetry_path
        self._grafana_url = grafana_url
        self.root = root
        self.app_path = partial(app_path, root)

    def html(self, template: str, **shown: Any) -> str:
        """Return a page; `template` is a name without ending."""
        page = self._environment.get_template(f"{template}.html").render(shown, now=self._clock.now())
        return _CONTROL.sub(lambda control: f"\\x{ord(control[0]):02x}", page)

    def answer(self, template: str, *, status: int = 200, **shown: Any) -> web.Response:
        """Return a page as a response."""
        return text_answer(self.html(template, **shown), "text/html", status)

    def error(self, error: PageError) -> web.Response:
        """Return the page of an error."""
        link = self.root + error.link if error.link.startswith("/") else error.link
        shown = {"title": error.title, "message": str(error), "link": link, "link_text": error.link_text}
        return self.answer("error", status=error.status, **shown)

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only who looks at a page loads it

        environment = Environment(
            loader=PackageLoader("exporter.web.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(
            version=__version__,
            root=self.root,
            telemetry_path=self._telemetry_path,
            grafana_url=self._grafana_url,
            app_path=self.app_path,
            with_query=with_query,
            safe_link=safe_link,
            counted=counted,
            chart_lines=chart_lines,
        )
        environment.filters.update(
            FILTERS, age=lambda then: age(then, self._clock.now()), wait=lambda then: wait(then, self._clock.now())
        )
        return environment
