"""The families about the exporter itself and its rules, as declarations; `self_metrics.py` holds their values."""

from typing import Any, Final

from exporter.metrics import labels
from exporter.metrics.family import Declaration, Kind, Label


def _about_exporter(name: str, kind: Kind, help_text: str, labels: tuple[Label, ...] = (), **more: Any) -> Declaration:
    """Return a declaration under the exporter's own prefix."""
    return Declaration(name=f"rtcmpu_exporter_{name}", kind=kind, help=help_text, labels=labels, **more)


RULE_INFO: Final = Declaration(
    name="rtcmpu_policy_rule_info",
    kind="info",
    help="An active rule; always 1.",
    labels=(
        labels.RULE,
        labels.SEVERITY,
        Label("title", meaning="The rule's title."),
        Label("rule_owner", meaning="The rule's owner; may be empty."),
        Label("runbook_url", meaning="The rule's runbook; may be empty."),
    ),
    note="One series per rule: default rules, rules of rule files, rules of `expect`. Join by `rule`. When a reload "
    "removes the rule, the series and the alerts about it end.",
)
EXEMPTION_EXPIRY: Final = Declaration(
    name="rtcmpu_policy_exemption_expiry_timestamp_seconds",
    kind="gauge",
    help="Unix time at which an exemption from a rule ends.",
    labels=(labels.RULE, Label("exemption", meaning="The exemption's name.")),
    note="This is 24:00 UTC of the day `until`, also when it has passed. Absent for exemptions without an end.",
)

BUILD_INFO: Final = _about_exporter(
    "build_info",
    "info",
    "Version and Git commit of the exporter; always 1.",
    (
        Label("version", meaning="The exporter's version."),
        Label("revision", meaning="The Git commit of a wheel or image; `unknown` without a release build."),
        Label("python_version", meaning="Python's version."),
    ),
)
CONFIG_INFO: Final = _about_exporter(
    "config_info", "info", "Active configuration; always 1.", (Label("sha256", meaning="Digest of the configuration."),)
)
CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _about_exporter(
    "config_last_reload_successful",
    "gauge",
    "1 if the last load of the configuration succeeded, else 0.",
    note="While it is 0, the previous configuration stays active.",
)
CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP: Final = _about_exporter(
    "config_last_reload_success_timestamp_seconds",
    "gauge",
    "Unix time at which the configuration was last loaded successfully.",
)
CONFIG_UNMATCHED_PATTERNS: Final = _about_exporter(
    "config_unmatched_patterns",
    "gauge",
    "Patterns of app_files and rule_files in the active configuration that match no file.",
)
WEB_CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _about_exporter(
    "web_config_last_reload_successful",
    "gauge",
    "1 if the last load of the web configuration succeeded, else 0; absent without one.",
    note="While it is 0, the previous web configuration stays active.",
)
API_REQUESTS: Final = _about_exporter(
    "api_requests_total",
    "counter",
    "Requests sent to the API since the start, by outcome; every retry counts.",
    (labels.ACCOUNT, labels.OUTCOME),
)
API_RETRIES: Final = _about_exporter(
    "api_retries_total",
    "counter",
    "Requests retried since the start, by the outcome of the previous attempt.",
    (labels.ACCOUNT, labels.RETRY_REASON),
)
API_THROTTLED: Final = _about_exporter(
    "api_throttled_total", "counter", "API responses that signalled throttling, since the start.", (labels.ACCOUNT,)
)
API_REQUEST_DURATION: Final = _about_exporter(
    "api_request_duration_seconds",
    "histogram",
    "Duration of API requests, from sending to the end of the response or the failure.",
    (labels.ACCOUNT,),
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
RATE_LIMIT_WAIT: Final = _about_exporter(
    "rate_limit_wait_seconds",
    "histogram",
    "Time that API requests waited for the rate limiter.",
    (labels.ACCOUNT, labels.PRIORITY),
    buckets=(0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
RATE_LIMIT_REQUESTS_PER_SECOND: Final = _about_exporter(
    "rate_limit_requests_per_second",
    "gauge",
    "Effective request budget: the configured one, or less after throttling.",
    (labels.ACCOUNT,),
)
SWEEPS_SKIPPED: Final = _about_exporter(
    "sweeps_skipped_total",
    "counter",
    "Sweeps that were due and did not start, since the start.",
    (labels.ACCOUNT, labels.APP_ID, labels.SKIP_REASON),
)
CLOCK_SKEW: Final = _about_exporter(
    "clock_skew_seconds",
    "gauge",
    "The API's clock minus this machine's, at the last response.",
    (labels.ACCOUNT,),
    note="Absent before the first response.",
)
CREDENTIALS_INFO: Final = _about_exporter(
    "credentials_info",
    "info",
    "Source of the access key in use; always 1.",
    (labels.ACCOUNT, labels.CREDENTIALS_SOURCE),
    note="Absent while there is no key.",
)
CREDENTIALS_EXPIRY: Final = _about_exporter(
    "credentials_expiry_timestamp_seconds",
    "gauge",
    "Unix time at which the temporary credentials in use expire.",
    (labels.ACCOUNT,),
    note="Absent for credentials that do not expire. They are renewed in advance.",
)
RENDER_DURATION: Final = _about_exporter(
    "render_duration_seconds",
    "gauge",
    "Duration of the last rendering of changed families, in seconds.",
    (labels.PATH,),
)
SERIES: Final = _about_exporter(
    "series", "gauge", "Published series about apps, without those about the exporter.", (labels.PATH,)
)
SERIES_OMITTED: Final = _about_exporter(
    "series_omitted", "gauge", "Series left out because a configured limit is reached.", (labels.PATH,)
)
EVENT_LOOP_LAG: Final = _about_exporter(
    "event_loop_lag_seconds", "gauge", "Longest event loop delay within the last 60 seconds, in seconds."
)
STORAGE_UP: Final = _about_exporter(
    "storage_up",
    "gauge",
    "1 if the database could be used at the last attempt, else 0; absent without `storage`.",
    note="While it is 0, collection goes on and what is new waits in memory.",
)
STORAGE_WRITE_LAG: Final = _about_exporter(
    "storage_write_lag_seconds", "gauge", "Age of the oldest reading that is not in the database yet, in seconds."
)
STORAGE_SIZE: Final = _about_exporter(
    "storage_size_bytes", "gauge", "Size of the database on its disk, indexes and write-ahead log included, in bytes."
)
STORAGE_CHANGES_LOST: Final = _about_exporter(
    "storage_changes_lost_total",
    "counter",
    "Changes of tasks that were not written to the database because too many waited for it, since the start.",
)
LEASE_HELD: Final = _about_exporter(
    "lease_held",
    "gauge",
    "1 if this exporter holds the lease of the account's request budget, else 0; absent without `sharing`.",
    (labels.ACCOUNT,),
    note="An app's series come from the holder. Without database the last holder continues at the fallback rate.",
)
LEASE_TAKEOVERS: Final = _about_exporter(
    "lease_takeovers_total",
    "counter",
    "How often this exporter took the lease of the account's request budget, since the start.",
    (labels.ACCOUNT,),
)
LEASE_UNHELD: Final = _about_exporter(
    "lease_unheld_seconds",
    "gauge",
    "Time since any exporter held the lease of the account's request budget, as far as this one knows, in seconds.",
    (labels.ACCOUNT,),
)
INTERNAL_ERRORS: Final = _about_exporter(
    "internal_errors_total",
    "counter",
    "Unexpected exceptions in the exporter since the start; each is a bug.",
    (labels.PART,),
    note="The log has a traceback of the first one in each place. The state of an affected app is `internal_error`.",
)
HTTP_REQUESTS: Final = _about_exporter(
    "http_requests_total",
    "counter",
    "HTTP requests answered since the start.",
    (labels.PATH, Label("code", meaning="The HTTP status.")),
)
LOG_MESSAGES: Final = _about_exporter(
    "log_messages_total", "counter", "Log messages written since the start.", (labels.LEVEL,)
)

RULE_FAMILIES: Final = (RULE_INFO, EXEMPTION_EXPIRY)  # in the order of the exposition
EXPORTER_FAMILIES: Final = tuple(
    value for value in tuple(vars().values()) if isinstance(value, Declaration) and value not in RULE_FAMILIES
)
"""In the order of the exposition, which is that of this file."""
