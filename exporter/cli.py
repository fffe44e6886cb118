"""The command line: its commands and their flags. The module of a command is imported when it runs."""

import errno
import math
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource
from click.shell_completion import add_completion_class, get_completion_class

from exporter import __version__
from exporter.commands import ExitCode
from exporter.commands.options import (
    FILE,
    Bash,
    Command,
    Commands,
    choice,
    configuration,
    count,
    flag,
    listen_addresses,
    log_level,
    moment,
    named,
    output_format,
    rate,
    source_of,
    web_configuration,
)
from exporter.config.mistakes import ConfigError, UsageError

if TYPE_CHECKING:
    from exporter.rules.rule_loader import ConfigurationSource

PROGRAM: Final = "rtcmpu-exporter"
DEFAULT_COMMAND: Final = "serve"
NEVER: Final = "never"
UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Why standard output can't be written; commands write to nothing else that has no handling of its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code, as `commands.ExitCode` lists them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # UTF-8 whatever the locale is; without it names would end a command
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    add_completion_class(Bash)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 1:
            raise
        code = ExitCode.PIPE_CLOSED  # click and rich make a SystemExit of it, with the code of findings
    except Exception as error:  # noqa: BLE001 - a bug must not look like a finding or a mistake of usage
        if not isinstance(error, OSError) or error.errno not in UNWRITABLE:
            from exporter.service.supervisor import written

            _complain(f"{PROGRAM}: internal error, please report it\n{written(error)}")
            return ExitCode.INTERNAL
        _complain(f"{PROGRAM}: standard output can't be written: {error.strerror}")
        code = ExitCode.UNWRITTEN
    else:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at its end the interpreter writes what is left
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        return int(cli.main(None if arguments is None else list(arguments), PROGRAM, standalone_mode=False) or 0)
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = PROGRAM if where is None else where.command_path
        _complain(f"{path}: {' '.join(error.format_message().split()).rstrip('.')}; see {path} --help")
        return ExitCode.USAGE
    except (ConfigError, UsageError) as error:
        _complain(str(error))
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED


def _complain(text: str) -> None:
    """Write an error; the exit code says as much where standard error can't be written."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")


def examples(*lines: str, more: str = "") -> str:
    """Return the end of a command's help."""
    shown = "\n".join(f"  {PROGRAM} {line}" for line in lines)
    parts = [*(more.strip().split("\n\n") if more else ()), f"examples:\n{shown}"]
    return "\n\n".join(f"\b\n{part}" for part in parts)


@click.group(
    cls=Commands,
    name=PROGRAM,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Prometheus exporter for the relay (MPU) tasks of ApsaraVideo Live. Without a command: serve.",
    epilog=f"example: {PROGRAM} demo",
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def cli() -> None:
    """Run one of the commands."""


cli.default = DEFAULT_COMMAND


@cli.command(epilog=examples("serve --config.file=rtcmpu.yml", "serve --app.id=live-main --app.id=live-events"))
@configuration
@listen_addresses(":10678")
@flag("--web.telemetry-path=PATH", "where the metrics are (default /metrics)", default="/metrics")
@web_configuration
@flag("--web.enable-lifecycle", "allow POST /-/reload, which loads the configuration again as SIGHUP does")
@flag(
    "--web.systemd-socket", "listen on the sockets that a systemd socket unit hands over, not on --web.listen-address"
)
@log_level("info")
@choice("--log.format", "log_format", ("logfmt", "json"), "(default logfmt)")
def serve(source: "ConfigurationSource", *, level: Any, log_format: Any, systemd_socket: bool, **options: Any) -> int:
    """Collect the configured apps and serve their metrics."""
    from exporter.commands import serve as command
    from exporter.service.daemon import Options

    return command.serve(
        source, Options(**options), log_level=level, log_format=log_format, use_systemd_socket=systemd_socket
    )


@cli.command(epilog=examples("demo", "demo --web.listen-address=:10678 --simulator.listen-address=127.0.0.1:0"))
@listen_addresses("127.0.0.1:10678")
@web_configuration
@flag(
    "--simulator.listen-address=HOST:PORT",
    "where the simulated service listens (default 127.0.0.1:10679)",
    "simulator_address",
    default="127.0.0.1:10679",
)
@log_level("warn")
def demo(simulator_address: str, level: Any, **options: Any) -> int:
    """Run the exporter on a simulated service.

    It needs no account and no network.
    """
    from exporter.commands import simulator_commands as command
    from exporter.service.daemon import Options

    return command.demo(Options(**options), simulator_address, log_level=level)


class Simulate(Command):
    """A command whose help lists faults and variants."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what `--fault` and `--variant` take, then the examples."""
        from exporter.simulator.simulation import DESCRIPTIONS

        for kind, words in DESCRIPTIONS.items():
            with formatter.section(f"{kind}s"):
                formatter.write_dl(list(words.items()))
        super().format_epilog(ctx, formatter)


@cli.command(
    cls=Simulate,
    epilog=examples(
        "simulate --apps=2 --tasks=1500 --churn=5", "simulate --fault throttled_429=0.1", "simulate --demo"
    ),
)
@flag(
    "--web.listen-address --listen-address=HOST:PORT",
    "where it listens; port 0 takes any free one (default 127.0.0.1:10679)",
    default="127.0.0.1:10679",
)
@flag("--demo", "the fleet and the accounts of the demo command", "is_demo")
@flag("--apps=N", "number of apps, app-1 … (default 3)", type=count, default=3)
@flag("--tasks=N", "tasks of each app (default 100)", type=count, default=100)
@flag("--churn=RATE", "events a second over all apps (default 1)", type=rate, default=1.0)
@flag("--seed=N", "another fleet for each number (default 1)", type=int, default=1)
@flag("--requests-per-second=N", "of the account (default 50)", type=count, default=50)
@named("fault", "RATE", "go wrong at a rate of 0 to 1; repeatable")
@named("variant", "VALUE", "another undocumented answer; repeatable")
@click.pass_context
def simulate(ctx: click.Context, /, listen_address: str, *, is_demo: bool, **options: Any) -> int:
    """Run the simulated service alone."""
    from exporter.commands import simulator_commands as command
    from exporter.simulator.simulation import SimulatorOptions

    for parameter in ctx.command.params if is_demo else ():
        name = str(parameter.name)
        if name in options and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"--demo does not go with {parameter.opts[0]}: its fleet is fixed")
    return command.simulate(None if is_demo else SimulatorOptions(**options), listen_address)


@cli.command(
    "check-config",
    epilog=examples(
        *("check-config rtcmpu.yml", "check-config --probe rtcmpu.yml"),
        more="Exit code 3: with --probe, an app can't be read, or there is none.",
    ),
)
@flag("--config.file=FILE", "the configuration, the same as FILE", "config_file")
@flag("--web.config.file=FILE", "a web configuration to check as well", "web_config_file")
@flag("--probe", "make one real call for each app")
@click.argument("file", type=FILE, required=False)
@click.pass_context
def check_config(ctx: click.Context, /, config_file: Path | None, file: Path | None, **options: Any) -> int:
    """Check a configuration and forecast its request rate.

    Every mistake is reported.
    """
    from exporter.commands import check_config as command

    path = config_file or file
    if path is None or (config_file and file):
        ctx.fail("expected one --config.file=FILE")
    return command.check_config(source_of(path, (), None), path, **options)


@cli.command(
    epilog=examples(
        "collect --app.id=live-main",
        "collect --config.file=rtcmpu.yml --output=json",
        more="Exit code 3: an app can't be read; the others are still shown.",
    )
)
@configuration
@output_format("a table of apps, every task as JSON, or the exposition", "table", "json", "prometheus")
def collect(source: "ConfigurationSource", output: Any) -> int:
    """Sweep every app once, now, and print what was found."""
    from exporter.commands import collect as command

    return command.collect(source, output)


@cli.command(
    epilog=examples(
        "history --config.file=rtcmpu.yml --since=24h --app=live-main",
        "history --config.file=rtcmpu.yml --since=2027-01-15T08:00:00Z --output=json",
        more="Exit code 3: the database can't be read.",
    )
)
@flag("--config.file=FILE", "the configuration", "config_file", required=True)
@flag("--since=TIME", "a duration or a time (default 24h)", type=moment, default="24h")
@flag("--until=TIME", "a duration or a time (default now)", type=moment, default=math.inf)
@flag("--app=ID", "of one AppId", "app_id", default="")
@flag("--task=ID", "of one TaskId", "task_id", default="")
@flag("--limit=N", "the newest N (default 1000)", type=click.IntRange(1, 10**9), default=1000)
@output_format("a table, or JSON", "table", "json")
def history(config_file: Path, output: Any, **wanted: Any) -> int:
    """Print changes of tasks from the database."""
    from exporter.collector.past import HistoryFilter
    from exporter.commands import history as command

    if wanted["since"] > wanted["until"]:
        raise UsageError("--since is later than --until: durations are before now, so --since needs the longer one")
    return command.history(source_of(config_file, (), None), HistoryFilter(**wanted), output)


@cli.command(
    epilog=examples(
        "audit --app.id=live-main",
        "audit --config.file=rtcmpu.yml --output=junit --fail-on=critical",
        more=(
            "Exit code 1: there are violations at or above --fail-on.\n"
            "Exit code 3: an app can't be read, or there is nothing to read; the others are still shown.\n"
            "Tasks for which a rule can't be evaluated are shown, and do not fail an audit by themselves."
        ),
    )
)
@configuration
@output_format("tables for people, everything as JSON, SARIF 2.1.0 or JUnit XML", "table", "json", "sarif", "junit")
@choice(
    *("--fail-on", "fail_on", ("info", "warning", "critical", NEVER)),
    "the least severity that is a failure (default warning)",
    default="warning",
)
def audit(source: "ConfigurationSource", output: Any, fail_on: str) -> int:
    """Sweep every app once, now, and print every violation."""
    from exporter.commands import audit as command
    from exporter.rules.rule import Severity

    return command.audit(source, output, None if fail_on == NEVER else Severity(fail_on))


@cli.group(
    cls=Commands,
    epilog=examples("rules list --config.file=rtcmpu.yml", "rules test rules/agreed.yml"),
    no_args_is_help=False,
)
def rules() -> None:
    """Show the rules for tasks, and test your own."""


@rules.command(
    "list", epilog=examples("rules list --config.file=rtcmpu.yml", "rules list --app.id=live-main --output=json")
)
@configuration
@output_format("tables for people, or JSON", "table", "json")
def list_rules(source: "ConfigurationSource", output: Any) -> int:
    """Print which rules are on and which are off, and why."""
    from exporter.commands import rule_commands as command
    from exporter.core.clock import SystemClock

    return command.list_rules(source, output, SystemClock().now())


@rules.command(
    "test",
    epilog=examples(
        "rules test rules/agreed.yml",
        more="Exit code 1: a case has another outcome than it expects. 2: a mistake in a file.",
    ),
)
@click.argument("files", metavar="FILE…", type=FILE, nargs=-1, required=True)
def run_rule_tests(files: tuple[Path, ...]) -> int:
    """Run the test cases beside rules."""
    from exporter.commands import rule_commands as command

    return command.run_tests(list(files))


@cli.command(
    epilog=examples(
        "completion bash > /etc/bash_completion.d/rtcmpu-exporter",
        'completion zsh > "${fpath[1]}/_rtcmpu-exporter"',
        "completion fish > ~/.config/fish/completions/rtcmpu-exporter.fish",
    )
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion of this program."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all three
    click.echo(found(cli, {}, PROGRAM, f"_{PROGRAM}_COMPLETE".replace("-", "_").upper()).source())
