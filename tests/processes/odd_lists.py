"""Lists that nobody documents, and lookups in them, one app each, and what is right to make of them."""

import random
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web

from tests.processes.odd_service import (
    OUTCOME_IS_OK,
    Answer,
    Exchange,
    Odd,
    Row,
    always,
    as_json,
    hangs,
    paged,
    raw,
    true_page,
)

INVALID = frozenset({"invalid_response"})
KEPT = frozenset({"ok", "partial"})


def odd_lists() -> Iterator[Odd]:
    """Yield every app."""
    yield from _ends()
    yield from _orders()
    yield from _losses()
    yield from _lookups()


def _ends() -> Iterator[Odd]:
    """Yield lists that end in other ways than with a short page and an empty one."""
    refused = as_json({"RequestId": "r", "Code": "InvalidParam"}, 400)
    past_ends: Mapping[str, Answer] = {
        "empty": as_json({"RequestId": "r", "MPUTasks": []}),
        "null": as_json({"RequestId": "r", "MPUTasks": None}),
        "absent": as_json({"RequestId": "r"}),
        "refused": refused,
        "last-page-again": lambda exchange: web.Response(
            body=exchange.listed(exchange.tasks[-exchange.asked.page_size :])
        ),
    }
    for name, past_end in past_ends.items():
        for tasks in (60, 100, 230):
            yield Odd(f"past-end-{name}-{tasks}", _with_past_end(past_end), tasks=tasks)
    for most in (20, 50, 99):
        yield Odd(f"capped-at-{most}", _capped(most), tasks=230)
    for most in (100, 200):
        yield Odd(
            f"cut-at-{most}", _cut_off(most),
            tasks=330, states=frozenset({"partial"}),
        )  # fmt: skip
        yield Odd(
            f"refused-beyond-{most}",
            _refused_beyond(most, refused),
            tasks=330, states=frozenset({"limit_exceeded"}),
        )  # fmt: skip
    yield Odd("short-page-in-the-middle", _short_in_the_middle, tasks=330, states=KEPT)
    yield Odd("empty-page-in-the-middle", _empty_in_the_middle, tasks=330, states=KEPT)


def _with_past_end(past_end: Answer) -> Answer:
    """Answer a page that begins past the end in a way of its own."""
    return lambda exchange: past_end(exchange) if exchange.window[0] >= len(exchange.tasks) else true_page(exchange)


def _cut_off(most: int) -> Answer:
    """List nothing beyond a row."""
    return paged(lambda exchange: exchange.page[: max(0, most - exchange.window[0])])


def _refused_beyond(most: int, refused: Answer) -> Answer:
    """Refuse what reaches beyond a row."""
    return lambda exchange: refused(exchange) if exchange.window[1] > most else true_page(exchange)


def _capped(most: int) -> Answer:
    """Take a PageSize beyond a cap for the cap, as a service does that does not say so."""

    def answer(exchange: Exchange) -> web.StreamResponse:
        size = min(most, exchange.asked.page_size)
        start = (exchange.asked.page_no - 1) * size
        return web.Response(body=exchange.listed(exchange.tasks[start : start + size]))

    return answer


def _short_in_the_middle(exchange: Exchange) -> web.StreamResponse:
    """Leave out the last row of the first page."""
    rows = exchange.page[:-1] if exchange.window[0] == 0 else exchange.page
    return web.Response(body=exchange.listed(rows))


def _empty_in_the_middle(exchange: Exchange) -> web.StreamResponse:
    """Leave out all rows of pages that begin in the second hundred."""
    rows = [] if 100 <= exchange.window[0] < 200 else exchange.page
    return web.Response(body=exchange.listed(rows))


def _orders() -> Iterator[Odd]:
    """Yield lists in other orders."""
    for tasks in (60, 230):
        yield Odd(f"oldest-first-{tasks}", _ordered(lambda tasks, _: tasks[::-1]), tasks=tasks)
        yield Odd(f"rotating-{tasks}", _ordered(_rotated), tasks=tasks, states=KEPT)
        yield Odd(f"reshuffled-{tasks}", _ordered(_shuffled), tasks=tasks, states=KEPT)
    yield Odd(
        "always-the-first-page",
        paged(lambda exchange: exchange.tasks[: exchange.asked.page_size]),
        tasks=60,
        states=OUTCOME_IS_OK | INVALID,
    )
    yield Odd(
        "always-the-first-page-of-many", paged(lambda exchange: exchange.tasks[: exchange.asked.page_size]),
        tasks=230, states=KEPT | INVALID,
    )  # fmt: skip
    yield Odd("page-size-ignored", paged(lambda exchange: exchange.tasks), tasks=130, states=INVALID)
    yield Odd(
        "pages-from-zero",
        paged(lambda exchange: exchange.tasks[exchange.window[1] :][: exchange.asked.page_size]),
        tasks=230,
        states=KEPT,
    )


def _ordered(order: Callable[[list[Row], Exchange], list[Row]]) -> Answer:
    """Page through the tasks in another order."""
    return paged(lambda exchange: order(exchange.tasks, exchange)[slice(*exchange.window)])


def _rotated(tasks: list[Row], exchange: Exchange) -> list[Row]:
    """Begin at another row each half second."""
    first = int(exchange.since * 2) * 7 % len(tasks)
    return tasks[first:] + tasks[:first]


def _shuffled(tasks: list[Row], _exchange: Exchange) -> list[Row]:
    """Return another order for each request."""
    return random.sample(tasks, len(tasks))


def _losses() -> Iterator[Odd]:
    """Yield lists that lose many rows, truly and not."""
    empty_pages: Mapping[str, Row] = {"empty": {"MPUTasks": []}, "null": {"MPUTasks": None}, "absent": {}}
    for name, page in empty_pages.items():
        yield Odd(f"all-lost-{name}", as_json({"RequestId": "r", **page}), states=frozenset({"partial"}))
        yield always(f"all-deleted-{name}", as_json({"RequestId": "r", **page}), "ok", deleted=60)
    yield Odd(
        "half-lost",
        paged(lambda exchange: exchange.tasks[:30][slice(*exchange.window)]),
        states=frozenset({"partial"}),
    )
    yield Odd("half-deleted", true_page, deleted=30)
    yield Odd(
        "lost-for-a-second",
        paged(lambda exchange: [] if exchange.since < 1.2 else exchange.page),
    )


def _lookups() -> Iterator[Odd]:
    """Yield answers to lookups of tasks that are deleted, or that one reading did not show."""
    gone = {
        "empty": as_json({"RequestId": "r", "MPUTasks": []}),
        "null": as_json({"RequestId": "r", "MPUTasks": None}),
        "absent": as_json({"RequestId": "r"}),
        "invalid-task-id": as_json({"RequestId": "r", "Code": "InvalidTaskId"}, 400),
        "task-not-found": as_json({"requestid": "r", "code": "TaskNotFound"}, 404),
        "task-not-exist": as_json({"RequestId": "r", "Code": "MPUTask.NotExist"}, 404),
        "invalid-param": as_json({"RequestId": "r", "Code": "InvalidParam"}, 400),
        "code-in-200": as_json({"RequestId": "r", "Code": "InvalidTaskId.NotFound", "MPUTasks": []}),
    }
    for name, answer in gone.items():
        yield Odd(f"gone-{name}", true_page, answer, deleted=1)
    doubtful = {
        "throttling": as_json({"RequestId": "r", "Code": "Rejected.Throttling"}, 400),
        "remain-0": as_json({"RequestId": "r", "Code": "Whatever"}, 400, x_ratelimit_user="Remain:0"),
        "param-remain-0": as_json({"RequestId": "r", "Code": "InvalidParam"}, 400, x_ratelimit_user_api="Remain:0"),
        "no-action": as_json({"RequestId": "r", "Code": "InvalidAction.NotFound"}, 404),
        "waf": as_json({"code": "Blocked", "message": "waf"}, 400),
        "500": raw(b"<html>", 500, "text/html"),
        "403": as_json({"RequestId": "r", "Code": "NoPermission"}, 403),
        "404-html": raw(b"<html>", 404, "text/html"),
        "414": raw(b"<html>", 414, "text/html"),
        "success-false": as_json({"RequestId": "r", "Success": False, "MPUTasks": []}),
        "lower-case-list": as_json({"RequestId": "r", "mputasks": []}),
        "other-task": lambda exchange: web.Response(body=exchange.listed(exchange.tasks[:1])),
        "hang": hangs,
    }
    for name, answer in doubtful.items():
        throttles = name in {"throttling", "remain-0", "param-remain-0"}
        yield Odd(
            f"deleted-in-doubt-{name}", true_page, answer,
            deleted=1, may_keep_deleted=True, throttles_lookups=throttles,
        )  # fmt: skip
        yield Odd(f"unseen-in-doubt-{name}", paged(_one_hidden), answer, throttles_lookups=throttles)


def _one_hidden(exchange: Exchange) -> list[Row]:
    """Show a row twice in place of another one, for a while."""
    rows = exchange.page
    return rows[:30] + rows[29:30] + rows[31:] if exchange.since < 3 else rows
