"""The rules of the operation, and the variants of what nobody documents."""

import json
from typing import Any

import pytest

from exporter.simulator.listing import VARIANT_DESCRIPTIONS, Parameters, Variants
from exporter.simulator.protocol import ServiceError
from exporter.simulator.service import Service
from tests.simulator.support import code, page_query, signed, small_service, task_ids
from tests.support.virtual_time import SetClock


def everything(service: Service, page_size: int = 100) -> list[str]:
    """Return the TaskIds of all pages up to the first short one."""
    found: list[str] = []
    for page_no in range(1, 1000):
        page = task_ids(service.body(Parameters("app", page_no, page_size)))
        found += page
        if len(page) < page_size:
            break
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"AppId": ""}, "MissingParam"),
        ({"PageNo": ""}, "MissingParam"),
        ({"PageSize": ""}, "MissingParam"),
        *(({name: None}, "MissingParam") for name in ("AppId", "PageNo", "PageSize")),
        ({"AppId": "no such app"}, "InvalidAppId"),
        ({"AppId": "a" * 65}, "InvalidAppId"),
        ({"AppId": "unknown"}, "InvalidAppId"),
        ({"PageSize": "0"}, "InvalidParam"),
        ({"PageSize": "101"}, "InvalidParam"),
        ({"PageSize": "ten"}, "InvalidParam"),
        ({"PageSize": "-1"}, "InvalidParam"),
        ({"PageNo": "0"}, "InvalidParam"),
        ({"PageNo": "1.5"}, "InvalidParam"),
        ({"TaskId": "no such task"}, "InvalidParam"),
        ({"TaskId": "a" * 56}, "InvalidParam"),
        ({"TaskId": "task-1", "PageNo": "", "PageSize": "999"}, ""),
        ({"PageNo": "1", "PageSize": "100"}, ""),
        ({"PageNo": "77", "PageSize": "1"}, ""),
    ],
)
def test_parameters_are_checked(clock: SetClock, change: dict[str, str | None], expected: str) -> None:
    """Each documented rule has its code, also of what is not there at all (None); with a TaskId paging is optional."""
    service = small_service(clock, 3)
    query = {name: value for name, value in {**page_query(), **change}.items() if value is not None}
    response = service.handle(signed(query))
    assert code(response) == expected
    assert response.status == (400 if expected else 200)


@pytest.mark.parametrize("tasks", [0, 1, 9, 10, 11, 25])
def test_pages_hold_the_whole_list_newest_first(clock: SetClock, tasks: int) -> None:
    """All pages together are the list; each is full but the last."""
    service = small_service(clock, tasks)
    assert everything(service, 10) == [f"task-{number}" for number in range(tasks - 1, -1, -1)]


def test_a_look_up_brings_the_one_task(clock: SetClock) -> None:
    """With a TaskId there is that task alone."""
    assert task_ids(small_service(clock, 30).body(Parameters("app", task_id="task-7"))) == ["task-7"]


@pytest.mark.parametrize(("variant", "rows"), [("empty", []), ("last_page", ["task-0"]), ("invalid_param", None)])
def test_past_the_end(clock: SetClock, variant: str, rows: list[str] | None) -> None:
    """A page past the end is empty, an error, or the last page again, also when the last one was full."""
    service = small_service(clock, 3, past_end=variant)
    for page_no, page_size in ((3, 2), (99, 2), (4, 1)):
        if rows is None:
            with pytest.raises(ServiceError, match="InvalidParam"):
                service.body(Parameters("app", page_no, page_size))
        else:
            assert task_ids(service.body(Parameters("app", page_no, page_size))) == rows


@pytest.mark.parametrize(
    ("variant", "status", "expected"),
    [
        ("empty", 200, {"MPUTasks": []}),
        ("no_list", 200, {}),
        ("bad_request", 400, {"Code": "InvalidParam"}),
        ("not_found", 404, {"Code": "TaskNotExist"}),
    ],
)
def test_an_unknown_task(clock: SetClock, variant: str, status: int, expected: dict[str, Any]) -> None:
    """A TaskId that does not exist is answered in one of four ways."""
    service = small_service(clock, 3, unknown_task=variant)
    response = service.handle(signed({"AppId": "app", "TaskId": "nobody"}))
    body = json.loads(response.body)
    assert response.status == status
    assert {name: body[name] for name in ("MPUTasks", "Code") if name in body} == expected


@pytest.mark.parametrize(("variant", "expected"), [("list", [[]]), ("null", [None]), ("absent", [])])
def test_an_app_without_tasks(clock: SetClock, variant: str, expected: list[Any]) -> None:
    """`MPUTasks` of an empty app is an empty list, null or missing."""
    body = json.loads(small_service(clock, 0, empty_app=variant).body(Parameters("app", 1)))
    assert [body["MPUTasks"]] * ("MPUTasks" in body) == expected if expected else "MPUTasks" not in body


def test_look_ups_may_be_free(clock: SetClock) -> None:
    """Whether look-ups count against the limit is a variant; pages always do."""
    look_up = {"AppId": "app", "TaskId": "task-0"}
    for counted, refused in ((True, 10), (False, 0)):
        service = small_service(clock, 3, look_ups_counted=counted)
        codes = [code(service.handle(signed(look_up))) for _ in range(60)]
        assert codes.count("Throttling.User") == refused
        pages = [code(service.handle(signed(page_query()))) for _ in range(60)]
        assert pages.count("Throttling.User") == (60 if counted else 10)


def test_deep_pages_may_be_refused(clock: SetClock) -> None:
    """No page reaches beyond `deepest_row`."""
    service = small_service(clock, 30, deepest_row=20)
    assert len(task_ids(service.body(Parameters("app", 2, 10)))) == 10
    for page_no, page_size in ((3, 10), (2, 11)):
        with pytest.raises(ServiceError, match="InvalidParam"):
            service.body(Parameters("app", page_no, page_size))


@pytest.mark.parametrize(
    ("kind", "pages"),
    [
        ("page_size", {(1, 4): (29, 26), (1, 10): (29, 22), (2, 10): (21, 14)}),
        ("rows", {(1, 4): (29, 26), (1, 10): (29, 22), (2, 10): (19, 12)}),
        ("always", {(1, 4): (29, 22), (1, 10): (29, 22), (2, 4): (21, 14)}),
    ],
)
def test_pages_may_be_capped(clock: SetClock, kind: str, pages: dict[tuple[int, int], tuple[int, int]]) -> None:
    """A cap of 8 rows stands for PageSize, cuts the page in its place, or is the size of each page."""
    service = small_service(clock, 30, page_cap=8, page_cap_kind=kind)
    for (page_no, page_size), (first, last) in pages.items():
        found = task_ids(service.body(Parameters("app", page_no, page_size)))
        assert found == [f"task-{number}" for number in range(first, last - 1, -1)]


def test_a_list_may_be_cut(clock: SetClock) -> None:
    """Rows beyond `listed_rows` are on no page, as if the list ended there; look-ups find them."""
    service = small_service(clock, 30, listed_rows=25)
    assert everything(service, 10) == [f"task-{number}" for number in range(29, 4, -1)]
    assert task_ids(service.body(Parameters("app", 4, 10))) == []
    assert task_ids(service.body(Parameters("app", task_id="task-0"))) == ["task-0"]


@pytest.mark.parametrize("ties", ["by_page_size", "by_page_no"])
def test_ties_may_depend_on_the_page(clock: SetClock, ties: str) -> None:
    """Pages of one PageSize, or all pages of one PageNo, share an order, and others have another."""
    service = small_service(clock, ties=ties)
    for number in range(30):
        service.fleet.create("app", {"AppId": "app", "TaskId": f"task-{number}"})
    first, again = (task_ids(service.body(Parameters("app", 1, 10))) for _ in range(2))
    assert first == again
    same_order = task_ids(service.body(Parameters("app", 1, 20)))[:10] == first
    is_whole = len(set(everything(service, 10))) == 30
    assert (same_order, is_whole) == ((False, True) if ties == "by_page_size" else (True, False))


def test_ties_have_an_order_that_lasts_or_not(clock: SetClock) -> None:
    """Tasks of one second come in an order of their own, the same for each request or another."""
    stable, changing = small_service(clock, 20, ties="stable"), small_service(clock, 20, ties="changing")
    for service in (stable, changing):
        for number in range(12):
            service.fleet.resave("app", f"task-{number}", at=clock.now() + number / 100)
    by_time = [f"task-{number}" for number in (*range(11, -1, -1), *range(19, 11, -1))]
    assert everything(stable, 3) == everything(stable, 7) != by_time
    assert sorted(everything(stable, 3)) == sorted(by_time)
    assert everything(stable)[12:] == by_time[12:]
    pages = {tuple(task_ids(changing.body(Parameters("app", 1, 10)))) for _ in range(10)}
    assert len(pages) == 10
    assert all(set(page) <= set(by_time[:12]) for page in pages)


def test_a_second_replica_is_behind(clock: SetClock) -> None:
    """With a lagging replica some answers know of a change and others do not yet."""
    service = small_service(clock, 3, lag_seconds=2.0, lag_share=0.5)
    service.fleet.delete("app", "task-2")
    assert {len(task_ids(service.body(Parameters("app", 1)))) for _ in range(40)} == {2, 3}
    clock.seconds += 2
    assert {len(task_ids(service.body(Parameters("app", 1)))) for _ in range(40)} == {2}
    service.variants = Variants()
    assert service.fleet.listeners == []


def test_stopped_tasks_may_stay(clock: SetClock) -> None:
    """A stopped task is listed for as long as the variant says, unless it was started again."""
    service = small_service(clock, 3, stopped_task_stays_seconds=60)
    for number in (0, 1):
        service.fleet.delete("app", f"task-{number}")
    clock.seconds += 59
    assert everything(service) == ["task-2", "task-1", "task-0"]
    service.fleet.update("app", "task-1", {"MaxIdleTime": "60"})
    clock.seconds += 1
    assert everything(service) == ["task-1", "task-2"]


@pytest.mark.parametrize(("moves", "numbers"), [(True, "3102"), (False, "3210")])
def test_changed_tasks_may_stay_in_place(clock: SetClock, moves: bool, numbers: str) -> None:
    """A task that is changed or saved again is the first one, or stays where it was; a new one is always the first."""
    service = small_service(clock, 3, changed_task_moves=moves)
    service.fleet.update("app", "task-0", {"MaxIdleTime": "60"})
    service.fleet.resave("app", "task-1")
    service.fleet.create("app", {"TaskId": "task-3"})
    assert everything(service) == [f"task-{number}" for number in numbers]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("documented", ("CN-Shanghai", "0", "H.265")),
        ("other_case", ("CN-shanghai", "0", "h.265")),
        ("new_value", ("CN-Shanghai", "2", "AV1")),
    ],
)
def test_spelling(clock: SetClock, variant: str, expected: tuple[str, str, str]) -> None:
    """Region, MixMode and codec come as documented, in another case, or with new values, in pages and look-ups."""
    service = small_service(clock, spelling=variant)
    encoding = {"EncodeParams": {"VideoCodec": "H.265"}}
    service.fleet.create("app", {"TaskId": "t", "Region": "CN-Shanghai", "MixMode": "0", "TranscodeParams": encoding})
    for asked in (Parameters("app", 1), Parameters("app", task_id="t")):
        task = json.loads(service.body(asked))["MPUTasks"][0]
        codec = task["TranscodeParams"]["EncodeParams"]["VideoCodec"]
        assert (task["Region"], task["MixMode"], codec) == expected


def test_every_variant_has_its_line() -> None:
    """The help names every variant that there is, and no other."""
    assert tuple(VARIANT_DESCRIPTIONS) == Variants.__struct_fields__
