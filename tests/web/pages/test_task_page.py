"""`/apps/…/tasks/…`: one task, and the drawing of its panes."""

import re
from math import inf, isfinite, nan

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exporter.core.task import Configuration, Encoding, Output, Pane, Sei
from exporter.rules.rule import Outcome, Severity
from exporter.web.pages.task_page import LONG_SIDE, MOST_PANES, PaneLayout, pane_layout
from exporter.web.view import FindingDetail, TaskFinding
from tests.metrics.builders import configuration, encoding
from tests.web.fake_view import FULL, NOW, FakeView, app_view, entry, push_key, recorded, rule
from tests.web.pages.page_view import Page, page_of

NO_SEI = Sei(None, None, None, None, None, has_payload=False)
PATH = "/apps/production/live-main/tasks/t-1"


async def page_of_task(of: Configuration = FULL, *findings: TaskFinding) -> Page:
    """Return the page of a task."""
    view = FakeView([app_view()])
    view.put([entry("t-1", of)])
    view.task_findings = findings
    view.recorded = [recorded(1, task_id="t-1"), recorded(2, task_id="t-2", change="removed")]
    return await page_of(view, PATH)


async def settings(of: Configuration) -> dict[str, dict[str, str]]:
    """Return the values of a task's settings by heading and name."""
    html = (await page_of_task(of)).html
    found = re.findall(r'<h2>([^<]+)</h2>\s*<dl class="settings">(.*?)</dl>', html, re.DOTALL)
    rows = {heading: re.findall(r"<dt>(.*?)</dt><dd>(.*?)(?: <code .*?)?</dd>", rows) for heading, rows in found}
    return {heading: {name: re.sub("<.*?>", "", value) for name, value in of} for heading, of in rows.items()}


async def test_every_setting_has_a_value() -> None:
    """A task that has everything shows everything, with units."""
    shown = await settings(FULL)
    assert shown["General"] == {
        "Channel": "channel",
        "Region": "CN-Shanghai",
        "Mode": "mixed",
        "Idle timeout": "60 s",
        "Billing tier (estimate)": "720p",
    }
    assert shown["Source"] == {"Stream": "audio", "Source": "camera"}
    assert shown["Video"]["Group of pictures"] == "50 frames (2 s)"
    assert shown["Video"]["Bitrate"] == "1,500 kbit/s"
    assert shown["Audio"] == {"Bitrate": "128 kbit/s", "Channels": "2", "Sample rate": "48,000 Hz"}
    assert shown["Users and background"] == {
        "Users who are mixed": "1",
        "Their streams": "1 x camera",
        "Background image": "set",
        "Background mode": "not set",
    }
    assert shown["SEI"]["Payload"] == "set, not shown"


async def test_what_is_not_set_is_not_what_can_t_be_read() -> None:
    """An absent value is not set; one without a readable form is said to be unreadable."""
    unreadable = ("EncodeParams.VideoBitrate", "MaxIdleTime", "EncodeParams.VideoCodec", "SeiParams.PayloadType")
    bad = configuration(encoding=encoding(codec=None), sei=NO_SEI, field_errors=unreadable)
    shown = await settings(bad)
    assert (shown["General"]["Idle timeout"], shown["Video"]["Bitrate"]) == ("unreadable", "unreadable")
    assert (shown["Video"]["Codec"], shown["SEI"]["Payload type"]) == ("unreadable", "unreadable")
    assert shown["Video"]["Frame rate"] == "not set"
    assert shown["Users and background"]["Users who are mixed"] == "all of the channel"


async def test_parts_that_a_task_has_not_are_left_out() -> None:
    """A plain task has no heading over nothing; an audio-only one has no video to speak of."""
    assert list(await settings(configuration())) == ["General"]
    assert (await settings(configuration(encoding=encoding(audio_only=True))))["Video"] == {"Video": "none: audio only"}


async def test_the_page_has_all_of_it() -> None:
    """Ages, settings with the vendor's names, outputs, panes, odd values and changes stand on it."""
    page = await page_of_task()
    for words in (
        "First seen 1 min ago , changed 30 s ago , list read 3 s ago .",
        "Idle timeout 60 s MaxIdleTime",
        "rtmp://push.example.com not said yes",
        "Not readable: UserPanes.RenderMode .",
        "added",
        "No rule has anything against it.",
    ):
        assert words in page.text
    assert "removed" not in page.text


async def test_panes_are_drawn_with_attributes_alone() -> None:
    """The picture has a frame, each pane, and marks where panes of one layer overlap; nothing carries a style."""
    pane = Pane(0.1, 0.1, 0.5, 0.5, 0, None, "screen", has_background_image=True)
    page = await page_of_task(msgspec.structs.replace(FULL, panes=(pane, pane)))
    classes = [rect.get("class") for rect in page.all("rect")]
    assert classes == ["hatch", "frame", "pane", "pane", "overlap"]
    assert "Hatched: panes of one layer overlap." in page.text
    assert not any("style" in attributes for _, attributes in page.elements)


async def test_findings_stand_in_the_order_of_their_urgency() -> None:
    """Violations first, the severest of them first, with message, age and remedy; what passed is counted."""
    bad = rule("bad", severity=Severity.CRITICAL, remedy="Lower it.")
    findings = (
        TaskFinding(rule("agreed"), Outcome.EXEMPT, None, FindingDetail(message="too fast", exemption="load-test")),
        TaskFinding(rule("odd"), Outcome.ERROR, None, FindingDetail(reason="no such field")),
        TaskFinding(rule("mild"), Outcome.VIOLATION, NOW - 5, FindingDetail(message="a bit much")),
        TaskFinding(bad, Outcome.VIOLATION, NOW - 90, FindingDetail(message="8 Mbit/s")),
        TaskFinding(rule("good"), Outcome.PASS, None, FindingDetail()),
        TaskFinding(rule("other"), Outcome.NOT_APPLICABLE, None, FindingDetail()),
    )
    page = await page_of_task(FULL, *findings)
    for words in (
        "critical 8 Mbit/s Lower it. 1 min 30 s ago",
        "warning a bit much 5 s ago",
        "can't be evaluated no such field",
        "exempted too fast exemption: load-test",
        "1 rule passed, 1 not about a task like this.",
    ):
        assert words in page.text
    places = [page.text.index(words) for words in ("8 Mbit/s", "a bit much", "no such field", "too fast")]
    assert places == sorted(places)


async def test_an_unknown_task_is_a_page_of_its_own() -> None:
    """It is 404, names what was asked for, and leads to its app."""
    view = FakeView([app_view()])
    page = await page_of(view, "/apps/production/live-main/tasks/gone")
    assert page.status == 404
    assert "has no task gone, or has it no more" in page.text
    assert "/apps/production/live-main" in page.links


ANY_NUMBER = st.one_of(st.none(), st.floats(), st.floats(-2, 2))


def pane(
    x: float | None, y: float | None, width: float | None, height: float | None, z_order: int | None = None
) -> Pane:
    """Return a pane at a place."""
    return Pane(x, y, width, height, z_order, None, None, has_background_image=False)


def layout(*panes: Pane, of: Encoding | None = None) -> PaneLayout:
    """Return the drawing of some panes."""
    drawn = pane_layout(panes, of)
    assert drawn is not None
    return drawn


def test_the_frame_has_the_shape_of_the_video() -> None:
    """Landscape, portrait, and 16:9 where the size is not known or makes no picture; no panes, no drawing."""
    assert pane_layout((), None) is None
    shapes = [
        (encoding(width=1280, height=720), (960, 540)),
        (encoding(width=720, height=1280), (540, 960)),
        (encoding(width=640, height=480), (960, 720)),
        (encoding(), (960, 540)),
        (None, (960, 540)),
        (encoding(width=0, height=720), (960, 540)),
        (encoding(width=100_000, height=1), (960, 540)),
    ]
    for of, size in shapes:
        drawn = layout(pane(0, 0, 1, 1), of=of)
        assert (drawn.width, drawn.height) == size


def test_panes_of_one_layer_overlap() -> None:
    """What two of them share is marked once, and both are named; neighbours share nothing, whatever their rounding.

    A picture in a picture is meant: the higher layer is drawn last, and nothing is marked.
    """
    third = 1 / 3
    drawn = layout(*(pane(place * third, 0, third, 1) for place in range(3)))
    assert [one.rectangle.x for one in drawn.panes] == [0, 320, 640]
    assert (drawn.overlaps, drawn.overlapping, drawn.not_drawn) == ((), frozenset(), 0)
    assert not any(one.leaves_frame for one in drawn.panes)
    drawn = layout(pane(0, 0, 0.5, 1), pane(0.25, 0, 0.5, 1), pane(0.25, 0, 0.5, 1), pane(0.9, 0, 0.1, 0.1))
    assert [(one.x, one.width) for one in drawn.overlaps] == [(240, 240), (240, 480)]
    assert drawn.overlapping == {1, 2, 3}
    assert [text for _, _, text in drawn.labels] == ["1", "2, 3", "4"]
    drawn = layout(pane(0.7, 0.7, 0.2, 0.2, z_order=1), pane(0, 0, 1, 1, z_order=0))
    assert [one.number for one in drawn.panes] == [2, 1]
    assert drawn.overlapping == frozenset()


def test_a_pane_that_leaves_the_frame_is_cut() -> None:
    """The part inside is drawn, and that there is another part is said; what has no place there is counted."""
    (drawn,) = layout(pane(-0.5, 0.5, 1, 1)).panes
    assert (drawn.rectangle.x, drawn.rectangle.width, drawn.rectangle.height) == (0, 480, 270)
    assert drawn.leaves_frame
    sides = [pane(x, y, 1, 1) for x, y in ((-0.1, 0), (0, -0.1), (0.1, 0), (0, 0.1))]
    drawn_sides = layout(*sides, pane(0.5, 0, 0.5 + 1e-12, 1)).panes
    assert [one.leaves_frame for one in drawn_sides] == [True] * 4 + [False]
    nowhere = [pane(None, 0, 1, 1), pane(nan, 0, 1, 1), pane(0, inf, 1, 1), pane(0, 0, -1, 1), pane(7, 0, 1, 1)]
    assert layout(pane(0, 0, 1, 1), *nowhere).not_drawn == 5
    assert layout(*[pane(0, 0, 0.1, 0.1)] * (MOST_PANES + 3)).not_drawn == 3


@given(st.lists(st.builds(pane, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, ANY_NUMBER, st.none() | st.integers()), min_size=1))
def test_everything_is_drawn_inside_of_the_frame(panes: list[Pane]) -> None:
    """Whatever the numbers, all that is drawn is finite and within the frame."""
    drawn = layout(*panes)
    assert len(drawn.panes) + drawn.not_drawn == len(panes)
    for one in [*(each.rectangle for each in drawn.panes), *drawn.overlaps]:
        assert all(map(isfinite, (one.x, one.y, one.width, one.height)))
        assert 0 <= one.x <= LONG_SIDE
        assert one.x + one.width <= drawn.width + 0.2
        assert one.y + one.height <= drawn.height + 0.2


async def test_keys_of_push_urls_have_their_signer_and_expiry() -> None:
    """A key that expires says when, an expired one since when; the signer is the one by setting; no address is said."""
    signed = [
        Output("rtmp", f"{signer}.example", is_ali_cdn=None, has_userinfo=False, signer=signer)
        for signer in ("tencent", "oss", "alibaba", "none")
    ]
    empty = Output("", "", is_ali_cdn=None, has_userinfo=False)
    view = FakeView([app_view()])
    view.put([entry("t-1", configuration(outputs=(*signed, empty)))])
    view.push_keys = {
        "t-1": (
            push_key("expiring", int(NOW) + 3 * 3600, "tencent"),
            push_key("expired", int(NOW) - 3600, "oss"),
            push_key("unreadable", None, "huawei"),
            push_key("unsigned", None, "none"),
        )
    }
    text = " ".join((await page_of(view, PATH)).text.split())
    assert "tencent.example not said no tencent, expires in 3 h" in text
    assert "oss.example not said no oss, expired 1 h ago" in text
    assert "alibaba.example not said no huawei, expiry unknown" in text
    assert "rtmp://none.example not said no none" in text
    assert "no scheme://no host not said no none" in text
