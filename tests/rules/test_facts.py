"""What rules see of a task."""

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from exporter.core.task import Audio, Configuration, Encoding, Output, Pane, Sei, Source, Video
from exporter.rules.cel_language import Expression, activation_of, compile_condition, message_pool
from exporter.rules.facts import facts, facts_of_case
from exporter.rules.vocabulary import Fact, FactType, TaskFacts, facts_of, walk
from tests.metrics.builders import configuration
from tests.support.generated import any_struct, examples

CONFIGURATIONS = any_struct(Configuration)
PYTHON_TYPES = {FactType.TEXT: str, FactType.WHOLE_NUMBER: int, FactType.NUMBER: float, FactType.CONDITION: bool}
DERIVED_OF_VIDEO = ("pixels", "resolution", "aspect", "gop_seconds", "bits_per_pixel")
TASK = Fact("task", FactType.GROUP, is_list=False, is_optional=False, description="", group=TaskFacts)
DERIVED_OF_TASK = ("pane_count", "panes_outside", "overlapping_panes")


def pane(x: float | None, y: float | None, width: float | None, height: float | None, z_order: int | None = 0) -> Pane:
    """Return a pane at a place."""
    return Pane(x, y, width, height, z_order, None, None, has_background_image=False)


def video_facts(video: Video) -> Any:
    """Return `task.video` of a task with this video part."""
    return facts(configuration(encoding=Encoding(audio_only=False, video=video, audio=Audio())))["video"]


def assert_as_declared(value: Any, fact: Fact, path: str) -> None:
    """Check a value against its declaration, and its parts."""
    for one in value if fact.is_list else [value]:
        if fact.group is None:
            assert type(one) is PYTHON_TYPES[fact.kind], path
            continue
        declared = {inner.name: inner for inner in facts_of(fact.group)}
        assert set(one) <= set(declared), path
        assert {name for name, inner in declared.items() if not inner.is_optional} <= set(one), path
        for name, inner in one.items():
            assert_as_declared(inner, declared[name], f"{path}.{name}")


@settings(max_examples=examples(60))
@given(CONFIGURATIONS)
def test_facts_are_as_the_vocabulary_declares(any_configuration: Configuration) -> None:
    """Whatever is configured, the keys and types are the declared ones, and the message type can hold them."""
    task = facts(any_configuration)
    assert_as_declared(task, TASK, "task")
    GetMessageClass(message_pool().FindMessageTypeByName("Task"))(**task)


def guarded(path: str) -> str:
    """Return a condition that is true of any value of a field, since it asks first whether there is one."""
    group, _, name = path.rpartition(".")
    item = f"x.{name}" if group.endswith("[]") else path
    condition = f"(!has({item}) || {item} == {item})"
    if group.endswith("[]"):
        condition = f"{group.removesuffix('[]')}.all(x, {condition})"
    parent = group.removesuffix("[]")
    return condition if parent == "task" else f"(!has({parent}) || {condition})"


GUARDED: list[Expression] = [compile_condition(guarded(path)) for path, _ in walk() if path.startswith("task.")]


@settings(max_examples=examples(60))
@given(CONFIGURATIONS)
def test_a_guarded_expression_never_fails(any_configuration: Configuration) -> None:
    """Each field of any task can be read behind `has()`."""
    activation = activation_of({"task": facts(any_configuration)})
    assert all(expression.evaluate(activation) is True for expression in GUARDED)


@settings(max_examples=examples(60))
@given(CONFIGURATIONS)
def test_a_case_with_all_values_is_the_task_itself(any_configuration: Configuration) -> None:
    """A test that gives everything but what is derived sees what a real task would show."""
    task = facts(any_configuration)
    values = {name: value for name, value in task.items() if name not in DERIVED_OF_TASK}
    values["video"] = {name: value for name, value in task["video"].items() if name not in DERIVED_OF_VIDEO}
    assert facts_of_case(values) == task


@settings(max_examples=examples(40))
@given(CONFIGURATIONS, st.data())
def test_a_case_is_as_declared_however_little_it_gives(any_configuration: Configuration, data: st.DataObject) -> None:
    """What a test leaves out gets a value where one is always there."""
    task = facts(any_configuration)
    names = data.draw(st.sets(st.sampled_from(sorted(task))))
    case = facts_of_case({name: task[name] for name in names})
    assert_as_declared(case, TASK, "task")


@pytest.mark.parametrize(
    ("hosts", "private"),
    [
        ("127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.0.1 100.64.0.1 0.0.0.0 203.0.113.7 224.0.0.1", True),
        ("[::1] [fd00::1] [fe80::1%eth0] [::ffff:10.0.0.1]", True),
        ("localhost ingest a. studio.local a.internal a.test push.example example.com example.org.", True),
        ("8.8.8.8 172.32.0.1 [2001:4860:4860::8888]", False),
        ("push.example.com 10.example.com live.twitch.tv local.example.net exemple.com", False),
    ],
)
def test_hosts_that_are_not_on_the_internet(hosts: str, private: bool) -> None:
    """Addresses that are not global, names without a domain and reserved names are private, absent hosts are not."""
    for host in hosts.split():
        assert facts_of_case({"outputs": [{"host": host}]})["outputs"][0]["has_private_host"] is private, host
    assert not facts_of_case({"outputs": [{}]})["outputs"][0]["has_private_host"]


def test_facts_of_a_whole_task() -> None:
    """Every part of a task is where a rule looks for it."""
    task = facts(
        configuration(
            region="CN-Shanghai",
            mix_mode="mixed",
            idle_timeout_seconds=60,
            outputs=(Output("rtmp", "a.example.com", is_ali_cdn=None, has_userinfo=True),),
            source=Source("audio", "screen"),
            encoding=Encoding(
                audio_only=False,
                video=Video("H.264", "main", "fast", 2000, 25, 50, 1280, 720),
                audio=Audio(64, 2, 48000),
            ),
            panes=(Pane(0.0, 0.0, 1.0, 1.0, 1, 0, "camera", has_background_image=True),),
            background_render_mode=1,
            has_background=True,
            users=2,
            user_streams=(("camera", None), (None, "audio")),
            sei=Sei(5, None, 1000, None, None, has_payload=True),
            field_errors=("MaxIdleTime",),
            unknown_values=("Region",),
        )
    )
    video = {"codec": "H.264", "profile": "main", "preset": "fast", "bitrate_kbps": 2000, "framerate": 25, "gop": 50}
    expected = facts_of_case(
        {
            "region": "CN-Shanghai",
            "mix_mode": "mixed",
            "idle_timeout_seconds": 60,
            "outputs": [{"scheme": "rtmp", "host": "a.example.com", "has_userinfo": True}],
            "source": {"stream_type": "audio", "source_type": "screen"},
            "video": {**video, "width": 1280, "height": 720},
            "audio": {"bitrate_kbps": 64, "channels": 2, "sample_rate_hertz": 48000},
            "panes": task["panes"],
            "background_render_mode": 1,
            "has_background": True,
            "users": 2,
            "user_streams": [{"source_type": "camera"}, {"stream_type": "audio"}],
            "sei": {"payload_type": 5, "layout_volume_interval_ms": 1000, "has_payload": True},
            "field_errors": ["MaxIdleTime"],
            "unknown_values": ["Region"],
        }
    )
    assert {name: task[name] for name in expected if not name.startswith("has_")} == {
        name: value for name, value in expected.items() if not name.startswith("has_")
    }
    assert (task["has_background"], task["has_encode_params"]) == (True, True)
    assert task["video"].items() >= {"pixels": 921_600, "resolution": "720p", "gop_seconds": 2.0}.items()


def test_what_a_task_does_not_have_is_absent() -> None:
    """An empty task has its empty parts and nothing else; no listed user is no number of users."""
    task = facts(configuration(region=None, idle_timeout_seconds=None, outputs=(), encoding=None, users=0))
    assert task["video"] == task["audio"] == {}
    assert not {"region", "idle_timeout_seconds", "users", "sei", "source", "background_render_mode"} & set(task)


@pytest.mark.parametrize(
    ("video", "derived"),
    [
        (Video(width=720, height=1280), {"pixels": 921_600, "resolution": "portrait_720p", "aspect": 0.5625}),
        (Video(width=640, height=0), {"pixels": 0, "resolution": "other"}),
        (Video(width=-1, height=720), {"resolution": "other"}),
        (Video(width=1280), {}),
        (Video(gop=100, framerate=0), {}),
        (Video(gop=-1, framerate=25), {}),
        (Video(gop=0, framerate=25), {"gop_seconds": 0.0}),
        (Video(width=0, height=720, framerate=9, bitrate_kbps=1), {"pixels": 0, "resolution": "other", "aspect": 0.0}),
    ],
)
def test_derived_facts_are_absent_where_nothing_follows(video: Video, derived: Mapping[str, Any]) -> None:
    """A missing number, a division by 0 and a number below 0 give no fact."""
    found = video_facts(video)
    assert {name: found[name] for name in DERIVED_OF_VIDEO if name in found} == derived


@pytest.mark.parametrize(
    ("width", "layers", "pairs"), [(0.5005, (0, 0), 0), (0.502, (0, 0), 1), (0.6, (1, 2), 0), (0.6, (2, 1), 0)]
)
def test_panes_overlap_by_more_than_a_thousandth_in_one_layer(
    width: float, layers: tuple[int, int], pairs: int
) -> None:
    """Panes that touch, or of which one is above the other, do not overlap."""
    panes = (pane(0.0, 0.0, width, 1.0, layers[0]), pane(0.5, 0.0, 0.5, 1.0, layers[1]))
    assert facts(configuration(panes=panes))["overlapping_panes"] == pairs


def test_a_pane_without_a_place_is_not_outside() -> None:
    """Its edges are not known, however large it is."""
    assert facts(configuration(panes=(pane(None, None, 3.0, 3.0),)))["panes_outside"] == 0
    assert facts(configuration(panes=(pane(0.0, 0.0, 3.0, None),)))["panes_outside"] == 1


def test_values_are_made_fit_for_the_language() -> None:
    """Half characters and NUL become question marks, numbers beyond 64 bits the nearest one."""
    task = facts(configuration(region="x\ud83d", mix_mode="y\0z", idle_timeout_seconds=10**30))
    assert (task["region"], task["mix_mode"], task["idle_timeout_seconds"]) == ("x?", "y?z", 2**63 - 1)


def test_equal_parts_are_not_mixed_up() -> None:
    """Parts of different kinds whose values are equal stay apart."""
    whole = structs.asdict(Video(bitrate_kbps=1))
    assert video_facts(Video(**whole)) == {"bitrate_kbps": 1}
    audio_only = Encoding(audio_only=True, video=Video(), audio=Audio(bitrate_kbps=1))
    assert facts(configuration(encoding=audio_only))["audio"] == {"bitrate_kbps": 1}


def test_a_case_fills_in_what_follows() -> None:
    """A test that gives a part of EncodeParams has them; derived facts follow unless they are given."""
    case = facts_of_case({"video": {"width": 1280, "height": 720}, "pane_count": 7, "panes": [{"x": 0.0}]})
    assert (case["has_encode_params"], case["has_transcode_params"]) == (True, True)
    assert (case["video"]["resolution"], case["pane_count"]) == ("720p", 7)
    assert case["panes"] == [{"x": 0.0, "has_background_image": False}]


def test_an_empty_case_is_an_empty_mixed_task() -> None:
    """What a test leaves out is absent, empty or false."""
    case = facts_of_case({})
    assert case["mix_mode"] == "mixed"
    assert not any(value for name, value in case.items() if name != "mix_mode")


def test_a_case_with_urls_has_a_field_that_they_stand_in() -> None:
    """Outputs are in MultiStreamURL unless the test says otherwise."""
    outputs = [{"host": "a.example.com"}]
    assert facts_of_case({"outputs": outputs})["has_multi_stream_url"] is True
    with_stream_url = facts_of_case({"outputs": outputs, "has_stream_url": True})
    assert (with_stream_url["has_stream_url"], with_stream_url["has_multi_stream_url"]) == (True, False)


def test_a_task_with_absurdly_many_panes_costs_no_more_than_one_with_many() -> None:
    """Of thousands of panes on one spot the first hundred are compared with each other."""
    seen = facts(configuration(panes=(pane(0.0, 0.0, 1.0, 1.0),) * 5000))
    assert seen["pane_count"] == 5000
    assert seen["overlapping_panes"] == 100 * 99 // 2
