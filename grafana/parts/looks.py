"""Colours that mean something, thresholds and the words for numbers: the same on all dashboards."""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from exporter.core.collection_state import State
from exporter.metrics import labels

FINE: Final = "green"
NOTICE: Final = "blue"
WARNING: Final = "orange"
BAD: Final = "red"
PLAIN: Final = "text"
LOWEST: Final = -1e9  # below all values

GREY: Final = "#8e8e8e"

SEVERITY_COLOURS: Final = {"critical": BAD, "warning": WARNING, "info": NOTICE}
RANKS: Final = {"4": ("no data", PLAIN), "3": ("critical", BAD), "2": ("warning", WARNING), "1": ("info", NOTICE)}
"""What the label `rank` means, by which tables are sorted: the severities, and above them what nobody knows."""

QUOTA_IS_FULL: Final = 0.95
QUOTA_COLOURS: Final = {"orange": 0.8, "red": QUOTA_IS_FULL}
ATTENTION: Final = {
    0: ("fine", FINE),
    1: ("warnings", WARNING),
    2: ("quota full", "dark-orange"),
    3: ("critical", BAD),
    4: ("failing", "dark-orange"),
    5: ("no data", "purple"),
}
"""What is worst about an app, least bad first: `failing` are readings of its list, the data before is published."""

_MEANT: Final = SEVERITY_COLOURS | {
    "ok": FINE,
    "valid": FINE,
    "expiring": WARNING,
    "expired": BAD,
    "error": "light-red",
}
_GREY: Final = {"other": GREY, "unknown": "#b0b0b0", "none": "#6e6e6e", "debug": GREY}
_HUES: Final = (
    *("blue", "purple", "yellow", "dark-orange", "super-light-blue", "dark-purple", "super-light-orange"),
    *("dark-blue", "super-light-purple", "dark-yellow", "light-blue", "light-purple", "super-light-yellow"),
)
_CLOSED: Final = {
    label.name: label.values
    for label in (
        *(labels.TASK_REGION, labels.MIX_MODE, labels.CDN, labels.SCHEME, labels.PUSH_AUTH_STATE),
        *(labels.OUTCOME, labels.PRIORITY, labels.LEVEL),
    )
} | {"change": ("added", "modified", "removed")}
"""Labels of graphs that have few values, with all of them."""

_TRANSIENT: Final = frozenset(
    {
        State.PARTIAL,
        State.LIMIT_EXCEEDED,
        State.THROTTLED,
        State.TIMEOUT,
        State.NETWORK_ERROR,
        State.SERVER_ERROR,
    }
)


def plain() -> build.ThresholdsConfig:
    """Return thresholds for what is neither good nor bad."""
    return _steps(PLAIN, {})


def rising(base: str = FINE, /, **colours_from: float) -> build.ThresholdsConfig:
    """Return thresholds that change colour where a value reaches them, such as `orange=0.8, red=0.95`.

    No value at all has the first step's colour, so that one does not judge.
    """
    return _steps(PLAIN, {base: LOWEST} | colours_from)


def limit(**colours_from: float) -> build.ThresholdsConfig:
    """Return thresholds that a graph draws as lines."""
    return _steps("transparent", colours_from)


def colours(legends: Iterable[str]) -> Mapping[str, str]:
    """Return a colour of its own for each series that legends such as `{{task_region}} {{mix_mode}}` can name.

    Series that are named by a label of any number of values are left to Grafana, which colours them by their place.
    """
    names: list[str] = []
    for legend in legends:
        asked = re.findall(r"{{(\w+)}}", legend)
        if set(asked) <= set(_CLOSED):
            template = re.sub(r"{{\w+}}", "{}", legend)
            names += [template.format(*values) for values in product(*(_CLOSED[label] for label in asked))]
    meant = {name: colour for name in names if (colour := (_MEANT | _GREY).get(name))}
    hues = (hue for hue in _HUES if hue not in meant.values())
    return {name: meant.get(name) or next(hues) for name in names}


def states() -> list[model.ValueMapping]:
    """Return the words and colours for the numbers of `state_code`."""
    return words({state.badness: (state.value, _state_colour(state)) for state in State})


def words(texts: Mapping[int, tuple[str, str]] | Mapping[str, tuple[str, str]]) -> list[model.ValueMapping]:
    """Return a text and a colour for each value."""
    results = {
        str(value): model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(texts.items())
    }
    return [model.ValueMap(options=results)]


def same_word(word: str) -> list[model.ValueMapping]:
    """Return one text for whatever there is, such as for addresses."""
    return [model.RegexMap(options=model.DashboardRegexMapOptions("^.+$", model.ValueMappingResult(text=word)))]


def _state_colour(state: State) -> str:
    if state is State.OK:
        return FINE
    if state is State.PENDING:
        return NOTICE
    return WARNING if state in _TRANSIENT else BAD


def _steps(base: str, colours_from: Mapping[str, float]) -> build.ThresholdsConfig:
    steps = [model.Threshold(value=value, color=colour) for colour, value in colours_from.items()]
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=None, color=base), *steps])
    )
