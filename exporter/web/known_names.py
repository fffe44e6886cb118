"""Names in filters that nothing has: an empty list would look as if all were well."""

from collections.abc import Iterable, Sequence

from exporter.web.view import View


class UnknownNameError(LookupError):
    """A filter names what does not exist; `str()` says which."""


def unknown_names(
    view: View,
    *,
    account: str | None = None,
    app_id: str | None = None,
    rule: str | None = None,
    owner: str | None = None,
    former_apps: Iterable[tuple[str, str]] = (),
) -> Sequence[str]:
    """Return a sentence for each name that nothing has.

    Args:
        view: What there is.
        account: An account's name; empty or None: not asked for, as the others.
        app_id: An AppId, of that account if there is one.
        rule: The name of a rule, in force or not.
        owner: The owner of a rule or of an app.
        former_apps: Account and AppId of apps that are known besides the configured ones.
    """
    statuses = [app.status for app in view.statuses()]
    apps = {(status.account, status.app_id) for status in statuses} | set(former_apps)
    unknown = []
    if account and account not in {name for name, _ in apps}:
        unknown.append(f"There is no account {account!r}.")
    elif app_id and not any(app_id == known and account in {None, "", name} for name, known in apps):
        unknown.append(f"There is no app {app_id!r}" + (f" in account {account!r}." if account else "."))
    if rule or owner:
        rules = [shown.rule for shown in view.rules()]
        if rule and rule not in {known.name for known in rules}:
            unknown.append(f"There is no rule {rule!r}.")
        owners = {known.owner for known in rules} | {status.owner for status in statuses}
        if owner and owner not in owners:
            unknown.append(f"No app and no rule has the owner {owner!r}.")
    return unknown


def require_known(unknown: Sequence[str]) -> None:
    """Refuse names that nothing has.

    Raises:
        UnknownNameError: There is one.
    """
    if unknown:
        raise UnknownNameError(" ".join(unknown))
