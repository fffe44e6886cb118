"""Pages over HTTP, and what is on them."""

from collections.abc import Mapping
from html.parser import HTMLParser

from tests.web.fake_view import FakeView, client_of


class Page(HTMLParser):
    """What is on a page: its elements with attributes, and its text."""

    def __init__(self, html: str, status: int = 200) -> None:
        super().__init__()
        self.html = html
        self.status = status
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.extend(data.split())

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def links(self) -> list[str]:
        """Where it leads to, in order."""
        return [attributes["href"] or "" for attributes in self.all("a")]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


async def page_of(view: FakeView, path: str, parameters: Mapping[str, str] | None = None) -> Page:
    """Return the page at a path."""
    async with client_of(view) as client:
        answer = await client.get(path, params=parameters)
        assert answer.content_type == "text/html"
        return Page(await answer.text(), answer.status)
