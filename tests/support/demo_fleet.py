"""The demonstration's service alone, without its churn: `python -m tests.support.demo_fleet`."""

import asyncio

from exporter.commands.simulator_commands import serve_alone
from exporter.simulator.fleet import Rates
from exporter.simulator.simulation import demo_service
from exporter.web.http_server import ListenAddress

KEYS_REST_SECONDS = 3600  # what is published of a fleet at rest does not change during a test

if __name__ == "__main__":
    service = demo_service(keys_rest_seconds=KEYS_REST_SECONDS)
    service.churn.set_rates(Rates(), service.now())
    asyncio.run(serve_alone(service, ListenAddress("127.0.0.1", 0)))
