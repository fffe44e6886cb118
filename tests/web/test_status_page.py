"""The status page: what a person learns from it, and that hostile text stays text."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.state import State
from exporter.web.status_page import spoken_duration, status_page
from exporter.web.view import AppView
from tests.web.fake_view import NOW, PENDING, app_view

TASKS = {("CN-Shanghai", "single"): 137, ("AP-Singapore", "single"): 3, ("CN-Shanghai", "mixed"): 39}


class Page(HTMLParser):
    """What stands on a page: its elements with attributes, and its text."""

    def __init__(self, *apps: AppView, telemetry_path: str = "/metrics") -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.html = status_page(apps, now=NOW, version="1.2.3", telemetry_path=telemetry_path)
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.words.extend(data.split())

    @property
    def text(self) -> str:
        """All text, one space between words."""
        return " ".join(self.words)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of one name."""
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_says_how_many_apps_are_up_and_what_it_does_not_know() -> None:
    """The first figures say for how many apps the page speaks, and a note that the list is no stream health."""
    page = Page(app_view(TASKS), PENDING)
    assert "1 of 2 apps up" in page.text
    assert "179 tasks in 1 of 2 apps" in page.text
    assert "not how streams are doing" in page.text


def test_a_healthy_app_shows_counts_quota_ages_and_interval() -> None:
    """A row has the app, its people, tasks by mode over all regions against quota, ages and effective intervals."""
    page = Page(app_view(TASKS))
    for words in ("live-main Main stage", "production , live-ops", "140 of 200", "39 of 40", "3 s ago", "2 min ago"):
        assert words in page.text
    assert "10 s sweep 5 min" in page.text
    assert [(meter["value"], meter["max"]) for meter in page.all("meter")] == [("140", "200"), ("39", "40")]


def test_times_can_be_read_by_machines() -> None:
    """Each age carries the moment in UTC."""
    moments = [time["datetime"] for time in Page(app_view(TASKS)).all("time")]
    assert moments == ["2027-01-15T07:59:57Z", "2027-01-15T07:58:00Z", "2027-01-15T08:00:00Z"]


def test_what_is_unknown_is_a_dash_and_never_zero() -> None:
    """An app without data shows dashes for tasks and ages, and its reason in words."""
    page = Page(PENDING)
    assert "pending the first sweep has not finished" in page.text
    assert page.text.count("\N{EN DASH}") == 4
    assert not page.all("meter")
    assert "0 of 200" not in page.text


def test_withdrawn_tasks_are_called_withdrawn() -> None:
    """An app whose data grew too old says so and after how long."""
    page = Page(app_view(None, state=State.AUTH_ERROR, reason="the key is unknown", up=False, data_available=False))
    assert "auth error the key is unknown Tasks withdrawn: older than 15 min." in page.text


def test_no_quota_is_no_limit() -> None:
    """Without a quota the number stands alone; a quota of 0 has no meter."""
    page = Page(app_view(TASKS, quota_single=None, quota_mixed=0))
    assert "140 39 of 0" in page.text
    assert not page.all("meter")


def test_tasks_of_an_unknown_mode_are_mentioned() -> None:
    """Tasks of mode `other` are on the page, so that its numbers add up."""
    assert "and 2 of another mode" in Page(app_view({**TASKS, ("other", "other"): 2})).text


def test_stretched_intervals_are_said() -> None:
    """An app that is read less often than configured says by how much."""
    page = Page(app_view(TASKS, interval_seconds=25.0, sweep_interval_seconds=750.0, interval_stretch_ratio=2.5))
    assert "25 s sweep 12 min 30 s stretched 2.5 times" in page.text


def test_the_worst_apps_come_first() -> None:
    """Failing apps stand above healthy ones, the worst on top; equals keep the order of the configuration."""
    page = Page(
        app_view(TASKS, app_id="well-1"),
        app_view(None, app_id="slow", state=State.TIMEOUT, reason="r", up=False),
        app_view(TASKS, app_id="well-2"),
        app_view(None, app_id="locked", state=State.AUTH_ERROR, reason="r", up=False),
    )
    shown = [page.text.index(app_id) for app_id in ("locked", "slow", "well-1", "well-2")]
    assert shown == sorted(shown)


def test_an_empty_configuration_is_said() -> None:
    """Without apps there is a sentence in place of the table."""
    page = Page()
    assert "0 of 0 apps up" in page.text
    assert "No app is configured." in page.text
    assert not page.all("table")


def test_the_page_links_to_the_other_paths() -> None:
    """The links go to what the server has, the metrics where the operator put them."""
    links = [link["href"] for link in Page(telemetry_path="/m").all("a")]
    assert links == ["/m", "/config", "/api/v1/apps", "/api/v1/changes", "/-/ready", "/-/healthy"]


def test_the_page_needs_nothing_but_its_own_style_sheet() -> None:
    """No script, no inline style, no resource of others: what the content security policy forbids is not there."""
    page = Page(app_view(TASKS), PENDING)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "style", "img", "iframe", "form"})
    assert not [attributes for _, attributes in page.elements if "style" in attributes or "onclick" in attributes]
    assert [link["href"] for link in page.all("link")] == ["/static/style.css"]


@settings(max_examples=50)
@given(text=st.text(st.characters(codec="utf-8"), max_size=30) | st.just("<script>alert('\"&{0}%s"))
def test_hostile_text_stays_text(text: str) -> None:
    """Whatever an app is called, the page has the same elements, and the text as it was."""
    plain = Page(app_view(TASKS, state=State.TIMEOUT, reason="r", up=False))
    hostile = Page(
        app_view(
            TASKS,
            account=f"A{text}",
            app_id=f"I{text}",
            name=f"N{text}",
            owner=f"O{text}",
            state=State.TIMEOUT,
            reason=f"R{text}",
            up=False,
        )
    )
    assert hostile.elements == plain.elements


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [
        (0.25, "250 ms"),
        (1, "1 s"),
        (2.5, "2.5 s"),
        (59, "59 s"),
        (60, "1 min"),
        (185.9, "3 min 5 s"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (3659, "1 h"),
        (86400 * 2 + 3600 * 4 + 59, "2 d 4 h"),
    ],
)
def test_durations_are_spoken_in_two_units(seconds: float, spoken: str) -> None:
    """A duration has at most its two largest units."""
    assert spoken_duration(seconds) == spoken
