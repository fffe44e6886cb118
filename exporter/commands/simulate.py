"""`simulate`: the simulator alone."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from msgspec import Struct

from exporter.commands import ExitCode
from exporter.service.process import run
from exporter.simulator import simulated_server as server
from exporter.simulator.service import Service
from exporter.simulator.simulation import (
    ACCESS_KEY_ID,
    ACCESS_KEY_SECRET,
    SimulatorOptions,
    build_service,
    demo_service,
)


class _Access(Struct, frozen=True):
    """What one account is asked for, and with which key."""

    app_ids: Sequence[str]
    access_key_id: str
    access_key_secret: str


def simulate(options: SimulatorOptions, host: str, port: int) -> int:
    """Serve until a signal; returns the exit code."""
    accesses = [_Access(options.app_ids, ACCESS_KEY_ID, ACCESS_KEY_SECRET)]
    try:
        service = build_service(options)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.USAGE
    return _serve_until_signal(service, accesses, host, port)


def simulate_demo(host: str, port: int) -> int:
    """Serve the demonstration's fleet in its accounts until a signal; returns the exit code."""
    demo = demo_service()
    accesses = [
        _Access([app.id for app in account.apps], account.access_key_id, account.access_key_secret)
        for account in demo.accounts
    ]
    return _serve_until_signal(demo.service, accesses, host, port)


def _serve_until_signal(service: Service, accesses: Sequence[_Access], host: str, port: int) -> int:
    try:
        run(_serve(service, accesses, host, port))
    except OSError as error:
        sys.stderr.write(cannot_listen(host, port, error, "--web.listen-address"))
        return ExitCode.USAGE
    return ExitCode.FINE


def cannot_listen(host: str, port: int, error: OSError, flag: str) -> str:
    """Return a line about an address that the simulator can't listen on."""
    reason = error.strerror if error.errno is None or error.errno < 0 else os.strerror(error.errno)
    return f"can't listen on {host}:{port}: {reason}; stop what uses it or choose another {flag}\n"


async def _serve(service: Service, accesses: Sequence[_Access], host: str, port: int) -> None:
    running = await server.start(service, host, port)
    sys.stdout.write(f"simulator  {running.url}\n")
    for access in accesses:
        sys.stdout.write(
            f"apps       {' '.join(access.app_ids)}\nkey        {access.access_key_id} {access.access_key_secret}\n"
        )
    sys.stdout.flush()
    await until_signal()
    await running.close()


async def until_signal() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
