"""The command line: what can be asked for, and who does it.

Each command's module is imported when it is asked for: the daemon carries neither the simulator nor progress bars.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from exporter import __version__
from exporter.arguments import (
    PROGRAM,
    USAGE_ERROR,
    Commands,
    Handler,
    Parser,
    add_command,
    add_configuration,
    add_group,
    add_web_configuration,
    configuration_source,
    count,
    host_and_port,
    rate,
)
from exporter.commands import exit_codes
from exporter.config.mistakes import ConfigError, UsageError
from exporter.configuration_source import ConfigurationSource

COMMANDS: Final = ("serve", "demo", "simulate", "check-config", "collect", "audit", "rules")
NEVER: Final = "never"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code, as `commands/exit_codes.py` lists them."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0] not in COMMANDS and words[0] not in {"-h", "--help", "--version"}):
        words.insert(0, "serve")
    options = _parser().parse_args(words)
    handler: Handler = options.handler
    try:
        return handler(options)
    except (ConfigError, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - a bug must not look like a finding or a mistake of usage
        from exporter.supervisor import written

        sys.stderr.write(f"{PROGRAM}: internal error, please report it\n{written(error)}\n")
        return exit_codes.INTERNAL


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
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
    _add_audit(commands)
    _add_rules(commands)
    return parser


def _add_serve(commands: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.serve import serve
        from exporter.daemon import Options

        return serve(
            configuration_source(options),
            Options(
                listen_addresses=tuple(options.listen_address or [":10678"]),
                telemetry_path=options.telemetry_path,
                enable_lifecycle=options.enable_lifecycle,
                web_config_file=options.web_config_file,
                health_without_auth=options.health_without_auth,
                external_url=options.external_url,
                allowed_hosts=tuple(options.allowed_hosts),
            ),
            log_level=options.log_level,
            log_format=options.log_format,
            use_systemd_socket=options.systemd_socket,
        )

    command = add_command(
        commands,
        "serve",
        handler,
        does="collect the configured apps and serve their metrics",
        examples=("serve --config.file=rtcmpu.yml", "serve --app.id=live-main --app.id=live-events"),
    )
    add_configuration(command)
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
    add_web_configuration(command)
    command.add_argument(
        "--web.enable-lifecycle",
        dest="enable_lifecycle",
        action="store_true",
        help="allow POST /-/reload, which loads the configuration again as SIGHUP does",
    )
    command.add_argument(
        "--web.systemd-socket",
        dest="systemd_socket",
        action="store_true",
        help="listen on the sockets that a systemd socket unit hands over, not on --web.listen-address",
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


def _add_demo(commands: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.demo import demo
        from exporter.daemon import Options

        return demo(
            Options(
                listen_addresses=tuple(options.listen_address or ["127.0.0.1:10678"]),
                web_config_file=options.web_config_file,
                health_without_auth=options.health_without_auth,
                external_url=options.external_url,
                allowed_hosts=tuple(options.allowed_hosts),
            ),
            *host_and_port(options.simulator_address),
        )

    command = add_command(
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
    add_web_configuration(command)
    command.add_argument(
        "--simulator.listen-address",
        dest="simulator_address",
        metavar="HOST:PORT",
        default="127.0.0.1:10679",
        help="where the simulated service listens (default 127.0.0.1:10679)",
    )


def _add_simulate(commands: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.simulate import simulate, simulate_demo
        from exporter.simulator.options import SimulatorOptions

        if options.demo:
            return simulate_demo(*host_and_port(options.listen_address))
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
            *host_and_port(options.listen_address),
        )

    command = add_command(
        commands,
        "simulate",
        handler,
        does="run the simulated service alone",
        examples=(
            "simulate --apps=2 --tasks=1500 --churn=5",
            "simulate --fault throttled_429=0.1",
            "simulate --demo",
        ),
        more=_simulator_words(),
    )
    command.add_argument(
        "--listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        default="127.0.0.1:10679",
        help="where it listens; port 0 takes any free one (default 127.0.0.1:10679)",
    )
    command.add_argument(
        "--demo", action="store_true", help="the fleet and the accounts of the demo command; no flag below counts then"
    )
    command.add_argument("--apps", type=count, metavar="N", default=3, help="number of apps, app-1 … (default 3)")
    command.add_argument("--tasks", type=count, metavar="N", default=100, help="tasks of each app (default 100)")
    command.add_argument(
        "--churn", type=rate, metavar="RATE", default=1.0, help="events a second over all apps (default 1)"
    )
    command.add_argument("--seed", type=int, metavar="N", default=1, help="another fleet for each number (default 1)")
    command.add_argument(
        "--requests-per-second",
        dest="requests_per_second",
        type=count,
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


def _add_check_config(commands: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.check_config import check_config

        source = ConfigurationSource.of_file(options.file, os.environ)
        return check_config(source, options.file, probe=options.probe, web_config_file=options.web_config_file)

    command = add_command(
        commands,
        "check-config",
        handler,
        does="report every mistake of a configuration, and what to expect of its budget",
        examples=("check-config rtcmpu.yml", "check-config --probe rtcmpu.yml"),
    )
    command.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        type=Path,
        help="a web configuration to be checked as well",
    )
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--probe", action="store_true", help="make one real call for each app")


def _add_collect(commands: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.collect import collect

        return collect(configuration_source(options), options.output)

    command = add_command(
        commands,
        "collect",
        handler,
        does="sweep every app once, now, and print what was found",
        examples=("collect --app.id=live-main", "collect --config.file=rtcmpu.yml --output=json"),
    )
    add_configuration(command)
    command.add_argument(
        "--output",
        choices=("table", "json", "prometheus"),
        default="table",
        help="a table of apps, every task as JSON, or the exposition (default table)",
    )


def _add_audit(commands: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.audit import audit
        from exporter.policy.rule import Severity

        fail_on = None if options.fail_on == NEVER else Severity(options.fail_on)
        return audit(configuration_source(options), options.output, fail_on)

    command = add_command(
        commands,
        "audit",
        handler,
        does="sweep every app once, now, and print what is not as it is expected to be",
        examples=(
            "audit --app.id=live-main",
            "audit --config.file=rtcmpu.yml --output=junit --fail-on=critical",
        ),
        more=(
            "Exit code 1: there are violations at or above --fail-on, or an app can't be read; the others are still\n"
            "shown. Tasks for which a rule can't be evaluated are shown, and do not fail an audit by themselves.\n\n"
        ),
    )
    add_configuration(command)
    command.add_argument(
        "--output",
        choices=("table", "json", "sarif", "junit"),
        default="table",
        help="tables for people, everything as JSON, SARIF 2.1.0 or JUnit XML (default table)",
    )
    command.add_argument(
        "--fail-on",
        dest="fail_on",
        choices=("info", "warning", "critical", NEVER),
        default="warning",
        help="the least severity that is a failure (default warning)",
    )


def _add_rules(commands: Commands) -> None:
    rules = add_group(
        commands,
        "rules",
        does="show the rules that tasks are held against, and test one's own",
        examples=("rules list --config.file=rtcmpu.yml", "rules test rules/agreed.yml"),
    )
    _add_rules_list(rules)
    _add_rules_test(rules)


def _add_rules_list(rules: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.clock import SystemClock
        from exporter.commands.rules import list_rules

        return list_rules(configuration_source(options), options.output, SystemClock().now())

    command = add_command(
        rules,
        "list",
        handler,
        does="print which rules are on and which are off, and why",
        examples=("rules list --config.file=rtcmpu.yml", "rules list --app.id=live-main --output=json"),
    )
    add_configuration(command)
    command.add_argument(
        "--output", choices=("table", "json"), default="table", help="tables for people, or JSON (default table)"
    )


def _add_rules_test(rules: Commands) -> None:
    def handler(options: argparse.Namespace) -> int:
        from exporter.commands.rules import run_tests

        return run_tests(options.files)

    command = add_command(
        rules,
        "test",
        handler,
        does="run the test cases that stand beside rules",
        examples=("rules test rules/agreed.yml",),
        more="Exit code 1: a case has another outcome than it expects. 2: a mistake in a file.\n\n",
    )
    command.add_argument("files", metavar="FILE", nargs="+", type=Path, help="a file of rules")
