"""Calls that block, each kind in threads of its own."""

import asyncio
import sys
import threading

import pytest

from exporter.core.threads import Worker
from tests.support.virtual_time import hanging_call


async def test_a_call_returns_or_raises_what_it_does_in_a_thread_of_its_own() -> None:
    """Results and exceptions come through, and what would end the program becomes an error."""
    worker = Worker("test")
    assert await worker.run(lambda: threading.current_thread().name) == "test"
    with pytest.raises(KeyError, match="missing"):
        await worker.run(_raise, KeyError("missing"))
    for ends in (SystemExit, KeyboardInterrupt, StopIteration):
        with pytest.raises(RuntimeError, match=ends.__name__):
            await worker.run(_raise, ends())


async def test_calls_beyond_the_number_of_threads_wait() -> None:
    """A hanging call holds its own thread and no other worker's; one that waits can be given up at no cost."""
    one, other = Worker("one"), Worker("other")
    with hanging_call() as hang:
        hanging = asyncio.create_task(one.run(hang))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.run(int), 0.05)
        assert await other.run(int) == 0
        hanging.cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.run(int), 0.05)
    assert await asyncio.wait_for(one.run(int), 60) == 0


async def test_no_thread_to_be_had_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows no further thread, the call fails, and the next one is tried."""
    worker = Worker("test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _thread: _raise(RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError, match="can't start"):
            await worker.run(int)
    assert await worker.run(int) == 0


@pytest.mark.processes
def test_a_hanging_call_does_not_keep_the_program_from_ending() -> None:
    """A program whose event loop has ended exits although a thread hangs."""
    program = (
        "import asyncio, threading\nfrom exporter.core.threads import Worker\n"
        "async def main():\n"
        "    hanging = asyncio.create_task(Worker('test').run(threading.Event().wait))\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )

    async def exit_code() -> int | None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
        return await asyncio.wait_for(process.wait(), 60)

    assert asyncio.run(exit_code()) == 0


def _raise(error: BaseException) -> None:
    raise error
