"""Colours that mean something, thresholds and the words for numbers: the same on all dashboards."""

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from exporter.core.collection_state import State

FINE: Final = "green"
NOTICE: Final = "blue"
WARNING: Final = "orange"
BAD: Final = "red"
PLAIN: Final = "text"
LOWEST: Final = -1e9  # below all values

SEVERITY_COLOURS: Final = {"critical": BAD, "warning": WARNING, "info": NOTICE}
CHANGE_COLOURS: Final = {"added": FINE, "modified": NOTICE, "removed": WARNING}

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


def states() -> list[model.ValueMapping]:
    """Return the words and colours for the numbers of `state_code`."""
    return words({state.badness: (state.value, _state_colour(state)) for state in State})


def words(texts: Mapping[int, tuple[str, str]]) -> list[model.ValueMapping]:
    """Return a text and a colour for each number."""
    results = {
        str(number): model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (number, (text, colour)) in enumerate(texts.items())
    }
    return [model.ValueMap(options=results)]


def names(colours: Mapping[str, str]) -> list[model.ValueMapping]:
    """Return a colour for each of a label's values."""
    results = {
        name: model.ValueMappingResult(text=name, color=colour, index=place)
        for place, (name, colour) in enumerate(colours.items())
    }
    return [model.ValueMap(options=results)]


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
