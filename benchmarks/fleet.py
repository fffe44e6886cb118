"""The fleet that benchmarks read: tasks as the simulator makes them, few configurations shared by most."""

import time

from exporter.aliyun.parse_task import Interner
from exporter.aliyun.response import read_page
from exporter.collector.reading import AppRows
from exporter.core.task import Task
from exporter.simulator.fleet import Fleet, populate
from exporter.simulator.listing import Parameters
from exporter.simulator.protocol import SimulatedAccount
from exporter.simulator.service import Service
from exporter.simulator.task_maker import seeded

APP_ID = "app-1"
SEED = 1
FULL_PAGE = 100


def pages(tasks: int) -> list[bytes]:
    """Return the answers that list some tasks of one app."""
    fleet = Fleet(time.time)
    populate(fleet, APP_ID, tasks, random=seeded(SEED, APP_ID), started_at=time.time())
    service = Service([SimulatedAccount("key", "secret", (APP_ID,))], fleet, now=time.time)
    return [service.body(Parameters(APP_ID, page_no)) for page_no in range(1, tasks // FULL_PAGE + 1)]


def tasks_of(answers: list[bytes]) -> list[Task]:
    """Return the tasks of some answers."""
    rows = AppRows(APP_ID, Interner())
    read = (rows.read(row) for answer in answers for row in read_page(answer).rows)
    return [task for task in read if task is not None]
