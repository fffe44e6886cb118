"""What an alert says beside its labels: what it is, what to do first, and where to look."""

from collections.abc import Mapping
from typing import Final

from alerts.known import RULE_INFO
from alerts.thresholds import Links

_OF_APP: Final = "var-account={{ $labels.account | urlquery }}&var-app_id={{ $labels.app_id | urlquery }}"
DASHBOARDS: Final = {
    "overview": "rtcmpu-overview",
    "app": f"rtcmpu-app?{_OF_APP}",
    "expectations": f"rtcmpu-expectations?{_OF_APP}",
    "rules": "rtcmpu-expectations",
    "account": "rtcmpu-exporter?var-account={{ $labels.account | urlquery }}",
    "collection": f"rtcmpu-exporter?{_OF_APP}",
    "exporter": "rtcmpu-exporter",
}
"""What of Grafana shows an alert's subject: a dashboard's uid with its variables."""

_VIOLATIONS: Final = (
    "/violations?account={{ $labels.account | urlquery }}&app_id={{ $labels.app_id | urlquery }}"
    "&rule={{ $labels.rule | urlquery }}"
)
_RULE_RUNBOOK: Final = (
    f"{{{{ with query (printf \"{RULE_INFO}{{rule=%q,runbook_url!=''}}\" $labels.rule) }}}}"
    '{{ . | first | label "runbook_url" }}{{ end }}'
)


def annotations(
    alert: str, *, links: Links, summary: str, description: str, dashboard: str, of_rule: bool = False
) -> Mapping[str, str]:
    """Return the annotations of an alert.

    Args:
        alert: Its name, which is that of its runbook too.
        links: Where the parts of the installation are.
        summary: The same for all instances of the alert.
        description: With labels and value, and what to do first.
        dashboard: A key of `DASHBOARDS`.
        of_rule: Whether it is about violations of a rule: the exporter's own page lists the tasks, and the rule may
            have a runbook of its own.
    """
    texts = {
        "summary": summary,
        "description": description,
        "runbook_url": f"{links.runbooks}/{alert}.md",
        "dashboard_url": f"{links.grafana}/d/{DASHBOARDS[dashboard]}",
    }
    if of_rule:
        texts |= {"violations_url": links.exporter + _VIOLATIONS, "rule_runbook_url": _RULE_RUNBOOK}
    return texts
