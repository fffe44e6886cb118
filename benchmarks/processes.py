"""The other processes of a benchmark: the simulated service, the exporter, a function on its own."""

import asyncio
import multiprocessing
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

import uvloop
from aiohttp import web
from msgspec import Struct

from exporter.simulator.fleet import Fleet, populate
from exporter.simulator.protocol import SimulatedAccount
from exporter.simulator.service import Latency, Service
from exporter.simulator.simulated_server import LONGEST_HANG_SECONDS, answered
from exporter.simulator.task_maker import seeded

P = ParamSpec("P")
T = TypeVar("T")
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHANGE_ALL = "/change-all"
"""A POST to this path of a simulated service changes every task, without moving it in the list."""
CHANGED = {"MaxIdleTime": "1234"}

SPAWN = multiprocessing.get_context("spawn")
START_SECONDS = 60.0


class Simulated(Struct, frozen=True):
    """A service with some accounts, `key-1` and on, each with apps of its own; all secrets are `secret`."""

    accounts: int = 1
    apps: int = 1  # of each account; those of the first are `app-1` and on, and those of the next follow
    tasks: int = 100  # of each app
    requests_per_second: int = 50
    one_way_seconds: float = 0.0
    jitter_seconds: float = 0.0
    certificate: Path | None = None  # PEM file with key and chain: serve over TLS

    def app_ids(self, account: int) -> tuple[str, ...]:
        """Return the apps of an account, which is counted from 1."""
        first = (account - 1) * self.apps + 1
        return tuple(f"app-{number}" for number in range(first, first + self.apps))


Serve: TypeAlias = Callable[[Simulated, Any], None]  # its settings, and a connection that gets its address


@contextmanager
def beside(work: Callable[..., None], *args: Any) -> "Iterator[Connection[Any, Any]]":
    """Run a module's function in a process of its own while the block lasts; its last argument is a connection here."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=work, args=(*args, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


@contextmanager
def server(serve: Callable[..., None], *args: Any) -> Iterator[str]:
    """Run a server beside the block; yields the address that it sends."""
    with beside(serve, *args) as ours:
        if not ours.poll(START_SECONDS):
            raise TimeoutError("the server has not started")
        yield ours.recv()


def simulator(simulated: Simulated, serve: Serve | None = None) -> AbstractContextManager[str]:
    """Run a service in a process of its own; yields its address. `serve` is what runs there, if not the simulator."""
    return server(serve or _serve_simulated, simulated)


def status_of(process: int | str, name: str) -> int:
    """Return a number of Linux's status of a process, which may be `self`; sizes are in KiB."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found, name
    return int(found[1])


def in_own_process(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a module's function returns in a fresh process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=SPAWN) as executor:
        return executor.submit(work, *args, **kwargs).result()


def cpu_seconds_of(work: Callable[[], object]) -> float:
    """Return the CPU time that this process spends on some work, in all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _serve_simulated(simulated: Simulated, address: "Connection[str, str]") -> None:
    """Answer as the simulated service."""
    fleet = Fleet(time.time)
    fleet.changed_task_moves = False
    accounts = []
    for number in range(1, simulated.accounts + 1):
        app_ids = simulated.app_ids(number)
        for app_id in app_ids:
            populate(fleet, app_id, simulated.tasks, random=seeded(1, app_id), started_at=time.time())
        accounts.append(
            SimulatedAccount(f"key-{number}", "secret", app_ids, requests_per_second=simulated.requests_per_second)
        )
    latency = Latency(simulated.one_way_seconds, simulated.jitter_seconds)
    service = Service(accounts, fleet, now=time.time, latency=latency)

    async def change_all(_: web.Request) -> web.Response:
        for app_id, tasks in service.fleet.apps.items():
            for task_id in list(tasks.rows):
                service.fleet.update(app_id, task_id, CHANGED)
        return web.Response()

    answer(
        {"/": partial(answered, service, LONGEST_HANG_SECONDS), CHANGE_ALL: change_all}, address, simulated.certificate
    )


def answer(handlers: Mapping[str, Handler], address: "Connection[str, str]", certificate: Path | None = None) -> None:
    """Answer POSTs over HTTP, or HTTPS with a certificate, until the process is ended.

    Args:
        handlers: By path.
        address: Gets the address.
        certificate: PEM file with key and chain.
    """
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    async def listen() -> None:
        application = web.Application()
        application.add_routes([web.post(path, handler) for path, handler in handlers.items()])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        scheme = "http" if context is None else "https"
        address.send(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(listen())
