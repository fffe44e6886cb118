"""Makes answers of templates: everything is escaped, and what a template is not given is an error."""

import re
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter import __version__
from exporter.clock import Clock
from exporter.web.answers import text_answer
from exporter.web.pages import paths, words
from exporter.web.pages.app import from_to
from exporter.web.pages.task import output_address

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What HTML has no place for, and what a terminal would act upon that shows a page as it is."""


class Renderer:
    """Makes pages.

    Args:
        clock: From which ages are counted.
        telemetry_path: Where the metrics are, for links.
    """

    def __init__(self, clock: Clock, telemetry_path: str) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=PackageLoader("exporter.web.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            version=__version__,
            telemetry_path=telemetry_path,
            app_path=paths.app_path,
            with_query=paths.with_query,
            safe_link=paths.safe_link,
            counted=words.counted,
            from_to=from_to,
            output_address=output_address,
        )
        self._environment.filters.update(
            age=lambda then: words.age(then, clock.now()),
            wait=lambda then: words.wait(then, clock.now()),
            duration=words.spoken_duration,
            number=words.number,
            rate=words.rate,
            spaced=words.spaced,
            timestamp=words.timestamp,
        )

    def html(self, template: str, **shown: Any) -> str:
        """Return a page.

        Args:
            template: The name of its template, without ending.
            shown: What the template is given.
        """
        page = self._environment.get_template(f"{template}.html").render(shown, now=self._clock.now())
        return _CONTROL.sub(_written, page)

    def answer(self, template: str, *, status: int = 200, **shown: Any) -> web.Response:
        """Return a page as an answer."""
        return text_answer(self.html(template, **shown), "text/html", status)


def _written(control: re.Match[str]) -> str:
    """Write a control character as Python does."""
    return f"\\x{ord(control[0]):02x}"
