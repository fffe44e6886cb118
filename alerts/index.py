"""The index of the runbooks, made from the alerts."""

from alerts.collection_alerts import collection_alerts
from alerts.configuration_alerts import configuration_alerts
from alerts.rule_alerts import rule_alerts
from alerts.rules import Alert
from alerts.thresholds import Links, Thresholds

_INTRODUCTION = """\
# Runbooks

<!-- Made from the alerts in alerts/ by `make generate`: edit those. -->

A page for each alert of [rtcmpu.alerts.yml](../../deploy/prometheus/rtcmpu.alerts.yml): what it means, what it does to
whom, how to find the cause, and what to do. Queries go to Prometheus; the addresses in commands are the defaults.

Alerts about tasks hold their last state while the exporter can't know better: while an app's data is withdrawn, and
while the exporter restarts or does not answer. What holds is recorded under names that end in `:held`. Which apps
that concerns at the moment:

```promql
app:rtcmpu_collection_data_available:withheld
```
"""


def runbook_index() -> str:
    """Return the index as Markdown."""
    arguments = Thresholds(), Links()
    sections = {
        "Collection": collection_alerts(*arguments),
        "Tasks": configuration_alerts(*arguments),
        "Rules": rule_alerts(*arguments),
    }
    parts = [_INTRODUCTION]
    for title, alerts in sections.items():
        rows = ["| alert | severity | means |", "| --- | --- | --- |"]
        names = dict.fromkeys(alert.name for alert in alerts)
        rows += [_row(name, [alert for alert in alerts if alert.name == name]) for name in names]
        parts.append(f"## {title}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(name: str, alerts: list[Alert]) -> str:
    severities = ", ".join("the rule's" if "{{" in alert.severity else alert.severity for alert in alerts)
    return f"| [{name}]({name}.md) | {severities} | {alerts[0].annotations['summary']} |"
