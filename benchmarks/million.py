"""Memory of a real `serve` process that shows 1,000,000 tasks, against one with hardly any.

The service renders rows when they are asked for: making all of them takes it minutes and 3 GB.
"""

from multiprocessing.connection import Connection

import msgspec
from aiohttp import web

from benchmarks.memory import footprint, show_footprints
from benchmarks.processes import Simulated, answer
from exporter.simulator.listing import answer_body
from exporter.simulator.task_maker import TaskMaker, seeded

TASK_COUNTS = (100, 1_000_000)
ACCOUNTS = 4  # of 50 pages a second each, so that processor time decides how long it takes
PROTOTYPES = 1000


def main() -> None:
    """Print the table."""
    show_footprints([footprint(tasks, age=False, sweeps=1, accounts=ACCOUNTS, service=_serve) for tasks in TASK_COUNTS])


class _Rows:
    """The rows of one app: prototypes, each with the TaskId and the ChannelId of its place."""

    def __init__(self, app_id: str) -> None:
        maker = TaskMaker(seeded(1, app_id))
        bodies = [maker.any(app_id) for _ in range(PROTOTYPES)]
        self._prototypes = [
            (msgspec.json.encode(body), body["TaskId"].encode(), body["ChannelId"].encode()) for body in bodies
        ]

    def at(self, place: int) -> bytes:
        """Return the row at a place."""
        row, task_id, channel_id = self._prototypes[place % PROTOTYPES]
        return row.replace(task_id, b"%032x" % place).replace(channel_id, b"channel-%010x" % place)


def _serve(simulated: Simulated, address: "Connection[str, str]") -> None:
    apps = {app_id: _Rows(app_id) for number in range(simulated.accounts) for app_id in simulated.app_ids(number + 1)}

    async def page(request: web.Request) -> web.Response:
        query = request.query
        size = int(query["PageSize"])
        start = (int(query["PageNo"]) - 1) * size
        rows = map(apps[query["AppId"]].at, range(start, min(start + size, simulated.tasks)))
        return web.Response(body=answer_body("request", b"[%s]" % b",".join(rows)))

    answer({"/": page}, address)
