"""The demonstration's service alone, without its churn: `python -m tests.support.demo_fleet`."""

import asyncio
import sys

from exporter.commands.simulate import until_signal
from exporter.simulator import simulated_server as server
from exporter.simulator.churn import Rates
from exporter.simulator.simulation import demo_service

KEYS_REST_SECONDS = 3600  # what is published of a fleet at rest does not change during a test


async def serve() -> None:
    """Listen on a free port, say where, and serve until a signal."""
    service = demo_service(keys_rest_seconds=KEYS_REST_SECONDS).service
    service.churn.set_rates(Rates(), service.now())
    running = await server.start(service)
    sys.stdout.write(f"simulator {running.url}\n")
    sys.stdout.flush()
    await until_signal()
    await running.close()


if __name__ == "__main__":
    asyncio.run(serve())
