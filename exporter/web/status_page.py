"""The status page: one table of all apps, worst first. Pure: from what is known to HTML.

Everything that is not a literal of this file goes through `_text`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise

from exporter.collect.status import Status
from exporter.task import MIX_MODES, MIXED, SINGLE
from exporter.web.view import AppView

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/static/style.css">
</head>
<body>
<header>
<div>
<h1>rtcmpu-exporter</h1>
<p>Relay (MPU) tasks of ApsaraVideo Live, as they are configured</p>
</div>
<nav aria-label="Other paths">{links}</nav>
</header>
<main>
<ul class="figures">{figures}</ul>
{apps}
<p class="note">The service lists how tasks are configured, not how streams are doing: a task that is counted
here may have no viewer, no source or no picture.</p>
</main>
<footer>Version {version}, shown as of {now}</footer>
</body>
</html>
"""

_TABLE = """\
<div class="scroll">
<table>
<thead><tr>
<th scope="col">App</th><th scope="col">State</th><th scope="col">Single-stream tasks</th>\
<th scope="col">Mixed tasks</th><th scope="col">Last update</th><th scope="col">Last sweep</th>\
<th scope="col">Interval</th>
</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""

_ROW = """\
<tr>
<th scope="row"><b>{app_id}</b>{name}<small>{account}{owner}</small></th>
<td data-label="State"><div>{state}</div></td>
<td data-label="Single-stream"><div>{single}</div></td>
<td data-label="Mixed"><div>{mixed}</div></td>
<td data-label="Last update"><div>{update}</div></td>
<td data-label="Last sweep"><div>{sweep}</div></td>
<td data-label="Interval"><div>{interval}</div></td>
</tr>"""

_NOTHING = '<span class="unknown" title="not known">&ndash;</span>'
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def status_page(apps: Sequence[AppView], *, now: float, version: str, telemetry_path: str) -> str:
    """Return the page as HTML.

    Args:
        apps: All configured apps.
        now: Wall-clock seconds, from which ages are counted.
        version: The exporter's.
        telemetry_path: Where the metrics are.
    """
    up = sum(app.status.up for app in apps)
    worst_first = sorted(apps, key=lambda app: (app.status.up, -app.status.state.badness))
    rows = "\n".join(_row(app, now) for app in worst_first)
    return _PAGE.format(
        title=f"{up} of {len(apps)} apps up - rtcmpu-exporter",
        links=_links(telemetry_path),
        figures=_figures(apps, up),
        apps=_TABLE.format(rows=rows) if apps else '<p class="empty">No app is configured.</p>',
        version=_text(version),
        now=_time(now, datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
    )


def spoken_duration(seconds: float) -> str:
    """Say a duration in its two largest units: `250 ms`, `12 s`, `3 min 5 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    (unit, size), (smaller, smaller_size) = next(pair for pair in pairwise(_UNITS) if seconds >= pair[0][1])
    rest = int(seconds % size // smaller_size)
    return f"{int(seconds // size)} {unit}" + (f" {rest} {smaller}" if rest else "")


def _figures(apps: Sequence[AppView], up: int) -> str:
    """Say how much of the fleet the page can speak for."""
    known = [sum(app.tasks.values()) for app in apps if app.tasks is not None]
    figures = [(f"{up} of {len(apps)}", "apps up", up < len(apps))]
    if known:
        figures.append((f"{sum(known):,}", f"tasks in {len(known)} of {len(apps)} apps", len(known) < len(apps)))
    return "".join(
        f'<li class="{"warn" if worrying else "fine"}"><b>{figure}</b> {meaning}</li>'
        for figure, meaning, worrying in figures
    )


def _links(telemetry_path: str) -> str:
    """Link to what else can be asked for."""
    paths = {
        "Metrics": telemetry_path,
        "Configuration": "/config",
        "Apps as JSON": "/api/v1/apps",
        "Changes": "/api/v1/changes",
        "Ready": "/-/ready",
        "Healthy": "/-/healthy",
    }
    return "".join(f'<a href="{_text(path)}">{name}</a>' for name, path in paths.items())


def _row(app: AppView, now: float) -> str:
    """Show one app."""
    status = app.status
    return _ROW.format(
        app_id=_foreign(status.app_id),
        name=f" {_foreign(status.name)}" if status.name else "",
        account=_foreign(status.account),
        owner=f", {_foreign(status.owner)}" if status.owner else "",
        state=_state(status, has_tasks=app.tasks is not None),
        single=_tasks(app.tasks, SINGLE, status.quota_single),
        mixed=_tasks(app.tasks, MIXED, status.quota_mixed) + _tasks_of_other_modes(app.tasks),
        update=_age(status.last_update_began, now),
        sweep=_age(status.last_sweep_began, now),
        interval=_interval(status),
    )


def _state(status: Status, *, has_tasks: bool) -> str:
    """Say the state, why, and whether its tasks are still shown."""
    kind = "good" if status.up else "waiting" if status.last_attempt_began is None else "bad"
    badge = f'<span class="state {kind}">{status.state.replace("_", " ")}</span>'
    reason = _reason(_foreign(status.reason)) if status.reason else ""
    if status.last_sweep_began is not None and not has_tasks:
        reason += _reason(f"Tasks withdrawn: older than {spoken_duration(status.stale_after_seconds)}.")
    return badge + reason


def _reason(html: str) -> str:
    """Set an explanation below the state."""
    return f'<span class="reason">{html}</span>'


def _tasks(tasks: Mapping[tuple[str, str], int] | None, mode: str, quota: int | None) -> str:
    """Show a number of tasks against its quota."""
    if tasks is None:
        return _NOTHING
    count = sum(number for (_, one), number in tasks.items() if one == mode)
    if quota is None:
        return f"<b>{count:,}</b>"
    return f"<b>{count:,}</b> of {quota:,}{_meter(count, quota)}"


def _meter(count: int, quota: int) -> str:
    """Draw how much of a quota is used; from 80 % on it turns yellow, from 95 % on red."""
    if not quota:
        return ""
    limits = f'max="{quota}" low="{quota * 0.8:g}" high="{quota * 0.95:g}" optimum="0"'
    return f'<meter min="0" {limits} value="{count}" aria-label="{count} of {quota}"></meter>'


def _tasks_of_other_modes(tasks: Mapping[tuple[str, str], int] | None) -> str:
    """Mention tasks of a mode that is not known here, which count against no quota."""
    count = sum(number for (_, mode), number in (tasks or {}).items() if mode not in MIX_MODES)
    return f"<small>and {count:,} of another mode</small>" if count else ""


def _age(began: float | None, now: float) -> str:
    """Say how long ago something began."""
    if began is None:
        return _NOTHING
    seconds = int(now - began)
    return _time(began, f"{spoken_duration(seconds)} ago" if seconds > 0 else "now")


def _interval(status: Status) -> str:
    """Say the effective intervals, and when they are not the configured ones."""
    ratio = status.interval_stretch_ratio
    stretched = f"<small>stretched {ratio:.2g} times</small>" if ratio > 1 else ""
    sweep = f"<small>sweep {spoken_duration(status.sweep_interval_seconds)}</small>"
    return spoken_duration(status.interval_seconds) + sweep + stretched


def _time(timestamp: float, shown: str) -> str:
    """Show a point in time that a machine can read too."""
    exact = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f'<time datetime="{exact}" title="{exact}">{shown}</time>'


def _foreign(text: str) -> str:
    """Show text of others, whose writing direction ends with it."""
    return f"<bdi>{_text(text)}</bdi>"


def _text(text: str) -> str:
    """Escape for text and for attributes in double quotes."""
    return escape(text, quote=True)
