"""`simulate`: the simulator alone."""

import asyncio
import os
import signal
import sys

from exporter.commands import exit_codes
from exporter.commands.running import run
from exporter.simulator import server
from exporter.simulator.options import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SimulatorOptions, build_service


def simulate(options: SimulatorOptions, host: str, port: int) -> int:
    """Serve until a signal; returns the exit code."""
    try:
        run(_serve(options, host, port))
    except OSError as error:
        sys.stderr.write(cannot_listen(host, port, error, "--listen-address"))
        return exit_codes.USAGE
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.USAGE
    return exit_codes.FINE


def cannot_listen(host: str, port: int, error: OSError, flag: str) -> str:
    """Return a line about an address that the simulator can't listen on."""
    reason = error.strerror if error.errno is None or error.errno < 0 else os.strerror(error.errno)
    return f"can't listen on {host}:{port}: {reason}; stop what uses it or choose another {flag}\n"


async def _serve(options: SimulatorOptions, host: str, port: int) -> None:
    running = await server.start(build_service(options), host, port)
    sys.stdout.write(
        f"simulator  {running.url}\n"
        f"apps       {' '.join(options.app_ids)}\n"
        f"key        {ACCESS_KEY_ID} {ACCESS_KEY_SECRET}\n"
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
