"""The page of changes, and the timeline of a task."""

from collections.abc import Collection, Sequence

import msgspec
import pytest

from exporter.collector.past import FieldChange, HistoryError, HistoryFilter, MemoryPast, PastViolation, RecordedChange
from tests.web.fake_view import NOW, FakeView, app_view, entry, recorded
from tests.web.pages.page_view import client_of, page_of

TASK = "/apps/production/live-main/tasks/t-1"
MODIFIED = recorded(
    1,
    task_id="t-1",
    change="modified",
    earliest=NOW - 240,
    fields=(FieldChange("video", "720p", "1080p"),),
    notes=("probably_restarted",),
)
ENDED = PastViolation(1, "production", "live-main", "t-1", "bitrate", "warning", "8 Mbit/s", NOW, NOW + 60, "fixed")


class LostPast(MemoryPast):
    """A database that is away."""

    async def changes(self, wanted: HistoryFilter) -> Sequence[RecordedChange]:
        raise HistoryError(f"the database is away: {wanted.limit}")

    async def apps(self) -> Collection[tuple[str, str]]:
        return ()


class LostView(FakeView):
    """A view without its past."""

    def past(self) -> MemoryPast:
        """Return one that fails."""
        return LostPast(lambda: (), lambda: NOW)


def view_of_changes() -> FakeView:
    """Return a view of one task with a past."""
    view = FakeView([app_view()])
    view.put([entry("t-1")])
    view.recorded = [MODIFIED, recorded(2, task_id="t-2", change="removed")]
    view.ended = [ENDED]
    return view


async def test_changes_are_filtered_and_dated() -> None:
    """What happened while the exporter was down has both ends of the time; each row names its app."""
    page = await page_of(view_of_changes(), "/changes", {"change": "modified", "field": "video"})
    assert "video: 720p \N{RIGHTWARDS ARROW} 1080p probably restarted" in page.text
    assert "between 2027-01-15 07:56:00 UTC and 2027-01-15 08:00:01 UTC" in page.text
    assert "t-2" not in page.text
    assert "production / live-main modified" in page.text


async def test_older_changes_are_on_further_pages() -> None:
    """Following the link shows each change once."""
    view = FakeView([app_view()])
    view.recorded = [recorded(number) for number in range(1, 121)]
    async with client_of(view) as client:
        texts = [await (await client.get("/changes", params=query)).text() for query in ({}, {"cursor": "71"})]
    assert "cursor=71" in texts[0]
    assert '<a href="/changes">Newest</a>' in texts[1]
    assert "task-71<" in texts[0]
    assert "task-70<" not in texts[0]
    assert "task-70<" in texts[1]
    assert "task-71<" not in texts[1]


async def test_no_such_app_is_said() -> None:
    """An empty table would look like nothing has changed."""
    page = await page_of(view_of_changes(), "/changes", {"app_id": "nobodys"})
    assert "There is no app 'nobodys'." in page.text


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_task_has_a_timeline(is_listed: bool) -> None:
    """Changes and violations from open to resolved, also of a task that is gone."""
    view = view_of_changes()
    if not is_listed:
        view.entries.clear()
    page = await page_of(view, TASK)
    assert page.status == 200
    assert ("not listed any more" in page.text) is not is_listed
    assert "bitrate : 8 Mbit/s fixed, 2027-01-15 08:01:00 UTC" in page.text
    assert page.text.index("720p") < page.text.index("probably restarted") < page.text.index("8 Mbit/s")


async def test_a_task_that_nobody_knows_is_not_found() -> None:
    """Without a past there is nothing to show."""
    assert (await page_of(view_of_changes(), TASK.replace("t-1", "t-9"))).status == 404


async def test_a_database_that_is_away_is_said() -> None:
    """The page of changes and the API answer 503; pages about the present go on without the past."""
    view = LostView([app_view()])
    view.put([entry("t-1")])
    page = await page_of(view, "/changes")
    assert (page.status, "the database is away" in page.text) == (503, True)
    async with client_of(view) as client:
        answer = await client.get("/api/v1/changes")
        assert answer.status == 503
        assert "the database is away" in (await answer.json())["error"]
    assert (await page_of(view, TASK)).status == 200
    assert (await page_of(view, "/apps/production/live-main")).status == 200


async def test_violations_that_have_ended_are_in_the_api() -> None:
    """With state=resolved the newest come first, with times, reason and a cursor."""
    view = view_of_changes()
    view.ended = [msgspec.structs.replace(ENDED, number=number) for number in (1, 2, 3)]
    async with client_of(view) as client:
        query = {"state": "resolved", "limit": "2"}
        first = await (await client.get("/api/v1/violations", params=query)).json()
        rest = await (await client.get("/api/v1/violations", params={**query, "cursor": first["next_cursor"]})).json()
    assert [[found["number"] for found in page["violations"]] for page in (first, rest)] == [[3, 2], [1]]
    (found,) = rest["violations"]
    assert (found["rule"], found["why"], found["resolved_timestamp_seconds"]) == ("bitrate", "fixed", NOW + 60)
    assert (rest["matching"], rest["next_cursor"]) == (None, None)
