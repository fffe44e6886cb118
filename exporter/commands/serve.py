"""`serve`: the daemon."""

import os
import random
import sys

from exporter.commands import ExitCode
from exporter.core import log
from exporter.core.clock import SystemClock
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_loader import ConfigurationSource
from exporter.service.daemon import Daemon, Options
from exporter.service.process import END_AFTER_SECONDS, ServiceManager, Watchdog, inherited_sockets, run
from exporter.web.http_server import ListenError


def serve(
    source: ConfigurationSource,
    options: Options,
    *,
    log_level: log.Level,
    log_format: log.Format,
    use_systemd_socket: bool = False,
) -> int:
    """Collect and serve until a signal; returns the exit code. Raises ConfigError or UsageError."""
    metrics = SelfMetrics()
    log.configure(log_level, log_format, sys.stderr, metrics.message_logged)
    try:
        daemon = Daemon(
            source,
            options,
            metrics,
            clock=SystemClock(),
            rng=random.Random(),  # noqa: S311 - no secret
            service_manager=ServiceManager(os.environ),
            watchdog=Watchdog(END_AFTER_SECONDS),
            sockets=inherited_sockets(os.environ) if use_systemd_socket else (),
        )
        run(daemon.run())
    except ListenError as error:
        if not error.is_absent:
            raise
        sys.stderr.write(f"{error}\n")
        return ExitCode.UNAVAILABLE
    return ExitCode.FINE
