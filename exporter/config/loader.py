"""From a file, and the files of apps that it names, to a checked configuration."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from exporter.config.capacity import limiter_groups
from exporter.config.files import Files
from exporter.config.mistakes import Mistakes, Position
from exporter.config.model import DEFAULT_ENDPOINT, Account, App, AppId, Config
from exporter.config.section import describe, kind_of
from exporter.config.validation import check_unique, find, items_at, place_of, validate
from exporter.config.value_types import Endpoint
from exporter.config.yaml_nodes import Items, Node, Scalar
from exporter.config.yaml_nodes import Mapping as MappingNode


def read_config(path: Path, files: Files, environ: Mapping[str, str]) -> tuple[Node | None, Config | None]:
    """Return the tree, its app files, and what it means (None with mistakes, which are in `files`)."""
    node = files.node(path)
    if node is None:
        return None, None
    node = _with_app_files(node, files)
    _check_names(node, files.mistakes)
    config: Config | None = validate(node, Config, files.mistakes, directory=path.parent, environ=environ)
    # What is checked when all values are right is checked, too, where only a file that they name is not.
    whole = config or validate(
        node, Config, files.mistakes, directory=path.parent, environ=environ, looks_at_files=False
    )
    if whole is not None:
        _check_rates(whole, node, files.mistakes)
        for account in whole.accounts if config is None else ():
            if account.ca_file is not None:
                files.follow(account.ca_file)
    return node, config


def places_of(config: Config, root: Node | None) -> Iterator[tuple[tuple[str, str], Position]]:
    """Yield account and AppId of each app with the place of its id."""
    for account, account_node in zip(config.accounts, items_at(root, "accounts"), strict=True):
        for app, node in zip(account.apps, items_at(account_node, "apps"), strict=True):
            yield (account.name, app.id), place_of(node, "id")


def paths_of(names: Node | None, expected: str, files: Files) -> tuple[Path, ...]:
    """Return the files that a list of names and patterns stands for, each once; anything but a list has none."""
    found: dict[Path, None] = {}
    for name in items_at(names):
        if isinstance(name, Scalar) and name.text and "\0" not in name.text:
            found.update(dict.fromkeys(files.matching(files.expanded(name), name.position, expected)))
    return tuple(found)


def _with_app_files(root: Node, files: Files) -> Node:
    accounts = find(root, ["accounts"])
    if not isinstance(root, MappingNode) or not isinstance(accounts, Items):
        return root
    grown = replace(accounts, items=tuple(_with_apps(account, files) for account in accounts.items))
    pairs = tuple((key, grown if value is accounts else value) for key, value in root.pairs)
    return replace(root, pairs=pairs)


def _with_apps(account: Node, files: Files) -> Node:
    if not isinstance(account, MappingNode):
        return account
    found: list[Node] = []
    for path in paths_of(find(account, ["app_files"]), "a list of apps", files):
        node = files.node(path)
        if isinstance(node, Items):
            found += node.items
        elif node is not None:
            kind = "a mapping" if isinstance(node, MappingNode) else "a single value"
            files.mistakes.add(node.position, f"the file is {kind}, expected a list")
    own = find(account, ["apps"])
    if not found or not (own is None or isinstance(own, Items) or (isinstance(own, Scalar) and own.is_null)):
        return account
    items = (*items_at(own), *found)
    place = account.position if own is None else own.position
    apps = (Scalar(place, "apps"), Items(place, items, sum(item.values for item in items)))
    return replace(account, pairs=(*(pair for pair in account.pairs if pair[1] is not own), apps))


def _check_names(root: Node, mistakes: Mistakes) -> None:
    """Note names that come twice, and accounts without apps, whatever else is wrong with them."""
    node, accounts = find(root, ["accounts"]), items_at(root, "accounts")
    if isinstance(node, Items) and not accounts:
        mistakes.add(node.position, "accounts is empty, expected at least one item")
    check_unique(accounts, "name", "account", mistakes)
    for account in accounts:
        check_unique(items_at(account, "apps"), "id", "app", mistakes)
        if isinstance(account, MappingNode) and not {"apps", "app_files"} & {key.text for key, _ in account.pairs}:
            mistakes.add(account.position, "no apps, expected apps or app_files")


def _check_rates(config: Config, root: Node, mistakes: Mistakes) -> None:
    nodes = dict(zip((account.name for account in config.accounts), items_at(root, "accounts"), strict=True))
    for first, *others in limiter_groups(config.accounts):
        for other in others:
            if other.requests_per_second != first.requests_per_second:
                text = f"requests_per_second {other.requests_per_second:g} in one limiter with account {first.name}"
                place = place_of(nodes[other.name], "requests_per_second")
                mistakes.add(place, f"{text}, expected its {first.requests_per_second:g}")


ACCOUNT_NAME: Final = "default"
APP_FLAG: Final = "--app.id"
ENDPOINT_FLAG: Final = "--api.endpoint"


def from_flags(app_ids: Sequence[str], endpoint: str = DEFAULT_ENDPOINT) -> Config:
    """Return one account, `default`, with these apps and the default chain. Raises ConfigError."""
    mistakes = Mistakes()
    app_place, endpoint_place = Position(0, APP_FLAG), Position(1, ENDPOINT_FLAG)
    if not app_ids:
        mistakes.add(app_place, "no app, expected at least one")
    for place, app_id in enumerate(app_ids):
        if _parsed(app_id, AppId) is None:
            mistakes.add(app_place, f"{app_id[:40]!r}, expected {describe(kind_of(AppId))}")
        if app_id in app_ids[:place]:
            mistakes.add(app_place, f"{app_id[:40]!r} again, expected each app once")
    parsed = _parsed(endpoint, Endpoint)
    if parsed is None:
        mistakes.add(endpoint_place, f"not usable, expected {describe(kind_of(Endpoint))}")
    mistakes.raise_if_any()
    apps = tuple(App(id=app_id) for app_id in app_ids)
    return Config(accounts=(Account(name=ACCOUNT_NAME, endpoint=str(parsed), apps=apps),))


def _parsed(text: str, kind: Any) -> str | None:
    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError:
        return None
