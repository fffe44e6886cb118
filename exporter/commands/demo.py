"""`demo`: a lively service and the exporter on it, in one process."""

import asyncio
import random
import sys
from collections.abc import Sequence

from exporter import __version__, log
from exporter.clock import SystemClock
from exporter.commands import exit_codes
from exporter.commands.demo_expectations import EXPECTATIONS
from exporter.commands.running import run
from exporter.commands.simulate import cannot_listen
from exporter.config.credentials import AccessKey
from exporter.config.model import Account, App, Collection, Config, Quota
from exporter.config.secret import Secret
from exporter.configuration_source import ConfigurationSource
from exporter.daemon import Daemon, Options
from exporter.metrics.self_metrics import SelfMetrics
from exporter.simulator import server
from exporter.simulator.demo import DemoAccount, demo_service
from exporter.web.http_server import ListenError


def demo(options: Options, simulator_host: str, simulator_port: int) -> int:
    """Run both until a signal; returns the exit code."""
    metrics = SelfMetrics(version=__version__)
    log.configure("info", "logfmt", sys.stderr, metrics.message_logged)
    try:
        run(_run(options, simulator_host, simulator_port, metrics))
    except OSError as error:
        sys.stderr.write(cannot_listen(simulator_host, simulator_port, error, "--simulator.listen-address"))
        return exit_codes.USAGE
    except ListenError as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.USAGE
    return exit_codes.FINE


async def _run(options: Options, simulator_host: str, simulator_port: int, metrics: SelfMetrics) -> None:
    service = demo_service()
    simulator = await server.start(service.service, simulator_host, simulator_port)
    try:
        config = _config(service.accounts, simulator.url)
        source = ConfigurationSource.of_config(config)
        daemon = Daemon(
            source,
            options,
            metrics,
            clock=SystemClock(),
            rng=random.Random(),  # noqa: S311 - no secret
        )
        running = asyncio.create_task(daemon.run())
        await daemon.wait_until_listening(running)
        _introduce(daemon.scheme, daemon.addresses, simulator.url)
        await running
    finally:
        await simulator.close()


def _config(accounts: Sequence[DemoAccount], endpoint: str) -> Config:
    """Return the configuration that reads the demonstration's accounts, sooner than anyone needs in earnest."""
    return Config(
        accounts=tuple(
            Account(
                name=account.name,
                endpoint=endpoint,
                credentials=AccessKey(
                    access_key_id=account.access_key_id, access_key_secret=Secret(account.access_key_secret)
                ),
                apps=tuple(
                    App(
                        id=app.id,
                        name=app.name,
                        owner=app.owner,
                        quota=Quota(single=app.quota_single, mixed=app.quota_mixed),
                        expect=EXPECTATIONS.get(app.id),
                    )
                    for app in account.apps
                ),
            )
            for account in accounts
        ),
        collection=Collection(interval_seconds=2.0, sweep_interval_seconds=15.0),
    )


def _introduce(scheme: str, addresses: Sequence[str], simulator: str) -> None:
    """Say where to look."""
    urls = [
        f"{scheme}://{address.replace('[::]', 'localhost').replace('0.0.0.0', 'localhost')}" for address in addresses
    ]
    sys.stdout.write(
        f"status page  {urls[0]}/\n"
        f"metrics      {urls[0]}/metrics\n"
        f"simulator    {simulator}  (what is true: {simulator}/-/truth)\n"
        "Ctrl-C ends both\n"
    )
    sys.stdout.flush()
