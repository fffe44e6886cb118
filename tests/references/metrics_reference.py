"""The tables of `docs/metrics.md`: families and labels, derived from the declarations."""

from collections.abc import Iterable

from exporter.metrics.family import Declaration, Label
from tests.references.markdown import code, table


def families_table(declarations: Iterable[Declaration], *, of_apps: bool = True) -> str:
    """Return a row for each family; `of_apps` leaves out the labels `account` and `app_id`, which all of them have."""
    rows = []
    for declaration in declarations:
        kind: str = "gauge histogram" if declaration.kind == "gaugehistogram" else declaration.kind
        if declaration.stability != "stable":
            kind += f", *{declaration.stability}*"
        labels = declaration.labels[2:] if of_apps else declaration.labels
        means = f"{declaration.help} {declaration.note}".strip()
        rows.append((f"`{declaration.name}`", kind, code(label.name for label in labels), means))
    return table(("family", "type", "labels", "means"), rows)


def labels_table(declarations: Iterable[Declaration]) -> str:
    """Return a row for each label; one that differs between families has a row for each of its meanings."""
    users: dict[Label, list[str]] = {}
    for declaration in declarations:
        for label in declaration.labels:
            users.setdefault(label, []).append(declaration.name)
    ambiguous = {label.name for label in users if sum(other.name == label.name for other in users) > 1}
    rows = []
    for label in sorted(users, key=lambda label: label.name):
        where = f" of {code(users[label])}" if label.name in ambiguous and len(users[label]) == 1 else ""
        rows.append((f"`{label.name}`{where}", code(label.values) if label.values else "any", label.meaning))
    return table(("label", "values", "means"), rows)
