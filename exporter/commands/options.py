"""What commands share: how their words are read and completed, options, and the types of values."""

import difflib
import functools
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

from exporter.config.mistakes import UsageError

if TYPE_CHECKING:
    from exporter.rules.rule_loader import ConfigurationSource

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

    return flag(f"--{kind}=NAME={value}", text, f"{kind}s", multiple=True, shell_complete=complete)


def count(value: object) -> int:
    """Read a whole number, 0 or more."""
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise click.BadParameter(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def rate(value: Any) -> float:
    """Read a finite number, 0 or more."""
    with suppress(ValueError):
        if 0 <= (number := float(value)) < math.inf:
            return number
    raise click.BadParameter(f"{str(value)!r}: expected a number, 0 or more")


def moment(value: str | float) -> float:
    """Return the Unix time of a time with its zone, or of a duration before now."""
    from exporter.config.value_types import parse_duration

    if isinstance(value, float):
        return value
    with suppress(ValueError):
        return time.time() - parse_duration(value)
    with suppress(ValueError):
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.timestamp()
    raise click.BadParameter(f"{value!r}: expected a duration such as 24h, or a time such as 2027-01-15T08:00:00Z")


FILE: Final = click.Path(path_type=Path)
LEVELS: Final = ("debug", "info", "warn", "warning", "error")


def flag(name: str, text: str, target: str = "", **rest: Any) -> Callable[[F], F]:
    """Add `--NAME=VALUE`, or without `=VALUE` a switch, for the argument `target`: by default what follows the dots."""
    name, _, value = name.partition("=")
    target = target or name.rpartition(".")[2].rpartition("--")[2].replace("-", "_")
    kind = {"metavar": value, "type": FILE if value == "FILE" else None} if value else {"is_flag": True}
    return click.option(*name.split(), target, help=text, **kind | rest)


def choice(name: str, target: str, values: Sequence[str], text: str, **rest: Any) -> Callable[[F], F]:
    """Add a flag whose value is one of some, by default the first."""
    return click.option(name, target, type=click.Choice(values), help=text, **{"default": values[0]} | rest)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Add several flags, in the order of the help."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that say what to read, which the command gets as its first argument, a source."""

    @functools.wraps(command)
    def run(*, config_file: Path | None, app_ids: Sequence[str], endpoint: str | None, **others: Any) -> Any:
        return command(source_of(config_file, app_ids, endpoint), **others)

    in_place = "in place of a file: an AppId to read with the default credentials; repeatable"
    return together(
        flag("--config.file=FILE", "the configuration", "config_file"),
        flag("--app.id=ID", in_place, "app_ids", multiple=True),
        flag("--api.endpoint=URL", "with --app.id (default https://live.aliyuncs.com)"),
    )(run)


def source_of(config_file: Path | None, app_ids: Sequence[str], endpoint: str | None) -> "ConfigurationSource":
    """Return where the configuration comes from; raises UsageError if given both a file and flags, or neither."""
    from exporter.config.loader import from_flags
    from exporter.config.model import DEFAULT_ENDPOINT
    from exporter.rules.rule_loader import ConfigurationSource

    if config_file is not None:
        if app_ids or endpoint:
            raise UsageError("--config.file does not go with --app.id or --api.endpoint: put the app into the file")
        return ConfigurationSource.of_file(config_file, os.environ)
    if not app_ids:
        raise UsageError("no apps configured: pass --config.file=FILE or --app.id=ID, or try the demo command")
    return ConfigurationSource.of_config(from_flags(app_ids, endpoint or DEFAULT_ENDPOINT))


web_configuration = together(
    flag("--web.grafana-url=URL", "address of a Grafana with the bundled dashboards, which pages link to"),
    flag(
        "--web.route-prefix=PATH",
        "path of all that is served; / if a proxy strips it (default: the path of --web.external-url)",
    ),
    flag(
        "--web.external-url=URL",
        "where a proxy publishes the exporter: its host may be asked for, links begin with its path",
    ),
    flag(
        "--web.allowed-host=HOST",
        "another host name that browsers may use for the pages, such as *.example.com; repeatable",
        "allowed_hosts",
        multiple=True,
    ),
    flag(
        "--web.config.file=FILE",
        "TLS, users, headers and rate limit, in the format of Prometheus' exporters (docs/web-config.md)",
        "web_config_file",
    ),
    flag("--web.health-without-auth", "answer /-/healthy and /-/ready without a password"),
)


def listen_addresses(default: str) -> Callable[[F], F]:
    """Add the flag that says where the exporter listens."""
    text = f"host:port, [host]:port or :port; repeatable (default {default})"
    return flag("--web.listen-address=ADDRESS", text, "listen_addresses", multiple=True, default=(default,))


def log_level(default: str) -> Callable[[F], F]:
    """Add the flag that says what is logged."""

    def canonical(_ctx: click.Context, _param: click.Parameter, level: str) -> str:
        return "warning" if level == "warn" else level

    text = f"minimum log level (default {default})"
    return choice("--log.level", "level", LEVELS, text, default=default, callback=canonical)


def output_format(text: str, *formats: str) -> Callable[[F], F]:
    """Add the flag that says how to print what was found, by default as a table."""
    return choice("--output", "output", formats, f"{text} (default table)")
