"""`simulate`: the simulator alone."""

import asyncio
import os
import signal
import sys

from exporter.commands import ExitCode
from exporter.config.mistakes import UsageError
from exporter.service.process import run
from exporter.simulator import simulated_server as server
from exporter.simulator.service import Service
from exporter.simulator.simulation import SimulatorOptions, build_service, demo_service


def simulate(options: SimulatorOptions | None, host: str, port: int) -> int:
    """Serve a fleet, without options the demonstration's, until a signal; returns the exit code."""
    try:
        service = demo_service() if options is None else build_service(options)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.USAGE
    run(_serve(service, host, port))
    return ExitCode.FINE


async def started(service: Service, host: str, port: int, flag: str) -> server.RunningServer:
    """Start a simulated service; raises UsageError: it can't listen on the address, which a flag sets."""
    try:
        return await server.start(service, host, port)
    except OSError as error:
        raise UsageError(cannot_listen(host, port, error, flag)) from error


def cannot_listen(host: str, port: int, error: OSError, flag: str) -> str:
    """Return a sentence about an address that the simulator can't listen on."""
    reason = error.strerror if error.errno is None or error.errno < 0 else os.strerror(error.errno)
    return f"can't listen on {host}:{port}: {reason}; stop what uses it or choose another {flag}"


async def _serve(service: Service, host: str, port: int) -> None:
    running = await started(service, host, port, "--web.listen-address")
    sys.stdout.write(f"simulator  {running.url}\n")
    for account in service.accounts.values():
        sys.stdout.write(
            f"apps       {' '.join(account.apps)}\nkey        {account.access_key_id} {account.access_key_secret}\n"
        )
    sys.stdout.flush()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await running.close()
