"""App: how the tasks of one app are configured, what changes, and which rules they violate."""

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from grafana.parts.alerts import needs_attention
from grafana.parts.layout import Band, Section, finished, graphs
from grafana.parts.links import APP as APP_DASHBOARD
from grafana.parts.links import EXPECTATIONS, EXPORTER, OVERVIEW, TO_TASK, sibling
from grafana.parts.looks import ATTENTION, BAD, FINE, QUOTA_COLOURS, rising, states, words
from grafana.parts.panels import bars, distribution, graph, note, number, timeline
from grafana.parts.queries import Scope, above_zero, attention, or_nothing, quota_use, state_code, sweep_age
from grafana.parts.shared import (
    app_columns,
    bars_by,
    by_region_and_mode,
    by_resolution,
    by_tier,
    changes,
    listed_tasks,
    open_violations,
)
from grafana.parts.tables import Labelled, Queried, rows_and_columns
from grafana.parts.variables import search, variables

SCOPE: Final = Scope({"job": "job", "account": "account", "app_id": "app_id", "task_region": "region"})
TASKS: Final = Scope({"account": "account", "app_id": "app_id", "task_region": "region"})
"""Series about single tasks are scraped by a job of their own."""
SEARCHED: Final = 'task_id=~".*$task.*"'
NOTE: Final = (
    "**Configuration, not stream health.** This is how the app's tasks are configured; whether they run, the service"
    " does not say. Unknown is absent, never 0: a gap is a time without data. [The exporter's own pages]"
    "(${exporter_url}/) list the apps and their tasks."
)
HOW_TO_READ: Final = (
    "Each column is a moment, each cell the tasks whose value lies between the bounds at its left; the stronger its "
    "colour, the more. A band that moves is a configuration that was rolled out."
)


def app() -> Dashboard:
    """Return the dashboard."""
    return finished(
        "MPU relay tasks / App",
        APP_DASHBOARD,
        "All about one app: how its tasks are configured, how that changes, and which rules they violate. It shows "
        "configuration, not stream health.",
        variables=variables(
            SCOPE,
            search("task", "Task", "Part of the TaskIds that are listed at the bottom."),
            one_of=("account", "app_id"),
        ),
        scope=SCOPE,
        top=(
            Band(2, (note(1, NOTE),)),
            Band(4, _numbers()),
            Band(6, (needs_attention(11, SCOPE),)),
            Band(7, (open_violations(24, SCOPE),)),
            Band(4, (_collection(),)),
        ),
        sections=(
            Section(20, "How many tasks are configured, how near is the quota, and what changed?", _tasks()),
            Section(40, "Where do tasks push to, and how long are their keys valid?", _outputs()),
            Section(50, "How are tasks encoded?", (_encodings(),)),
            Section(60, "How are configured numbers distributed?", _distributions()),
            Section(80, "Which values are odd, and which tasks are there?", (_odd_values(), Band(12, (_listed(),)))),
        ),
    )


def _numbers() -> tuple[Panel, ...]:
    to_exporter, to_rules = sibling("Open Exporter", EXPORTER), sibling("Open Expectations", EXPECTATIONS)
    quotas = SCOPE.each("rtcmpu_task_quota")
    single, mixed = (f"max({quota_use(SCOPE, matcher)})" for matcher in ('mix_mode="single"', 'mix_mode="mixed"'))
    known = f"{SCOPE.each('rtcmpu_app_info')} unless on () {quotas}"

    def violated(severity: str) -> str:
        return SCOPE.total("rtcmpu_policy_violations", f'severity="{severity}"')

    return (
        number(
            2,
            "App",
            "What the configuration calls the app, or its id, and who answers for it.",
            {"{{shown}}{{owner}}": _in_words()},
            shows_name=True,
            link=sibling("Open Overview", OVERVIEW),
        ),
        number(
            3,
            "State",
            "What is worst about the app: its data was withdrawn or was never there, reading its list fails, tasks "
            "violate critical rules, a quota is full, or tasks violate rules of severity warning.",
            f"max({attention(SCOPE)})",
            mappings=words(ATTENTION),
            link=to_exporter,
        ),
        number(
            4,
            "Age of data",
            "Since the last accepted sweep began. What changed since is brought in by updates. When it reaches the age "
            "in the configuration, all data about tasks is withdrawn.",
            f"max({sweep_age(SCOPE)})",
            unit="s",
            decimals=0,
            link=to_exporter,
        ),
        listed_tasks(5, SCOPE, to_rules),
        number(
            6,
            "Quota used",
            "Share of the app's quota for single and mixed tasks that is used, over all regions. Orange from 80 %, red "
            "from 95 %.",
            {"single": or_nothing(single, known), "mixed": or_nothing(mixed, known)},
            unit="percentunit",
            decimals=0,
            thresholds=rising(**QUOTA_COLOURS),
            nothing="No quota",
            link=to_rules,
        ),
        number(
            9,
            "Violations",
            "Tasks that violate a rule of severity critical or warning; a task counts once for each rule.",
            {"critical": violated("critical"), "warning": violated("warning")},
            link=to_rules,
        ),
    )


def _in_words() -> str:
    """Return the app with the label `shown`: its name, or its id if it has none; and its owner after a dot."""
    info = SCOPE.each("rtcmpu_app_info")
    named = f'label_replace(label_replace({info}, "shown", "$1", "app_id", "(.*)"), "shown", "$1", "name", "(.+)")'
    one = f'label_replace({named}, "owner", " · $1", "owner", "(.+)") and on () count({info}) == 1'
    return f'{one} or label_replace(count({info}) > 1, "shown", "Several apps", "", "")'


def _collection() -> Panel:
    return timeline(
        10,
        "Collection and data",
        "Whether the app's list could be read, and whether its tasks are published. Orange passes by itself as a rule, "
        "red needs someone. While the data is withdrawn everything below has a gap.",
        {
            "{{app_id}}": state_code(SCOPE),
            "{{app_id}}: data": SCOPE.each("rtcmpu_collection_data_available"),
        },
        states(),
        mappings_of={".*: data": words({1: ("published", FINE), 0: ("no data", BAD)})},
        per_page=4,
    )


def _tasks() -> tuple[Band, Band]:
    fields = SCOPE.rate("rtcmpu_task_field_changes_total", by=("field",))
    return (
        graphs(
            by_region_and_mode(21, SCOPE),
            graph(
                22,
                "Tasks and quotas",
                "Listed tasks of each mode over all regions, and the configured quota (dashed). Near it new tasks will "
                "be refused.",
                {
                    "{{mix_mode}}": SCOPE.without("task_region").total("rtcmpu_tasks", by=("mix_mode",)),
                    "quota {{mix_mode}}": SCOPE.total("rtcmpu_task_quota", by=("mix_mode",)),
                },
                dashed="quota ",
            ),
        ),
        graphs(
            changes(31, SCOPE),
            graph(
                32,
                "Changes by field per minute",
                "Which parts of the configuration changed; a changed task counts for each of them.",
                {"{{field}}": above_zero(f"60 * {fields}", "field")},
                stacked=True,
            ),
        ),
    )


def _outputs() -> tuple[Band, Band]:
    outputs = SCOPE.total("rtcmpu_task_outputs", by=("cdn", "scheme"))
    keys = SCOPE.total("rtcmpu_task_outputs_by_push_auth", by=("state",))
    next_expiry = f"min by (signer) ({SCOPE.each('rtcmpu_push_auth_next_expiry_timestamp_seconds')})"
    hosts = SCOPE.total("rtcmpu_task_outputs_by_host", by=("host",))
    return (
        graphs(
            graph(
                41,
                "Outputs by CDN and scheme",
                "URLs that tasks push to, stacked. `unknown`: the task does not say whether the CDN is Alibaba's. A "
                "scheme or CDN that nobody expects here is worth a look.",
                {"{{cdn}} {{scheme}}": f"{outputs} > 0"},
                stacked=True,
            ),
            bars(
                45,
                "Largest push hosts",
                "URLs that tasks push to, by host. Ingest domains have limits of streams.",
                {"{{host}}": f"sort_desc({hosts})"},
            ),
        ),
        graphs(
            graph(
                43,
                "Push keys by state",
                "URLs that tasks push to, stacked. Keys are checked when a push starts: a task whose key has expired "
                "goes on, and cannot reconnect.",
                {"{{state}}": f"{keys} > 0"},
                stacked=True,
            ),
            graph(
                44,
                "Next expiry of a push key",
                "Time until the earliest expiry of a push key that is not past, by who signed it.",
                {"{{signer}}": f"{next_expiry} - time()"},
                unit="s",
                no_value="No expiry is known",
            ),
        ),
    )


def _encodings() -> Band:
    codec = bars_by(
        52,
        "Codec and profile",
        "Tasks with video by codec and profile; `none`: not set, the service's default holds.",
        SCOPE,
        "rtcmpu_tasks_by_video",
        "codec",
        "profile",
    )
    audio = bars_by(
        54,
        "Audio",
        "Tasks with encoding by channels and sample rate; `none`: not set.",
        SCOPE,
        "rtcmpu_tasks_by_audio",
        "channels",
        "sample_rate_hertz",
        legend="{{channels}} ch, {{sample_rate_hertz}} Hz",
    )
    relayed = bars_by(
        55,
        "Relayed streams",
        "Single-stream tasks by the kind of stream and its source.",
        SCOPE,
        "rtcmpu_tasks_by_source",
        "stream_type",
        "source_type",
    )
    return Band(8, (by_resolution(51, SCOPE), codec, audio, relayed, by_tier(56, SCOPE)), (5, 5, 5, 5, 4))


def _distributions() -> tuple[Band, Band]:
    def typical(id_: int, kind: str) -> Panel:
        family = f"rtcmpu_task_{kind}_bitrate_bytes_per_second"
        mean = f"{SCOPE.total(f'{family}_gsum')} / ({SCOPE.total(f'{family}_gcount')} > 0)"
        return graph(
            id_,
            f"{kind.title()} bitrate of typical tasks",
            f"Configured {kind.title()}Bitrate. Half and 90 % of the tasks have at most this bitrate, estimated "
            "within their buckets; and the exact mean.",
            {
                "90 % have at most": f"8 * {SCOPE.quantile(0.9, family)}",
                "half have at most": f"8 * {SCOPE.quantile(0.5, family)}",
                "mean": f"8 * {mean}",
            },
            unit="bps",
        )

    def heatmap(id_: int, title: str, description: str, family: str, unit: str) -> Panel:
        buckets = SCOPE.total(f"{family}_bucket", by=("le",))
        return distribution(id_, title, f"{description} {HOW_TO_READ}", buckets, unit=unit)

    largest = {
        "panes": SCOPE.quantile(0.9, "rtcmpu_task_panes"),
        "listed users": SCOPE.quantile(0.9, "rtcmpu_task_users"),
    }
    without = SCOPE.total("rtcmpu_tasks_without_idle_timeout", by=("task_region",))
    return (
        graphs(
            typical(62, "video"),
            typical(71, "audio"),
            graph(
                73,
                "Panes and listed users of large tasks",
                "How many panes in their layout, and users in UserInfos, 90 % of the tasks have at most. Tasks whose "
                "UserInfos is empty are left out: they take everyone in the channel.",
                largest,
            ),
            graph(
                66,
                "Tasks without an idle timeout",
                "Tasks whose MaxIdleTime is not set, by region, stacked. They end when the channel closes, and not "
                "before.",
                {"{{task_region}}": without},
                stacked=True,
            ),
        ),
        graphs(
            heatmap(
                63,
                "Length of a group of pictures",
                "VideoGop / VideoFramerate. Players wait this long for a picture at worst.",
                "rtcmpu_task_gop_duration_seconds",
                "s",
            ),
            heatmap(64, "Frame rate", "Configured VideoFramerate.", "rtcmpu_task_video_framerate_hertz", "hertz"),
            heatmap(
                65,
                "Idle timeout",
                "Configured MaxIdleTime of tasks that have one.",
                "rtcmpu_task_idle_timeout_seconds",
                "s",
            ),
        ),
    )


def _odd_values() -> Band:
    unreadable = SCOPE.total("rtcmpu_task_field_errors", by=("field",))
    unknown = SCOPE.total("rtcmpu_task_unknown_values", by=("field",))
    return graphs(
        bars(
            81,
            "Odd values by field",
            "Values that can't be read, such as a bitrate that is no number: they count nowhere else. And values "
            "outside the documented sets: in the other panels they are `other`.",
            {
                "{{field}}: unreadable": f"sort_desc({above_zero(unreadable, 'field')})",
                "{{field}}: unknown": f"sort_desc({above_zero(unknown, 'field')})",
            },
        ),
    )


def _listed() -> Panel:
    def of_task(name: str) -> str:
        return TASKS.each(f"rtcmpu_task_{name}", SEARCHED)

    return rows_and_columns(
        91,
        "Tasks",
        "Tasks whose TaskId contains what is written into `Task` above; click one for all its configuration. It needs "
        "`metrics.per_task.enabled`, and a scrape of /metrics/tasks.",
        (
            Labelled("Task", "task_id", links=(TO_TASK,)),
            *app_columns(160),
            Labelled("Channel", "channel_id"),
            Labelled("Region", "task_region", 110),
            Labelled("Mode", "mix_mode", 70),
            Labelled("Codec", "codec", 70),
            Labelled("Resolution", "resolution", 120),
            Queried("", of_task("info")),
            Queried("Video bitrate", f"8 * {of_task('config_video_bitrate_bytes_per_second')}", 110, "bps", 1),
            Queried("Outputs", of_task("config_outputs"), 80),
            Queried("Changed before", f"time() - {of_task('last_changed_timestamp_seconds')}", 120, "s", 1),
            Queried("Seen for", f"time() - {of_task('first_seen_timestamp_seconds')}", 110, "s", 1),
        ),
        sorted_by=("Changed before",),
        no_value="No such task, or series about single tasks are off (metrics.per_task.enabled)",
    )
