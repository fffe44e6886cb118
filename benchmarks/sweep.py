"""One sweep's CPU: our client beside the vendor's official one, making the same calls to the same service.

The service runs in a process of its own, and so does each reader: what is counted is the reader's CPU time, in all
threads, after a few calls that do not count. Ours goes through its limiter at 50 requests a second as in the daemon.
"""

import asyncio
import time
import warnings
from collections.abc import Iterable

from benchmarks.accounts import access_to, account_at
from benchmarks.processes import Simulated, cpu_seconds_of, in_own_process, simulator
from benchmarks.report import milliseconds, show, times
from exporter.aliyun.parse_task import Interner
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import AppRows, Window, WindowAnswer
from exporter.service.process import run

APP_ID = "app-1"
TASKS = 2000
PAGES = TASKS // 100
IN_FLIGHT = 16
UNLIMITED = 100_000


def main() -> None:
    """Print the table."""
    with simulator(Simulated(tasks=TASKS, requests_per_second=UNLIMITED)) as url:
        fresh, known = in_own_process(our_cpu_seconds, url)
        synchronous, asynchronous = in_own_process(official_cpu_seconds, url)
    figures = [
        ("ours, every row known (all sweeps but the first)", known),
        ("ours, every row new (the first sweep)", fresh),
        ("official SDK, synchronous", synchronous),
        ("official SDK, asynchronous", asynchronous),
    ]
    show(
        f"CPU of reading {TASKS:,} tasks in {PAGES} calls, gzip over HTTP on loopback",
        ("reader", "CPU", "a page", "of the SDK's"),
        [(who, milliseconds(cpu), milliseconds(cpu / PAGES), times(cpu / synchronous)) for who, cpu in figures],
        note="'of the SDK's': as much CPU as the synchronous one for the same calls.",
    )


def our_cpu_seconds(url: str) -> tuple[float, float]:
    """Return the CPU time when every row is new, and when every row is known."""
    return run(_our_cpu_seconds(url))


async def _our_cpu_seconds(url: str) -> tuple[float, float]:
    access = access_to(account_at(url, (APP_ID,)))
    fetch = access.requests.of_app(APP_ID).window(Priority.SWEEP)
    rows = AppRows(APP_ID, Interner())
    known: dict[int, str] = {}

    async def read(windows: Iterable[Window]) -> None:
        turns = iter(windows)

        async def worker() -> None:
            for window in turns:
                _take(await fetch(window))

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))

    def _take(answer: WindowAnswer) -> None:
        for row in answer.page.rows:
            digest = rows.digest(row)
            if digest not in known:
                task = rows.read(row)
                known[digest] = "" if task is None else task.task_id

    windows = [Window(page_no, 100) for page_no in range(1, PAGES + 1)]
    await read([Window(1, 1)] * IN_FLIGHT)
    await asyncio.sleep(1)
    seconds = []
    for _ in range(2):
        began = time.process_time()
        await read(windows)
        seconds.append(time.process_time() - began)
        await asyncio.sleep(1)
    await access.close()
    return seconds[0], seconds[1]


def official_cpu_seconds(url: str) -> tuple[float, float]:
    """Return the CPU time of the synchronous and of the asynchronous side of the official client."""
    warnings.simplefilter("ignore")
    from alibabacloud_live20161101.client import Client  # noqa: PLC0415 - only this process carries it
    from alibabacloud_live20161101.models import ListRtcMPUTaskDetailRequest  # noqa: PLC0415
    from alibabacloud_tea_openapi.models import Config  # noqa: PLC0415

    client = Client(
        Config(
            access_key_id="key-1",
            access_key_secret="secret",
            endpoint=url.removeprefix("http://"),
            protocol="http",
        )
    )
    requests = [
        ListRtcMPUTaskDetailRequest(app_id=APP_ID, page_no=str(page_no), page_size="100")
        for page_no in range(1, PAGES + 1)
    ]

    def synchronous() -> None:
        for request in requests:
            client.list_rtc_mputask_detail(request)

    async def asynchronous() -> None:
        await asyncio.gather(*map(client.list_rtc_mputask_detail_async, requests))

    client.list_rtc_mputask_detail(requests[0])
    asyncio.run(client.list_rtc_mputask_detail_async(requests[0]))
    return cpu_seconds_of(synchronous), cpu_seconds_of(lambda: asyncio.run(asynchronous()))
