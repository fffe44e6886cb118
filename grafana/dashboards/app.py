"""App: all about the configuration of one app's tasks, how it changes, and what of it is not as expected."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from grafana.dashboards.app_distributions import distributions
from grafana.dashboards.app_encodings import encodings
from grafana.parts import variables
from grafana.parts.layout import Band, Section, finished, numbers, pair
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPECTATIONS, drill_down
from grafana.parts.looks import BAD, CHANGE_COLOURS, FINE, SEVERITY_COLOURS, names, rising, states, words
from grafana.parts.panels import About, bars, graph, note, number, timeline
from grafana.parts.queries import APP, Scope, app_in_words, quota_use, state_code, sweep_age
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.targets import history, now

SCOPE: Final = Scope({"job": "job", "account": "account", "app_id": "app_id", "task_region": "region"})
NOTE: Final = (
    "**Configuration, not stream health.** This is how the app's tasks are configured; whether they run, the service"
    " does not say. Unknown is absent, never 0: a gap is a time without data. [The exporter's own page of this app]"
    "(${exporter_url}/apps/${account:percentencode}/${app_id:percentencode})"
)
PUBLISHED: Final = words({1: ("published", FINE), 0: ("withdrawn", BAD)})
TO_EXPECTATIONS: Final = drill_down("Open Expectations of this rule", EXPECTATIONS, (*APP, "rule"))


def app() -> Dashboard:
    """Return the dashboard."""
    account = Scope({"job": "job"})
    app_id = Scope({"job": "job", "account": "account"})
    region = Scope({"job": "job", "account": "account", "app_id": "app_id"})
    return finished(
        "MPU relay tasks / App",
        APP_DASHBOARD,
        "All about one app: how its tasks are configured, how that changes, and what of it is not as expected. It "
        "shows configuration, not stream health.",
        variables=(
            variables.datasource(),
            variables.several("job", "Job", "rtcmpu_exporter_build_info", Scope({})),
            variables.one("account", "Account", "rtcmpu_up", account),
            variables.one("app_id", "App", "rtcmpu_up", app_id),
            variables.several("region", "Region", "rtcmpu_tasks", region, of_label="task_region"),
            variables.exporter_url(),
        ),
        scope=SCOPE,
        top=(Band(2, (note(1, NOTE),)), numbers(*_numbers()), Band(4, (_collection(),))),
        sections=(
            Section(20, "Tasks and what is expected of them", (pair(*_tasks()), pair(*_violations()))),
            Section(30, "Changes", (pair(*_changes()),)),
            Section(40, "Outputs", (pair(*_outputs()), pair(*_push_keys()), Band(8, (_push_hosts(),)))),
            Section(50, "Encodings", encodings(SCOPE)),
            *distributions(SCOPE),
            Section(80, "Odd values", (pair(*_odd_values()),), is_collapsed=True),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    def quota(id_: int, title: str, mode: str) -> Panel:
        return number(
            About(
                id_, title, "Share of the app's quota that is used, over all regions. Orange from 80 %, red from 95 %."
            ),
            now(quota_use(SCOPE, f'mix_mode="{mode}"')),
            unit="percentunit",
            decimals=0,
            thresholds=rising(orange=0.8, red=0.95),
            no_value="No quota",
        )

    return (
        number(
            About(2, "App", "What the configuration calls the app, or its id, and who answers for it."),
            now(app_in_words(SCOPE), "{{shown}}{{owner}}"),
            shows_name=True,
            no_value="Not configured",
        ),
        number(
            About(
                3,
                "State",
                "How the last reading of the app's list went; of the last update and the last sweep the worse. The "
                "Exporter dashboard says more.",
            ),
            now(state_code(SCOPE)),
            mappings=states(),
            no_value="Not configured",
        ),
        number(
            About(
                4,
                "Age of data",
                "Since the last accepted sweep began. What changed since is brought in by updates. When it reaches "
                "the age in the configuration, all data about tasks is withdrawn.",
            ),
            now(sweep_age(SCOPE)),
            unit="s",
            decimals=0,
            no_value="No sweep yet",
        ),
        number(
            About(5, "Tasks", "Listed tasks in the chosen regions. A listed task is a configured one."),
            now(SCOPE.total("rtcmpu_tasks")),
        ),
        quota(6, "Single quota", "single"),
        quota(7, "Mixed quota", "mixed"),
        number(
            About(
                8,
                "Configured egress",
                "Video and audio bitrate of mixed tasks, once for each output: what they would send if all ran as "
                "configured.",
            ),
            now(f"8 * {SCOPE.total('rtcmpu_task_configured_egress_bytes_per_second')}"),
            unit="bps",
            decimals=1,
        ),
        number(
            About(9, "Violations", "Tasks that violate a rule of severity warning or critical; once for each rule."),
            now(SCOPE.total("rtcmpu_policy_violations", 'severity!="info"')),
            thresholds=rising(orange=1),
        ),
    )


def _collection() -> Panel:
    return timeline(
        About(
            10,
            "Collection and data",
            "Whether the app's list could be read, and whether its tasks are published. Orange passes by itself as a "
            "rule, red needs someone. While the data is withdrawn everything below has a gap.",
        ),
        (
            history(state_code(SCOPE), "Collection"),
            history(SCOPE.each("rtcmpu_collection_data_available"), "Data", ref="B"),
        ),
        states(),
        mappings_of={"Data": PUBLISHED},
    )


def _tasks() -> tuple[Panel, Panel]:
    by = ("task_region", "mix_mode")
    return (
        graph(
            About(21, "Tasks by region and mode", "Listed tasks, stacked. A listed task is a configured one."),
            [history(SCOPE.total("rtcmpu_tasks", by=by), "{{task_region}} {{mix_mode}}")],
            stacked=True,
        ),
        graph(
            About(
                22,
                "Tasks and quotas",
                "Listed tasks of each mode over all regions, and the configured quota (dashed). Near it new tasks "
                "will be refused.",
            ),
            (
                history(SCOPE.without("task_region").total("rtcmpu_tasks", by=("mix_mode",)), "{{mix_mode}}"),
                history(SCOPE.each("rtcmpu_task_quota"), "quota {{mix_mode}}", ref="B"),
            ),
            dashed="quota .*",
        ),
    )


def _violations() -> tuple[Panel, Panel]:
    by = ("rule", "severity")
    oldest = SCOPE.each("rtcmpu_policy_oldest_violation_timestamp_seconds")
    return (
        graph(
            About(
                23,
                "Violations by rule",
                "Tasks that violate each rule, stacked. A gap means that the data was withdrawn, not that all is well.",
            ),
            [history(f"{SCOPE.total('rtcmpu_policy_violations', by=by)} > 0", "{{rule}}")],
            stacked=True,
            no_value="Nothing is violated, or no data",
        ),
        rows_and_columns(
            About(
                24,
                "Violations now",
                "Rules that tasks of this app violate now: how many tasks, and since when the oldest is seen. Click a "
                "rule for examples.",
            ),
            (
                Labelled(title="Severity", label="severity", mappings=names(SEVERITY_COLOURS), width=90),
                Labelled(title="Rule", label="rule", links=(TO_EXPECTATIONS,)),
                Labelled(title="Account", label="account", width=110),
                Labelled(title="App", label="app_id", width=140),
                Queried(title="Tasks", query=f"{SCOPE.each('rtcmpu_policy_violations')} > 0", width=80),
                Queried(title="Open for", query=f"time() - {oldest}", unit="s", decimals=0, width=110),
            ),
            sorted_by="Tasks",
            no_value="Nothing is violated, or no data",
        ),
    )


def _changes() -> tuple[Panel, Panel]:
    changes = SCOPE.rate("rtcmpu_task_changes_total", by=("change",))
    fields = SCOPE.rate("rtcmpu_task_field_changes_total", by=("field",))
    return (
        graph(
            About(
                31,
                "Changes per minute",
                "Tasks that came, went, or are configured otherwise, as noticed. A task that changes twice between "
                "two updates counts once.",
            ),
            [history(f"60 * {changes}", "{{change}}")],
            colours=CHANGE_COLOURS,
        ),
        graph(
            About(
                32,
                "Changes by field per minute",
                "Which parts of the configuration changed; a changed task counts for each of them.",
            ),
            [history(f"60 * {fields} > 0", "{{field}}")],
            stacked=True,
            no_value="Nothing changed",
        ),
    )


def _outputs() -> tuple[Panel, Panel]:
    outputs = SCOPE.total("rtcmpu_task_outputs", by=("cdn", "scheme"))
    egress = SCOPE.total("rtcmpu_task_configured_egress_bytes_per_second", by=("task_region", "cdn"))
    return (
        graph(
            About(
                41,
                "Outputs by CDN and scheme",
                "URLs that tasks push to, stacked. `unknown`: the task does not say whether the CDN is Alibaba's. A "
                "scheme or CDN that nobody expects here is worth a look.",
            ),
            [history(f"{outputs} > 0", "{{cdn}} {{scheme}}")],
            stacked=True,
        ),
        graph(
            About(
                42,
                "Configured egress by region and CDN",
                "Configured bitrate of mixed tasks, once for each output, stacked. No traffic is measured.",
            ),
            [history(f"8 * {egress} > 0", "{{task_region}} {{cdn}}")],
            unit="bps",
            stacked=True,
        ),
    )


def _push_keys() -> tuple[Panel, Panel]:
    keys = SCOPE.total("rtcmpu_task_outputs_by_push_auth", by=("signer", "state"))
    next_expiry = f"min by (signer) ({SCOPE.each('rtcmpu_push_auth_next_expiry_timestamp_seconds')})"
    return (
        graph(
            About(
                43,
                "Push keys by signer and state",
                "URLs that tasks push to, stacked. Keys are checked when a push starts: a task whose key has expired "
                "goes on, and cannot reconnect.",
            ),
            [history(f"{keys} > 0", "{{signer}} {{state}}")],
            stacked=True,
        ),
        graph(
            About(44, "Next expiry of a push key", "Time until the earliest expiry of a push key that is not past."),
            [history(f"{next_expiry} - time()", "{{signer}}")],
            unit="s",
            no_value="No expiry is known",
        ),
    )


def _push_hosts() -> Panel:
    hosts = SCOPE.total("rtcmpu_task_outputs_by_host", by=("host",))
    return bars(
        About(45, "Largest push hosts", "URLs that tasks push to, by host. Ingest domains have limits of streams."),
        now(f"sort_desc({hosts} > 0)", "{{host}}"),
        no_value="No outputs, or no data",
    )


def _odd_values() -> tuple[Panel, Panel]:
    def odd(id_: int, title: str, description: str, sample: str, no_value: str) -> Panel:
        query = f"sort_desc({SCOPE.total(sample, by=('field',))} > 0)"
        return bars(About(id_, title, description), now(query, "{{field}}"), no_value=no_value)

    return (
        odd(
            81,
            "Values that can't be read",
            "Values by their field, such as a bitrate that is no number. They count nowhere else.",
            "rtcmpu_task_field_errors",
            "All values can be read, or no data",
        ),
        odd(
            82,
            "Values outside the documented sets",
            "Values by their field. In the other panels they are `other`.",
            "rtcmpu_task_unknown_values",
            "All values are known, or no data",
        ),
    )
