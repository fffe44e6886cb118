"""How a page is made of what a template is given."""

from exporter.web.pages.rendering import Renderer
from tests.web.test_application import FixedClock


def test_control_characters_are_written_out() -> None:
    """What a terminal would act upon, and HTML has no place for, is shown as Python writes it; line ends stay."""
    shown = "a\x1b[31m\x00\x9b\r\n<b>"
    page = Renderer(FixedClock(), "/metrics").html("error", title=shown, message=shown, link="/", link_text=shown)
    assert r"a\x1b[31m\x00\x9b\x0d" in page
    assert "\n&lt;b&gt;" in page
