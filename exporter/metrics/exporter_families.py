"""The families about the exporter itself, as declarations; `self_metrics.py` holds their values."""

from typing import Final

from exporter.metrics.family import Declaration, Kind, Label
from exporter.metrics.labels import (
    ACCOUNT,
    APP_ID,
    CREDENTIALS_SOURCE,
    LEVEL,
    OUTCOME,
    PART,
    PATH,
    PRIORITY,
    RETRY_REASON,
    SKIP_REASON,
)


def _about_exporter(
    name: str, kind: Kind, help_text: str, labels: tuple[Label, ...] = (), note: str = ""
) -> Declaration:
    """Return a declaration under the exporter's own prefix."""
    return Declaration(name=f"rtcmpu_exporter_{name}", kind=kind, help=help_text, labels=labels, note=note)


BUILD_INFO: Final = _about_exporter(
    "build_info",
    "info",
    "The version that runs.",
    (Label("version", meaning="The exporter's version."), Label("python_version", meaning="Python's version.")),
)
CONFIG_INFO: Final = _about_exporter(
    "config_info",
    "info",
    "The configuration that is in force.",
    (Label("sha256", meaning="Digest of the configuration."),),
)
CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _about_exporter(
    "config_last_reload_successful",
    "gauge",
    "1 if the last attempt to load the configuration succeeded.",
    note="While it is 0, the configuration before stays in force.",
)
CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP: Final = _about_exporter(
    "config_last_reload_success_timestamp_seconds",
    "gauge",
    "When the configuration was last loaded successfully.",
)
WEB_CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _about_exporter(
    "web_config_last_reload_successful",
    "gauge",
    "1 if the last attempt to load the web configuration succeeded; absent without one.",
    note="While it is 0, the web configuration before stays in force.",
)
API_REQUESTS: Final = _about_exporter(
    "api_requests_total",
    "counter",
    "Requests sent to the API by how they ended, each attempt of a retried one counted.",
    (ACCOUNT, OUTCOME),
)
API_RETRIES: Final = _about_exporter(
    "api_retries_total",
    "counter",
    "Requests sent again, by how the attempt before ended.",
    (ACCOUNT, RETRY_REASON),
)
API_THROTTLED: Final = _about_exporter(
    "api_throttled_total", "counter", "Answers by which the API asked for fewer requests.", (ACCOUNT,)
)
API_REQUEST_DURATION: Final = _about_exporter(
    "api_request_duration_seconds",
    "histogram",
    "Time from sending a request to the end of its answer or failure.",
    (ACCOUNT,),
)
RATE_LIMIT_WAIT: Final = _about_exporter(
    "rate_limit_wait_seconds",
    "histogram",
    "Time that requests waited for their turn within the request budget.",
    (ACCOUNT, PRIORITY),
)
RATE_LIMIT_REQUESTS_PER_SECOND: Final = _about_exporter(
    "rate_limit_requests_per_second",
    "gauge",
    "The request budget in force: as configured, or less after throttling.",
    (ACCOUNT,),
)
SWEEPS_SKIPPED: Final = _about_exporter(
    "sweeps_skipped_total", "counter", "Sweeps that were due and did not start.", (ACCOUNT, APP_ID, SKIP_REASON)
)
CLOCK_SKEW: Final = _about_exporter(
    "clock_skew_seconds",
    "gauge",
    "The API's clock minus this machine's, as last measured.",
    (ACCOUNT,),
    note="Absent until it is measured.",
)
CREDENTIALS_INFO: Final = _about_exporter(
    "credentials_info",
    "info",
    "Where the access key in use comes from.",
    (ACCOUNT, CREDENTIALS_SOURCE),
    note="Absent until there is one.",
)
CREDENTIALS_EXPIRY: Final = _about_exporter(
    "credentials_expiry_timestamp_seconds",
    "gauge",
    "When the temporary credentials in use expire.",
    (ACCOUNT,),
    note="Absent for credentials that do not expire. They are renewed before.",
)
RENDER_DURATION: Final = _about_exporter(
    "render_duration_seconds", "gauge", "Seconds that the last rendering of changed families took.", (PATH,)
)
SERIES: Final = _about_exporter(
    "series", "gauge", "Series about apps that are published, those about the exporter not counted.", (PATH,)
)
SERIES_OMITTED: Final = _about_exporter(
    "series_omitted", "gauge", "Series that are not published because a configured limit is reached.", (PATH,)
)
EVENT_LOOP_LAG: Final = _about_exporter(
    "event_loop_lag_seconds", "gauge", "Longest delay of the event loop in the last 60 seconds, in seconds."
)
INTERNAL_ERRORS: Final = _about_exporter(
    "internal_errors_total",
    "counter",
    "Exceptions inside the exporter that nothing expected; each is a bug.",
    (PART,),
    note="The log has a traceback of the first one in each place. An app that it concerns is `internal_error`.",
)
HTTP_REQUESTS: Final = _about_exporter(
    "http_requests_total",
    "counter",
    "HTTP requests that were answered.",
    (PATH, Label("code", meaning="The HTTP status.")),
)
LOG_MESSAGES: Final = _about_exporter("log_messages_total", "counter", "Log messages that were shown.", (LEVEL,))

EXPORTER_FAMILIES: Final = (
    BUILD_INFO,
    CONFIG_INFO,
    CONFIG_LAST_RELOAD_SUCCESSFUL,
    CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP,
    WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
    API_REQUESTS,
    API_RETRIES,
    API_THROTTLED,
    API_REQUEST_DURATION,
    RATE_LIMIT_WAIT,
    RATE_LIMIT_REQUESTS_PER_SECOND,
    SWEEPS_SKIPPED,
    CLOCK_SKEW,
    CREDENTIALS_INFO,
    CREDENTIALS_EXPIRY,
    RENDER_DURATION,
    SERIES,
    SERIES_OMITTED,
    EVENT_LOOP_LAG,
    INTERNAL_ERRORS,
    HTTP_REQUESTS,
    LOG_MESSAGES,
)
"""In the order of the exposition."""
