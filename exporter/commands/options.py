"""What commands share: how their words are read and completed, options, and the types of values."""

import difflib
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import augment_usage_errors
from click.shell_completion import BashComplete, CompletionItem

from exporter.config.durations import parse_duration
from exporter.config.mistakes import UsageError

if TYPE_CHECKING:
    from exporter.service.configuration_source import ConfigurationSource

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose mistakes point to its own help, also where a flag has no value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the flags."""
        ctx.allow_extra_args = True
        with augment_usage_errors(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            takes_file = any("--config.file" in parameter.opts for parameter in self.params)
            hint = f": did you mean --config.file={rest[0]}?" if takes_file else ""
            ctx.fail(f"unexpected argument {rest[0]!r}{hint}")
        return rest


class Commands(click.Group):
    """A group that names the nearest command to a mistyped one."""

    command_class = Command
    default: str | None = None  # the command that flags alone mean

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before flags that are not the group's own."""
        without_command = not args or (args[0].startswith("-") and args[0] not in {"--help", "-h", "--version"})
        if self.default is not None and without_command and not (ctx.resilient_parsing and not args):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command, or a flag of the default one."""
        found = super().shell_complete(ctx, incomplete)
        if self.default is not None and incomplete.startswith("-"):
            found += self.commands[self.default].shell_complete(ctx, incomplete)
        return list({item.value: item for item in found}.values())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name."""
        if args and args[0] not in self.commands:
            near = difflib.get_close_matches(args[0], [*self.commands, "--help", "--version"], n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.commands)}"
            ctx.fail(f"unknown command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)


class Bash(BashComplete):
    """Completes `--flag=value`, of which bash makes three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, and that one."""
        words, incomplete = super().get_completion_args()
        return [word for word in words if word != "="], incomplete


def named(kind: str, value: str, text: str) -> Callable[[F], F]:
    """Add the flag that gives the simulator's faults or variants a value each; their names are completed."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exporter.simulator.simulation import DESCRIPTIONS

        names = DESCRIPTIONS[kind].items()
        return [CompletionItem(name, help=words) for name, words in names if name.startswith(incomplete)]

    return click.option(
        f"--{kind}", f"{kind}s", metavar=f"NAME={value}", multiple=True, shell_complete=complete, help=text
    )


class Count(click.ParamType[int]):
    """A whole number, 0 or more."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        text = str(value)
        if not (text.isascii() and text.isdigit()):
            self.fail(f"{text!r}: expected a whole number, 0 or more", param, ctx)
        return int(text)


class Rate(click.ParamType[float]):
    """A finite number, 0 or more."""

    name = "RATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            self.fail(f"{str(value)!r}: expected a number, 0 or more", param, ctx)
        return number


class Moment(click.ParamType[float]):
    """A time with its zone, or a duration before now."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return Unix time."""
        if isinstance(value, float):
            return value
        with suppress(ValueError):
            return time.time() - parse_duration(str(value))
        with suppress(ValueError):
            moment = datetime.fromisoformat(str(value))
            if moment.tzinfo is not None:
                return moment.timestamp()
        return self.fail(
            f"{value!r}: expected a duration such as 24h, or a time such as 2027-01-15T08:00:00Z", param, ctx
        )


FILE: Final = click.Path(path_type=Path)


def configuration(command: F) -> F:
    """Add the flags that say what to read, for `source_of`."""
    for option in (
        click.option(
            "--api.endpoint", "endpoint", metavar="URL", help="with --app.id (default https://live.aliyuncs.com)"
        ),
        click.option(
            "--app.id",
            "app_ids",
            metavar="ID",
            multiple=True,
            help="in place of a file: an AppId to read with the default credentials; repeatable",
        ),
        click.option("--config.file", "config_file", metavar="FILE", type=FILE, help="the configuration"),
    ):
        command = option(command)
    return command


def source_of(config_file: Path | None, app_ids: Sequence[str], endpoint: str | None) -> "ConfigurationSource":
    """Return where the configuration comes from; raises UsageError if given both a file and flags, or neither."""
    from exporter.config.loader import from_flags
    from exporter.config.model import DEFAULT_ENDPOINT
    from exporter.service.configuration_source import ConfigurationSource

    if config_file is not None:
        if app_ids or endpoint:
            raise UsageError("--config.file does not go with --app.id or --api.endpoint: put the app into the file")
        return ConfigurationSource.of_file(config_file, os.environ)
    if not app_ids:
        raise UsageError("no apps configured: pass --config.file=FILE or --app.id=ID, or try the demo command")
    return ConfigurationSource.of_config(from_flags(app_ids, endpoint or DEFAULT_ENDPOINT))


def web_configuration(command: F) -> F:
    """Add the flags that say who may read what is served."""
    for option in (
        click.option(
            "--web.health-without-auth",
            "health_without_auth",
            is_flag=True,
            help="answer /-/healthy and /-/ready without a password",
        ),
        click.option(
            "--web.config.file",
            "web_config_file",
            metavar="FILE",
            type=FILE,
            help="TLS, users, headers and rate limit, in the format of Prometheus' exporters (docs/web-config.md)",
        ),
        click.option(
            "--web.allowed-host",
            "allowed_hosts",
            metavar="HOST",
            multiple=True,
            help="another host name that browsers may use for the pages, such as *.example.com; repeatable",
        ),
        click.option(
            "--web.external-url",
            "external_url",
            metavar="URL",
            help="where a proxy publishes the exporter: its host may be asked for, links begin with its path",
        ),
        click.option(
            "--web.route-prefix",
            "route_prefix",
            metavar="PATH",
            help="path of all that is served; / if a proxy strips it (default: the path of --web.external-url)",
        ),
        click.option(
            "--web.grafana-url",
            "grafana_url",
            metavar="URL",
            help="address of a Grafana with the bundled dashboards, which pages link to",
        ),
    ):
        command = option(command)
    return command


def listen_addresses(default: str) -> Callable[[F], F]:
    """Add the flag that says where the exporter listens."""
    return click.option(
        "--web.listen-address",
        "listen_addresses",
        metavar="ADDRESS",
        multiple=True,
        default=(default,),
        help=f"host:port, [host]:port or :port; repeatable (default {default})",
    )


def log_level(default: str) -> Callable[[F], F]:
    """Add the flag that says what is logged."""
    return click.option(
        "--log.level",
        "level",
        type=click.Choice(["debug", "info", "warn", "warning", "error"]),
        default=default,
        callback=lambda _, __, level: "warning" if level == "warn" else level,
        help=f"minimum log level (default {default})",
    )


def output_format(text: str, *formats: str) -> Callable[[F], F]:
    """Add the flag that says how to print what was found, by default as a table."""
    return click.option("--output", type=click.Choice(formats), default="table", help=f"{text} (default table)")


def host_and_port(address: str) -> tuple[str, int]:
    """Split HOST:PORT; raises UsageError if it is none."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise UsageError(f"{address!r}: expected HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)
