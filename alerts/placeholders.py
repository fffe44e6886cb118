"""The alerts with names in place of what an operator chooses: for the Helm chart, which puts its values there."""

from typing import Any, Final, Self

from alerts.files import alerting_rules
from alerts.thresholds import Links, Thresholds

THRESHOLDS: Final = (
    "missed_intervals",
    "scrape_slack_seconds",
    "throttled_answers_per_minute",
    "stretch_ratio",
    "clock_skew_seconds",
    "credentials_left_seconds",
    "scrape_seconds",
    "quota_warning_ratio",
    "quota_critical_ratio",
    "drop_ratio",
    "drop_least_tasks",
    "churn_factor",
    "churn_least_per_second",
    "exemption_left_seconds",
)
"""Those that stand in the rules as they are. Others are reckoned with and written as durations."""


class _Placeholder(float):
    """A number that is written as a name."""

    _text: str

    def __new__(cls, name: str) -> Self:
        number = super().__new__(cls, "nan")
        number._text = placeholder(name)
        return number

    def __str__(self) -> str:
        return self._text

    def __format__(self, _spec: str) -> str:
        return self._text


def placeholder(name: str) -> str:
    """Return what stands for a threshold or a link: `<quotaWarningRatio>`."""
    return f"<{camel_case(name)}>"


def camel_case(name: str) -> str:
    """Return a name as Helm's values have it: `quotaWarningRatio`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def alerting_rules_to_fill() -> str:
    """Return the file with alerts, where `placeholder(name)` stands for each of `THRESHOLDS` and for each link."""
    numbers: dict[str, Any] = {name: _Placeholder(name) for name in THRESHOLDS}
    links = Links(**{name: placeholder(name) for name in Links.__struct_fields__})
    return alerting_rules(Thresholds(**numbers), links)
