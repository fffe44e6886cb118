"""What rows say about tasks, by code of its own: by hand, and equal to what the rules find and the metrics count."""

import copy
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.aliyun.parse_task import read_row
from exporter.config.model import Buckets
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.metrics.exposition import families
from exporter.metrics.family import sections
from exporter.rules.rule import Outcome, compile_rule
from exporter.rules.rule_files import default_rules
from exporter.simulator.fleet import Fleet, populate
from exporter.simulator.listing import respelled
from exporter.simulator.simulation import demo_service
from exporter.simulator.task_maker import MISCONFIGURATIONS, ODD_VALUES, TEMPLATES, Body, TaskMaker, merged, seeded
from tests.metrics.builders import STATUS
from tests.oracle.rule_truth import rule_truth
from tests.simulator.support import START
from tests.support.evaluated_rows import evaluate_rows
from tests.support.generated import examples
from tests.support.rows import changed, leaf_paths
from tests.support.subtests import for_each
from tests.support.virtual_time import SetClock
from tests.support.virtual_world import ACCOUNT, Samples, Seen, true_samples

RULES = [compile_rule(rule) for rule in default_rules()]
NAMES = {rule.rule.name for rule in RULES}

ONE_URL = [{"URL": "rtmp://push.live.example.com/stage/only", "IsAliCdn": True}]
NO_VIDEO = dict.fromkeys(
    ("VideoBitrate", "VideoCodec", "VideoFramerate", "VideoGop", "VideoHeight", "VideoWidth", "EnhancedParam")
)
SCREEN = {"SourceType": "shareScreen", "StreamType": "1", "UserId": "u"}


def encoded(**patch: Any) -> Callable[[Body], Body]:
    """Return a change of EncodeParams."""
    return lambda body: merged(body, {"TranscodeParams": {"EncodeParams": patch}})


SECRET = "0123456789abcdef" * 2


def pushed_with(query: str) -> Callable[[Body], Body]:
    """Return a change of what the task pushes to."""
    return patched(MultiStreamURL=[{"URL": f"rtmp://push.live.example.com/stage/signed?{query}", "IsAliCdn": True}])


def patched(**patch: Any) -> Callable[[Body], Body]:
    """Return a change of the task."""
    return lambda body: merged(body, patch)


def paned(*panes: Mapping[str, str]) -> Callable[[Body], Body]:
    """Return a change of the layout."""
    return patched(TranscodeParams={"Layout": {"UserPanes": list(panes)}})


def listed(**patch: Any) -> Callable[[Body], Body]:
    """Return a change of each of UserInfos."""
    return lambda body: merged(
        body, {"TranscodeParams": {"UserInfos": [{**user, **patch} for user in body["TranscodeParams"]["UserInfos"]]}}
    )


HALVES = ({"X": "0", "Width": "0.5"}, {"X": "0.5", "Width": "0.5"})
LEFT = {"X": "0", "Y": "0", "Width": "0.6", "Height": "1"}
RIGHT = {"X": "0.5", "Y": "0", "Width": "0.5", "Height": "1"}

WRONG: Mapping[str, tuple[Callable[[Body], Body], ...]] = {
    "video-bitrate-out-of-range": (encoded(VideoBitrate="0"), encoded(VideoBitrate="10001")),
    "video-framerate-out-of-range": (encoded(VideoFramerate="0"), encoded(VideoFramerate="61")),
    "video-gop-out-of-range": (encoded(VideoGop="0"), encoded(VideoGop="61")),
    "video-size-out-of-range": (encoded(VideoWidth="1922"), encoded(VideoHeight="1922")),
    "video-size-odd": (encoded(VideoWidth="853"), encoded(VideoHeight="481")),
    "gop-too-long": (encoded(VideoGop="60", VideoFramerate="14"),),
    "gop-too-short": (encoded(VideoGop="12", VideoFramerate="25"),),
    "bits-per-pixel-implausible": (encoded(VideoBitrate="230"), encoded(VideoWidth="100", VideoHeight="100")),
    "video-codec-unknown": (encoded(VideoCodec="AV1"),),
    "video-profile-unknown": (encoded(EnhancedParam='{"profile":"high10"}'),),
    "video-preset-unknown": (encoded(EnhancedParam='{"preset":"quick"}'),),
    "preset-too-slow": (encoded(EnhancedParam='{"preset":"placebo"}'), encoded(EnhancedParam='{"preset":"VerySlow"}')),
    "profile-does-not-fit-codec": (encoded(VideoCodec="H.265"),),
    "enhanced-param-unreadable": (encoded(EnhancedParam="profile=high"),),
    "audio-bitrate-out-of-range": (encoded(AudioBitrate="7"), encoded(AudioBitrate="501")),
    "audio-channels-undocumented": (encoded(AudioChannels="6"),),
    "audio-sample-rate-undocumented": (encoded(AudioSampleRate="22050"),),
    "idle-timeout-out-of-range": (patched(MaxIdleTime="9"), patched(MaxIdleTime="86401")),
    "idle-timeout-missing": (patched(MaxIdleTime=None),),
    "region-unknown": (patched(Region="EU-Frankfurt"),),
    "mix-mode-unknown": (patched(MixMode="7"),),
    "single-without-source": (patched(MixMode="0", TranscodeParams=None),),
    "single-with-transcoding": (patched(MixMode="0", SingleSubParams={"UserId": "u"}),),
    "mixed-without-transcoding": (patched(TranscodeParams=None),),
    "mixed-with-source": (patched(SingleSubParams={"UserId": "u"}),),
    "encode-params-incomplete": (
        encoded(VideoGop=None),
        encoded(VideoHeight=None, VideoWidth=""),
        encoded(AudioChannels=None),
    ),
    "audio-only-with-layout": (encoded(**NO_VIDEO, AudioOnly="true"),),
    "audio-only-with-video-settings": (
        patched(TranscodeParams={"EncodeParams": {"AudioOnly": "true"}, "Layout": None}),
    ),
    "screen-share-without-video": (patched(MixMode="0", TranscodeParams=None, SingleSubParams=SCREEN),),
    "video-without-layout": (patched(TranscodeParams={"Layout": None}), paned()),
    "user-screen-share-without-video": (
        listed(SourceType="shareScreen", StreamType="0"),
        listed(SourceType="shareScreen", StreamType=None),
    ),
    "everyone-mixed": (patched(TranscodeParams={"UserInfos": None}), patched(TranscodeParams={"UserInfos": []})),
    "push-url-missing": (patched(MultiStreamURL=None), patched(MultiStreamURL=[{"URL": ""}])),
    "push-url-in-both-fields": (patched(StreamURL="rtmp://push.live.example.com/a/other"),),
    "push-url-incomplete": tuple(
        patched(MultiStreamURL=[{"URL": url}])
        for url in (
            "rtmp://",
            "rtmp:///live/a",
            "rtmp://push.live.example.com",
            "rtmp://push.live.example.com/live/",
            "rtmp://push.live.example.com/live?auth_key=1893456000-0-0-0123456789abcdef0123456789abcdef",
            "rtmp://push.live.example.com/live/a b",
            "rtmp://push.live.example.com/live/<key>",
            f"rtmp://push.live.example.com/live/{'a' * 2048}",
        )
    ),
    "push-url-is-test": (patched(MultiStreamURL=[{"URL": "rtmp://live.twitch.tv/app/key?bandwidthtest=true"}]),),
    "push-scheme-unknown": (patched(MultiStreamURL=[{"URL": "http://push.live.example.com/a/b"}]),),
    "push-host-not-public": tuple(
        patched(MultiStreamURL=[{"URL": f"rtmp://{host}/live/a"}])
        for host in ("10.0.0.7:1935", "[fd00::7]", "ingest", "Example.com", "studio.local")
    ),
    "h265-over-rtmp": (
        lambda body: merged(
            encoded(VideoCodec="H.265", EnhancedParam=None)(body),
            {"MultiStreamURL": [{"URL": "rtmp://ingest.partner.example.net/a/b", "IsAliCdn": False}]},
        ),
    ),
    "ali-cdn-flag-mismatch": (
        patched(MultiStreamURL=[{"URL": "rtmps://PUSH.live.example.com:443/a/b", "IsAliCdn": "false"}]),
        patched(
            MultiStreamURL=[
                {"URL": "rtmp://video-center.alivecdn.com/a/b?vhost=push.live.example.com", "IsAliCdn": False}
            ]
        ),
    ),
    "push-url-with-password": (patched(MultiStreamURL=[{"URL": "rtmp://a:b@push.live.example.com/a/b"}]),),
    "push-auth-expired": (pushed_with(f"txTime=5867D600&txSecret={SECRET}"),),
    "push-auth-expiring": (pushed_with(f"txTime={int(time.time()) + 7200:x}&txSecret={SECRET}"),),
    "push-auth-malformed": (
        pushed_with(f"txTime=1800000000&txSecret={SECRET}"),
        pushed_with(f"volcTime=1800000000000&volcSecret={SECRET}"),
    ),
    "push-auth-expired-at-start": (),
    "push-auth-validity-unknown": (pushed_with(f"auth_key=1500000000-0-0-{SECRET}"),),
    "push-stream-shared": (
        patched(MultiStreamURL=ONE_URL),
        patched(MultiStreamURL=[{"URL": f"{ONE_URL[0]['URL']}?txTime=F0000000&txSecret={SECRET}"}]),
    ),
    "panes-outside-canvas": (
        paned({**RIGHT, "Width": "0.502"}),
        paned({**LEFT, "X": "-0.1"}),
        paned({**LEFT, "Y": "0.1"}),
        paned({**LEFT, "Y": "2", "Height": "-5"}),
    ),
    "panes-overlapping": (paned(LEFT, RIGHT), paned(LEFT, {**RIGHT, "ZOrder": "0"})),
    "pane-user-not-mixed": (
        lambda body: merged(body, {"TranscodeParams": {"UserInfos": body["TranscodeParams"]["UserInfos"][1:]}}),
        patched(TranscodeParams={"UserInfos": [{"UserId": "somebody"}]}),
    ),
    "pane-of-audio-user": (listed(StreamType="1"),),
    "pane-user-twice": (
        lambda body: merged(
            body,
            {
                "TranscodeParams": {
                    "Layout": {
                        "UserPanes": [{**body["TranscodeParams"]["Layout"]["UserPanes"][0], **half} for half in HALVES]
                    }
                }
            },
        ),
    ),
    "render-mode-undocumented": (
        paned({**LEFT, "RenderMode": "2"}),
        patched(TranscodeParams={"Background": {"RenderMode": "2"}}),
    ),
    "sei-interval-out-of-range": (
        patched(SeiParams={"LayoutVolume": {"Interval": "999"}}),
        patched(SeiParams={"PassThrough": {"Interval": "5001"}}),
    ),
    "sei-payload-type-out-of-range": (
        patched(SeiParams={"PayloadType": "99"}),
        patched(SeiParams={"PayloadType": None, "PassThrough": {"PayloadType": "255"}}),
    ),
    "sei-follow-idr-undocumented": (
        patched(SeiParams={"LayoutVolume": {"FollowIdr": "2"}}),
        patched(SeiParams={"PassThrough": {"FollowIdr": "2"}}),
    ),
    "values-unreadable": (encoded(VideoBitrate="1500kbps"), encoded(VideoFramerate="29.97"), patched(MaxIdleTime="-1")),
    "values-unknown": (listed(StreamType="9"), encoded(AudioOnly="perhaps")),
}
"""Ways to violate each rule, and no other one."""

NEEDS_EXPECTATIONS = {
    "bitrate_too_high": "8 Mbit/s is documented, and plausible for 720p; what was agreed, only the owner knows",
    "idle_timeout_too_long": "a day is the most that is documented",
    "wrong_region": "the region is a documented one",
    "framerate_too_low": "5 frames a second is documented",
    "odd_resolution": "1000 x 1000 pixels is documented",
    "foreign_push_host": "which hosts are an owner's own is nowhere documented",
}
"""What no rule for everyone can know to be wrong."""


def ordinary() -> Body:
    """Return a task with which nothing is wrong."""
    return TaskMaker(seeded(1, "ordinary")).mixed("app", TEMPLATES[0])


def rows_of(*bodies: Body) -> dict[str, list[bytes]]:
    """Return the rows of one app."""
    return {"app": [msgspec.json.encode(body) for body in bodies]}


def assert_equal_to_the_truth(rows_of_apps: Mapping[str, Iterable[bytes]]) -> None:
    """Compare what rows say with what the rules find, for each app, rule and task, and with what is published."""
    rows_of_apps = {app_id: list(rows) for app_id, rows in rows_of_apps.items()}
    for app_id, rows in rows_of_apps.items():
        assert published(app_id, rows) == pytest.approx(true_samples.__wrapped__(tuple(rows)))  # which keeps no row
    truth = rule_truth(rows_of_apps)
    for app_id, evaluations in evaluate_rows(rows_of_apps, RULES).items():
        assert truth[app_id].keys() == evaluations.keys()
        for name, outcomes in evaluations.items():
            found = list(outcomes.values())
            assert truth[app_id][name] == {
                "violations": [task_id for task_id, outcome in outcomes.items() if outcome is Outcome.VIOLATION],
                "evaluated": found.count(Outcome.PASS) + found.count(Outcome.VIOLATION),
                "not_applicable": found.count(Outcome.NOT_APPLICABLE),
            }, (app_id, name)


def published(app_id: str, rows: Iterable[bytes]) -> Samples:
    """Return the samples about tasks that are not 0."""
    tasks = [read_row(row, app_id=app_id) for row in rows]
    aggregates = Aggregates(Buckets(), now=time.time())
    aggregates.add_all([(task.configuration, task.push_times) for task in tasks if task is not None])
    assert STATUS.sweep is not None
    sweep = msgspec.structs.replace(STATUS.sweep, rows_without_task_id=tasks.count(None))
    report = AppReport(msgspec.structs.replace(STATUS, account=ACCOUNT, app_id=app_id, sweep=sweep), aggregates)
    return Seen(b"".join(text for each in families() for text in sections(each, each.samples(report))).decode()).tasks(
        app_id
    )


def violated(truth: Mapping[str, Mapping[str, Any]], task_id: str) -> set[str]:
    """Return the rules that a task violates."""
    return {name for name, result in truth.items() if task_id in result["violations"]}


@for_each(sorted(NAMES))
def test_each_rule_by_hand(name: str) -> None:
    """What was made wrong in one way violates the rule about it, and no other one."""
    neighbour = merged(ordinary(), {"TaskId": "neighbour", "MultiStreamURL": ONE_URL})
    for change in WRONG[name]:
        body = change(ordinary())
        assert violated(rule_truth(rows_of(body, neighbour))["app"], body["TaskId"]) == {name}
        assert_equal_to_the_truth(rows_of(body, neighbour))


def test_counts_by_hand() -> None:
    """A rule is evaluated for the tasks that pass or violate it, and does not apply to the others."""
    maker = TaskMaker(seeded(1, "counts"))
    mixed, single, audio = maker.mixed("app"), maker.single("app"), maker.audio_only("app")
    too_long = merged(
        maker.mixed("app"), {"TranscodeParams": {"EncodeParams": {"VideoGop": "90", "VideoFramerate": "9"}}}
    )
    truth = rule_truth(rows_of(mixed, single, audio, too_long, {"AppId": "app"}))["app"]
    assert truth.keys() == NAMES
    assert truth["gop-too-long"] == {"violations": [too_long["TaskId"]], "evaluated": 2, "not_applicable": 2}
    assert truth["mix-mode-unknown"] == {"violations": [], "evaluated": 4, "not_applicable": 0}
    assert truth["single-without-source"] == {"violations": [], "evaluated": 1, "not_applicable": 3}
    assert truth["audio-only-with-layout"] == {"violations": [], "evaluated": 1, "not_applicable": 3}


def test_a_url_is_shared_across_apps() -> None:
    """Tasks of two apps that push to one URL share it; one that names a URL in both fields shares it with nobody."""
    body = merged(ordinary(), {"MultiStreamURL": ONE_URL})
    elsewhere = {**body, "AppId": "other"}
    alone = {**ordinary(), "TaskId": "alone"}
    alone |= {"StreamURL": alone["MultiStreamURL"][0]["URL"]}
    rows = {"app": rows_of(body, alone)["app"], "other": [msgspec.json.encode(elsewhere)]}
    truth = rule_truth(rows)
    assert truth["app"]["push-stream-shared"]["violations"] == [body["TaskId"]]
    assert truth["other"]["push-stream-shared"]["violations"] == [body["TaskId"]]
    assert_equal_to_the_truth(rows)


def test_the_demonstration_as_the_rules_find_it() -> None:
    """In every app of the demonstration, after ten minutes of changes, rules and truth agree about every task."""
    clock = SetClock()
    service = demo_service(now=clock.now)
    clock.seconds += 600
    assert_equal_to_the_truth({app_id: service.listed(app_id) for app_id in service.fleet.apps})


def test_ordinary_tasks_of_the_demonstration_violate_nothing() -> None:
    """What is not wrong on purpose violates no rule, not even for information, also after ten minutes of changes."""
    clock = SetClock()
    service = demo_service(now=clock.now)
    clock.seconds += 600
    truth = rule_truth({app_id: service.listed(app_id) for app_id in service.fleet.apps})
    wrong = {row.task_id for tasks in service.fleet.apps.values() for row in tasks.order if row.marks}
    found = {task_id for rules in truth.values() for result in rules.values() for task_id in result["violations"]}
    assert found
    assert found - wrong == set()


@pytest.mark.parametrize("name", MISCONFIGURATIONS)
def test_every_misconfiguration_is_found_or_is_for_its_owner_to_know(name: str) -> None:
    """A rule finds each misconfiguration, but for those that are wrong only because of what an owner expects."""
    makers = (TaskMaker(seeded(1, "first")), TaskMaker(seeded(1, "second")))
    first, second = (MISCONFIGURATIONS[name](maker.mixed("app", TEMPLATES[0])) for maker in makers)
    rows = rows_of(first, second) if name == "duplicate_push_url" else rows_of(first)
    found = violated(rule_truth(rows)["app"], first["TaskId"])
    assert bool(found) == (name not in NEEDS_EXPECTATIONS)


@pytest.mark.parametrize("spelling", ["documented", "other_case", "new_value"])
def test_generated_fleets_with_everything_odd(spelling: str) -> None:
    """Every misconfiguration and every odd value, and pairs of them, on tasks of all kinds and in any spelling."""
    fleet, maker, random = Fleet(SetClock().now), TaskMaker(seeded(2, "odd")), seeded(3, "pairs")
    populate(fleet, "app", 150, random=seeded(4, "app"), started_at=START)
    changes = [*MISCONFIGURATIONS.values(), *ODD_VALUES.values()]
    for change in changes:
        fleet.create("app", change(maker.mixed("app")))
        for other in random.sample(changes, 4):
            fleet.create("app", _both(other, change, maker.mixed("app")))
    assert_equal_to_the_truth({"app": [respelled(body, spelling) for body in fleet.bodies("app")]})


PATHS = [
    path
    for path in leaf_paths(merged(ordinary(), {"SingleSubParams": SCREEN, "StreamURL": "rtmp://s.example.com/a"}))
    if path not in {"AppId", "TaskId"}
]
TEXTS = ["", "0", "1", "2", "5", "-5", "0.5", "29.97", "30.0", "100", "10000", "99999", "many", "AP-Singapore", "H.265"]
TEXTS += ["0.5005", "0.502"]
TEXTS += ["shareScreen", "true", "rtmp://u:p@a.example.com/b", '{"profile":"main"}', '{"preset":"placebo","profile":7}']


@for_each(PATHS)
def test_any_value_in_one_place(path: str) -> None:
    """Rules and truth agree about every text and number in every single place."""
    bodies: list[Body] = []
    for value in (*TEXTS, None, 1, 25, -5, 0.5):
        own = {"TaskId": repr(value), "StreamURL": f"rtmp://s.example.com/{len(bodies)}"}
        body = merged(
            ordinary(), {"SingleSubParams": SCREEN, "MultiStreamURL": [{"URL": f"{ONE_URL[0]['URL']}{value}"}]}
        )
        bodies.append(changed(body | own, path, value))
    assert_equal_to_the_truth(rows_of(*bodies))


SIZES: tuple[str | int, ...] = ("", "abc", 0, 1, 360, 480, 640, 641, 720, 721, 1080, 1280, 1920)


@for_each(itertools.product(SIZES, SIZES), name=str)
def test_any_size(size: tuple[str | int, str | int]) -> None:
    """Rules and truth agree about every size, landscape or portrait, whole or not."""
    assert_equal_to_the_truth(rows_of(encoded(VideoWidth=size[0], VideoHeight=size[1])(ordinary())))


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(PATHS), st.sampled_from(TEXTS) | st.none() | st.sampled_from([1, 25])),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=examples(150))
def test_any_values_in_any_places(changes: list[tuple[str, Any]]) -> None:
    """Whatever text or number is in whichever place, objects and lists among them, rules and truth agree."""
    body = merged(ordinary(), {"SingleSubParams": SCREEN, "StreamURL": "rtmp://s.example.com/a"})
    for path, value in changes:
        try:
            body = changed(body, path, value)
        except (TypeError, KeyError, IndexError):  # what is around it was replaced before
            continue
    assert_equal_to_the_truth(rows_of(body, {**copy.deepcopy(body), "TaskId": "same"}))


def _both(first: Callable[[Body], Body], second: Callable[[Body], Body], body: Body) -> Body:
    """Apply two changes, as far as the second fits what the first left."""
    once = first(body)
    try:
        return second(once)
    except (KeyError, TypeError, ValueError):
        return once
