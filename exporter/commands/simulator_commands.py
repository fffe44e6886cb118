"""`demo`: a lively service and the exporter on it, in one process; `simulate`: the simulated service alone."""

import asyncio
import random
import signal
import sys
from collections.abc import Mapping
from typing import Final

from exporter.commands import ExitCode
from exporter.config.mistakes import UsageError
from exporter.config.model import AccessKey, Account, App, Collection, Config, Quota
from exporter.config.policy_model import Expect, Policy, PushAuth, Range
from exporter.core import log
from exporter.core.clock import SystemClock
from exporter.core.secret import Secret
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_loader import ConfigurationSource
from exporter.service.daemon import Daemon, Options
from exporter.service.process import run
from exporter.simulator import simulated_server as server
from exporter.simulator.service import Service
from exporter.simulator.simulation import ACCOUNTS, SimulatorOptions, build_service, demo_service
from exporter.simulator.task_maker import ALIBABA_HOST, ALIBABA_VALIDITY_SECONDS
from exporter.web.addresses import url_prefix
from exporter.web.http_server import ListenAddress, ListenError, parse_listen_address

_PUSH_HOSTS: Final = (ALIBABA_HOST, "*.partner.example.net")

EXPECTATIONS: Final[Mapping[str, Expect]] = {
    "live-main": Expect(
        push_hosts=_PUSH_HOSTS,
        push_schemes=("rtmp", "rtmps"),
        resolution=("1080p", "720p", "480p", "portrait_720p", "portrait_360p"),
        video_bitrate_kbps=Range(least=300.0, most=3000.0),
        video_framerate=Range(least=15.0),
        idle_timeout_seconds=Range(most=3600.0),
        tasks=Range(least=1000.0, most=6000.0),
    ),
    "live-events": Expect(video_codec=("H.264", "H.265"), push_hosts=_PUSH_HOSTS),
    "education": Expect(mix_mode=("mixed",), tasks=Range(most=60.0)),
    "relay-only": Expect(mix_mode=("single",), outputs=Range(most=1.0)),
    "staging-stage": Expect(
        region=("CN-Shanghai", "AP-Singapore"),
        push_hosts=_PUSH_HOSTS,
        video_bitrate_kbps=Range(most=3000.0),
        idle_timeout_seconds=Range(most=3600.0),
    ),
}


def demo(options: Options, simulator_address: str, *, log_level: log.Level) -> int:
    """Run both until a signal; returns the exit code. Raises UsageError."""
    metrics = SelfMetrics()
    log.configure(log_level, "logfmt", sys.stderr, metrics.message_logged)
    run(_run(options, parse_listen_address(simulator_address), metrics))
    return ExitCode.FINE


async def _run(options: Options, simulator_address: ListenAddress, metrics: SelfMetrics) -> None:
    ends_with_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL  # nohup ignores its end
    simulator = await _started(demo_service(), simulator_address, "--simulator.listen-address")
    try:
        config = _config(simulator.url)
        source = ConfigurationSource.of_config(config)
        rng = random.Random()  # noqa: S311 - no secret
        daemon = Daemon(source, options, metrics, clock=SystemClock(), rng=rng)
        running = asyncio.create_task(daemon.run())
        await daemon.wait_until_listening(running)
        if ends_with_terminal:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, daemon.stop)
        if daemon.addresses:  # a signal may have come first
            prefix = url_prefix(options.external_url, options.route_prefix).routes
            _introduce(daemon.scheme, daemon.addresses[0], prefix, simulator.url)
        await running
    finally:
        await simulator.close()


def _config(endpoint: str) -> Config:
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
            for account in ACCOUNTS
        ),
        collection=Collection(interval_seconds=2.0, sweep_interval_seconds=15.0),
        policy=Policy(push_auth=(PushAuth(hosts=ALIBABA_HOST, validity_seconds=ALIBABA_VALIDITY_SECONDS),)),
    )


def _introduce(scheme: str, address: str, prefix: str, simulator: str) -> None:
    url = f"{scheme}://{address.replace('[::]', 'localhost').replace('0.0.0.0', 'localhost')}{prefix}"
    sys.stdout.write(
        f"status page  {url}/\n"
        f"metrics      {url}/metrics\n"
        f"simulator    {simulator}  (its tasks: {simulator}/-/fleet)\n"
        "Ctrl-C ends both\n"
    )
    sys.stdout.flush()


def simulate(options: SimulatorOptions | None, address: str) -> int:
    """Serve a fleet, without options the demonstration's, until a signal; returns the exit code. Raises UsageError."""
    try:
        service = demo_service() if options is None else build_service(options)
    except ValueError as error:
        raise UsageError(str(error)) from error
    run(serve_alone(service, parse_listen_address(address)))
    return ExitCode.FINE


async def serve_alone(service: Service, address: ListenAddress) -> None:
    """Print where a service is and what reads it, and serve it until a signal. Raises ListenError."""
    running = await _started(service, address, "--web.listen-address")
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


async def _started(service: Service, address: ListenAddress, flag: str) -> server.RunningServer:
    host, port = address.host or "127.0.0.1", address.port
    try:
        return await server.start(service, host, port)
    except (OSError, UnicodeError) as error:
        raise ListenError.of(host, port, error, flag) from error
