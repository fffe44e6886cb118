"""What the commands' command lines have in common: how a command is declared, and what its flags take."""

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from exporter.config.flags import from_flags
from exporter.config.mistakes import UsageError
from exporter.config.model import DEFAULT_ENDPOINT
from exporter.configuration_source import ConfigurationSource

PROGRAM: Final = "rtcmpu-exporter"
USAGE_ERROR: Final = 2

Handler = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - the type has no public name


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the command line, and where to read more."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def add_command(
    commands: Commands,
    name: str,
    handler: Handler,
    *,
    does: str,
    examples: Sequence[str],
    more: str = "",
) -> argparse.ArgumentParser:
    """Declare a command.

    Args:
        commands: Where it belongs.
        name: The word on the command line.
        handler: Is called with the options; returns the exit code.
        does: One line for both helps.
        examples: Command lines, without the program's name.
        more: What its help says before the examples.
    """
    command = _add_word(commands, name, does=does, examples=examples, more=more)
    command.set_defaults(handler=handler)
    return command


def add_group(commands: Commands, name: str, *, does: str, examples: Sequence[str]) -> Commands:
    """Declare a word that has commands of its own; return where they belong. The arguments are as for a command."""
    return _add_word(commands, name, does=does, examples=examples).add_subparsers(metavar="command", required=True)


def _add_word(commands: Commands, name: str, *, does: str, examples: Sequence[str], more: str = "") -> Parser:
    lines = "\n".join(f"  {PROGRAM} {example}" for example in examples)
    return commands.add_parser(
        name,
        help=does,
        description=does,
        epilog=f"{more}examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_configuration(command: argparse.ArgumentParser) -> None:
    """Add the flags that say what to read."""
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


def add_web_configuration(command: argparse.ArgumentParser) -> None:
    """Add the flags that say who may read what is served."""
    command.add_argument(
        "--web.external-url",
        dest="external_url",
        metavar="URL",
        help="where a proxy publishes the exporter; requests for its host are answered",
    )
    command.add_argument(
        "--web.allowed-host",
        dest="allowed_hosts",
        metavar="HOST",
        action="append",
        default=[],
        help="another host name that browsers may use for the pages, such as *.example.com; repeatable",
    )
    command.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        type=Path,
        help="TLS, users, headers and rate limit, in the format of Prometheus' exporters (docs/web-config.md)",
    )
    command.add_argument(
        "--web.health-without-auth",
        dest="health_without_auth",
        action="store_true",
        help="answer /-/healthy and /-/ready without a password",
    )


def configuration_source(options: argparse.Namespace) -> ConfigurationSource:
    """Return where the configuration comes from.

    Raises:
        UsageError: a file and flags, or neither.
    """
    if options.config_file is not None:
        if options.app_ids or options.endpoint:
            raise UsageError("--config.file does not go with --app.id or --api.endpoint: put the app into the file")
        return ConfigurationSource.of_file(options.config_file, os.environ)
    if not options.app_ids:
        raise UsageError("what to read? give --config.file=FILE or --app.id=ID (or try the demo command)")
    return ConfigurationSource.of_config(from_flags(options.app_ids, options.endpoint or DEFAULT_ENDPOINT))


def host_and_port(address: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
        UsageError: it is none.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{address!r}: expected HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def count(text: str) -> int:
    """Read a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def rate(text: str) -> float:
    """Read a finite number, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number, 0 or more")
    return number
