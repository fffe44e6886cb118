"""The command line: what can be asked for, and who does it.

Each command's module is imported when it is asked for: the daemon carries neither the simulator nor progress bars.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from exporter import __version__
from exporter.config.flags import from_flags
from exporter.config.mistakes import ConfigError
from exporter.config.model import DEFAULT_ENDPOINT
from exporter.configuration_source import ConfigurationSource

PROGRAM: Final = "rtcmpu-exporter"
COMMANDS: Final = ("serve", "demo", "simulate", "check-config", "collect")
USAGE_ERROR: Final = 2

Handler = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code: 0 fine, 1 a failing app, 2 usage or configuration."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0] not in COMMANDS and words[0] not in {"-h", "--help", "--version"}):
        words.insert(0, "serve")
    options = _parser().parse_args(words)
    handler: Handler = options.handler
    try:
        return handler(options)
    except (ConfigError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the command line, and where to read more."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Prometheus exporter for the relay (MPU) tasks of ApsaraVideo Live. Without a command: serve.",
        epilog=f"example: {PROGRAM} demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_serve(commands)
    _add_demo(commands)
    _add_simulate(commands)
    _add_check_config(commands)
    _add_collect(commands)
    return parser


def _add(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    handler: Handler,
    *,
    does: str,
    examples: Sequence[str],
    more: str = "",
) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {PROGRAM} {example}" for example in examples)
    command = commands.add_parser(
        name,
        help=does,
        description=does,
        epilog=f"{more}examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(handler=handler)
    return command


def _add_serve(commands: "argparse._SubParsersAction[_Parser]") -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.serve import serve
        from exporter.daemon import Options

        return serve(
            _source(options),
            Options(
                listen_addresses=tuple(options.listen_address or [":10678"]), telemetry_path=options.telemetry_path
            ),
            log_level=options.log_level,
            log_format=options.log_format,
        )

    command = _add(
        commands,
        "serve",
        handler,
        does="collect the configured apps and serve their metrics",
        examples=("serve --config.file=rtcmpu.yml", "serve --app.id=live-main --app.id=live-events"),
    )
    _add_configuration(command)
    command.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="ADDRESS",
        action="append",
        help="host:port, [host]:port or :port; repeatable (default :10678)",
    )
    command.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        default="/metrics",
        help="where the metrics are (default /metrics)",
    )
    command.add_argument(
        "--log.level",
        dest="log_level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="least level that is logged (default info)",
    )
    command.add_argument(
        "--log.format", dest="log_format", choices=("logfmt", "json"), default="logfmt", help="(default logfmt)"
    )


def _add_demo(commands: "argparse._SubParsersAction[_Parser]") -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.demo import demo

        return demo(options.listen_address or ["127.0.0.1:10678"], *_host_and_port(options.simulator_address))

    command = _add(
        commands,
        "demo",
        handler,
        does="run a lively simulated service and the exporter on it: no account, no network",
        examples=("demo", "demo --web.listen-address=:10678 --simulator.listen-address=127.0.0.1:0"),
    )
    command.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="ADDRESS",
        action="append",
        help="where the exporter listens; repeatable (default 127.0.0.1:10678)",
    )
    command.add_argument(
        "--simulator.listen-address",
        dest="simulator_address",
        metavar="HOST:PORT",
        default="127.0.0.1:10679",
        help="where the simulated service listens (default 127.0.0.1:10679)",
    )


def _add_simulate(commands: "argparse._SubParsersAction[_Parser]") -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.simulate import simulate
        from exporter.simulator.options import SimulatorOptions

        return simulate(
            SimulatorOptions(
                apps=options.apps,
                tasks=options.tasks,
                churn=options.churn,
                seed=options.seed,
                requests_per_second=options.requests_per_second,
                faults=tuple(options.fault),
                variants=tuple(options.variant),
            ),
            *_host_and_port(options.listen_address),
        )

    command = _add(
        commands,
        "simulate",
        handler,
        does="run the simulated service alone",
        examples=("simulate --apps=2 --tasks=1500 --churn=5", "simulate --fault throttling_429=0.1"),
        more=_simulator_words(),
    )
    command.add_argument(
        "--listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        default="127.0.0.1:10679",
        help="where it listens; port 0 takes any free one (default 127.0.0.1:10679)",
    )
    command.add_argument("--apps", type=_count, metavar="N", default=3, help="number of apps, app-1 … (default 3)")
    command.add_argument("--tasks", type=_count, metavar="N", default=100, help="tasks of each app (default 100)")
    command.add_argument(
        "--churn", type=_rate, metavar="RATE", default=1.0, help="events a second over all apps (default 1)"
    )
    command.add_argument("--seed", type=int, metavar="N", default=1, help="another fleet for each number (default 1)")
    command.add_argument(
        "--requests-per-second",
        dest="requests_per_second",
        type=_count,
        metavar="N",
        default=50,
        help="what the account may send (default 50)",
    )
    command.add_argument(
        "--fault", metavar="NAME=RATE", action="append", default=[], help="go wrong at a rate of 0 to 1; repeatable"
    )
    command.add_argument(
        "--variant", metavar="NAME=VALUE", action="append", default=[], help="another undocumented answer; repeatable"
    )


def _simulator_words() -> str:
    from exporter.simulator.options import fault_descriptions, variant_descriptions

    def listed(words: dict[str, str]) -> str:
        return "\n".join(f"  {name:<{max(map(len, words))}}  {line}" for name, line in words.items())

    return f"faults:\n{listed(dict(fault_descriptions()))}\n\nvariants:\n{listed(dict(variant_descriptions()))}\n\n"


def _add_check_config(commands: "argparse._SubParsersAction[_Parser]") -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.check_config import check_config

        source = ConfigurationSource.of_file(options.file, os.environ)
        return check_config(source, options.file, probe=options.probe)

    command = _add(
        commands,
        "check-config",
        handler,
        does="report every mistake of a configuration, and what to expect of its budget",
        examples=("check-config rtcmpu.yml", "check-config --probe rtcmpu.yml"),
    )
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--probe", action="store_true", help="make one real call for each app")


def _add_collect(commands: "argparse._SubParsersAction[_Parser]") -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.collect import collect

        return collect(_source(options), options.output)

    command = _add(
        commands,
        "collect",
        handler,
        does="sweep every app once, now, and print what was found",
        examples=("collect --app.id=live-main", "collect --config.file=rtcmpu.yml --output=json"),
    )
    _add_configuration(command)
    command.add_argument(
        "--output",
        choices=("table", "json", "prometheus"),
        default="table",
        help="a table of apps, every task as JSON, or the exposition (default table)",
    )


def _add_configuration(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config.file", dest="config_file", metavar="FILE", type=Path, help="the configuration")
    command.add_argument(
        "--app.id",
        dest="app_ids",
        metavar="ID",
        action="append",
        default=[],
        help="in place of a file: an AppId to read with the default credentials; repeatable",
    )
    command.add_argument(
        "--api.endpoint",
        dest="endpoint",
        metavar="URL",
        help=f"with --app.id: the service's address (default {DEFAULT_ENDPOINT})",
    )


def _source(options: argparse.Namespace) -> ConfigurationSource:
    """Return where the configuration comes from.

    Raises:
        ValueError: a file and flags, or neither.
    """
    if options.config_file is not None:
        if options.app_ids or options.endpoint:
            raise ValueError("--config.file does not go with --app.id or --api.endpoint: put the app into the file")
        return ConfigurationSource.of_file(options.config_file, os.environ)
    if not options.app_ids:
        raise ValueError("what to read? give --config.file=FILE or --app.id=ID (or try the demo command)")
    return ConfigurationSource.of_config(from_flags(options.app_ids, options.endpoint or DEFAULT_ENDPOINT))


def _host_and_port(address: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
        ValueError: it is none.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{address!r}: expected HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def _rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number, 0 or more")
    return number
