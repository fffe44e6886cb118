"""Where pages are, with names that may hold anything."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode


def app_path(account: str, app_id: str, *rest: str) -> str:
    """Return the path of an app's page, or of one below it."""
    return "/apps/" + "/".join(quote(part, safe="", errors="replace") for part in (account, app_id, *rest))


def with_query(path: str, parameters: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Return a path with those of the parameters that are not empty."""
    items = parameters.items() if isinstance(parameters, Mapping) else parameters
    query = urlencode([(name, value) for name, value in items if value], errors="replace")
    return f"{path}?{query}" if query else path


def safe_link(url: str) -> str | None:
    """Return an address that a page may link to; None: it is no web address."""
    return url if url.lower().startswith(("https://", "http://")) else None
