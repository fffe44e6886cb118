"""The files that Prometheus reads."""

from collections.abc import Mapping, Sequence

from alerts.collection_alerts import collection_alerts
from alerts.configuration_alerts import configuration_alerts
from alerts.known import known_records
from alerts.rule_alerts import rule_alerts
from alerts.rules import Group, Rule, rule_file
from alerts.sums import sums
from alerts.thresholds import Links, Thresholds

_MADE = "Made from alerts/ by `make generate`: edit that."


def rule_files(thresholds: Thresholds | None = None, links: Links | None = None) -> Mapping[str, str]:
    """Return the text of each file by its name; each works without the other."""
    return {"rtcmpu.rules.yml": recording_rules(), "rtcmpu.alerts.yml": alerting_rules(thresholds, links)}


def recording_rules() -> str:
    """Return the file with sums for dashboards and people."""
    comment = f"""
Recording rules of rtcmpu-exporter: sums that dashboards and people ask for often. {_MADE}
Sums over several apps are sums over those that have data: fleet:rtcmpu_collection_data_available:sum of :count.
"""
    return rule_file(comment, [Group("rtcmpu-sums", sums())])


def alerting_rules(thresholds: Thresholds | None = None, links: Links | None = None) -> str:
    """Return the file with alerts, and with what they need recorded."""
    thresholds, links = thresholds or Thresholds(), links or Links()
    comment = f"""
Alerts of rtcmpu-exporter. {_MADE}
Load it with `rule_files: [rtcmpu.alerts.yml]` in prometheus.yml; Prometheus 2.42 or newer.
Records that end in `:held` go on with their last value while the exporter withholds an app's data or restarts.
"""
    about_tasks: Sequence[Rule] = (
        *known_records(thresholds, links),
        *configuration_alerts(thresholds, links),
        *rule_alerts(thresholds, links),
    )
    groups = [Group("rtcmpu-collection", collection_alerts(thresholds, links)), Group("rtcmpu-tasks", about_tasks)]
    return rule_file(comment, groups)
