"""No answer holds up the event loop for long, however it is made."""

import asyncio
import time
from contextlib import suppress

import pytest
from aiohttp import web

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_configuration import Interner
from exporter.aliyun.parse_task import read_row
from tests.support.fake_service import Observed, client_of, serving
from tests.support.hostile import MAKERS, compressed_body

MAX_STALL_SECONDS = 0.25  # of the processor: a machine that is busy with other things does not count


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("name", MAKERS)
async def test_the_event_loop_goes_on(name: str, status: int) -> None:
    """Between two turns of the loop, this process uses little of the processor while a page is read, row by row."""
    stalls, body = [0.0], compressed_body(name)

    async def beat() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            stalls.append(time.thread_time() - before)

    def answer(_request: web.BaseRequest) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=body, status=status, headers=headers)

    assert len(body) < 200_000
    async with serving(answer) as service, client_of(service.address, Observed()) as client:
        beating = asyncio.ensure_future(beat())
        await asyncio.sleep(0.01)
        rows = []
        with suppress(ApiError):
            rows = (await client.list_tasks("app", page_no=1, page_size=100)).rows
        share = Interner()
        for row in rows:
            read_row(row, app_id="app", share=share)
        await asyncio.sleep(0.002)
        beating.cancel()
    assert max(stalls) < MAX_STALL_SECONDS
