"""What an operator may choose: when an alert fires, and where its links lead."""

from msgspec import Struct


class Thresholds(Struct, frozen=True, kw_only=True):
    """When alerts fire. Durations are whole seconds; each default is meant for a fleet that nobody knows yet.

    What depends on how often an app is read is no threshold here: the expressions compare ages with the effective
    intervals that the exporter publishes.
    """

    sustained_seconds: int = 300
    """How long something must last before most alerts fire."""
    lasting_seconds: int = 1800
    """How long something must last that hurts only when it stays: throttling, stretched intervals, slow scrapes."""
    keep_firing_seconds: int = 300
    """How long an alert that would flap, or end with a restart of the exporter, goes on firing."""

    restart_seconds: int = 300
    """How long an exporter that restarts may be silent before its apps count as removed."""
    hold_seconds: int = 86400
    """How long an alert about tasks is held while their data is withdrawn or no exporter answers at all."""

    missed_intervals: float = 2.0
    """An app fails once its last success is older than this many effective intervals, and `scrape_slack_seconds`."""
    scrape_slack_seconds: int = 120
    """By how much a time that was scraped may lag behind: more than two scrape intervals."""
    throttled_answers_per_minute: float = 1.0
    """More of them than this are not the odd burst of somebody else."""
    stretch_ratio: float = 1.0
    """Above it, apps are read less often than configured."""
    clock_skew_seconds: float = 120.0
    """The service refuses signatures that are 15 minutes off."""
    credentials_left_seconds: int = 300
    """Temporary credentials are renewed when a quarter of their life is left, at most 15 minutes before the end."""
    scrape_seconds: float = 2.0
    """A scrape takes milliseconds, and Prometheus gives up after 10 seconds."""

    violation_open_seconds: int = 86400
    """How long a violation may stay open before somebody is reminded; not longer than Prometheus keeps its data."""
    quota_warning_ratio: float = 0.9
    quota_critical_ratio: float = 1.0
    drop_ratio: float = 0.5
    """The share of the most tasks within `drop_window_seconds` whose loss is sudden."""
    drop_window_seconds: int = 3600
    drop_least_tasks: int = 10
    """An app that had fewer tasks has no sudden drop."""
    churn_factor: float = 5.0
    """How many times the average of `hold_seconds` counts as unusual."""
    churn_least_per_second: float = 0.2
    """Fewer changes than this are never unusual."""
    exemption_left_seconds: int = 7 * 86400
    idle_rule_seconds: int = 86400
    """How long a rule may match nothing before it looks like a mistake."""


class Links(Struct, frozen=True, kw_only=True):
    """Where the parts of an installation are, as alerts name them. URLs end without a slash."""

    job: str = "rtcmpu"
    """The label `job` of the exporter's targets, as in `deploy/prometheus/scrape.yml`."""
    runbooks: str = "https://github.com/rtcmpu-exporter/rtcmpu-exporter/blob/main/docs/runbooks"
    """Holds a page `<Alert>.md` for each alert."""
    grafana: str = "http://localhost:3000"
    exporter: str = "http://localhost:10678"
