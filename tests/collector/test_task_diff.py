"""What changed in a task: every difference has a group, nothing else has one, and no group shows what must not be."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.collector.task_diff import FIELD_GROUPS, OTHER, changed_fields, shown
from exporter.core.push_auth import HostSetting, PushAuthSettings
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Configuration, Task
from tests.metrics.builders import configurations
from tests.support.generated import examples
from tests.support.rows import changed, example_row, json_values, leaf_paths, read, with_change

PATHS = [path for path in leaf_paths(example_row()) if path not in {"AppId", "TaskId"}]
PARAMS, ENCODE = "TranscodeParams", "TranscodeParams.EncodeParams"
PANE, USER = f"{PARAMS}.Layout.UserPanes.0", f"{PARAMS}.UserInfos.0"
SEI = "SeiParams"


EXAMPLE = read(example_row())


@pytest.mark.parametrize(
    ("path", "value", "groups"),
    [
        ("MixMode", "1", ("mode",)),
        ("Region", "AP-Singapore", ("region",)),
        ("Region", "cn-shanghai", ()),
        ("ChannelId", "another", ("channel",)),
        ("StreamURL", "rtmp://example.com/live/another", ("outputs",)),
        ("StreamURL", "", ("outputs",)),
        ("StreamURL", "rtmps://example.com/live/stream", ("outputs",)),
        ("MultiStreamURL.0.IsAliCdn", True, ("outputs",)),
        ("MaxIdleTime", "60", ("idle_timeout",)),
        ("MaxIdleTime", "030", ()),
        ("SingleSubParams.StreamType", "1", ("source",)),
        ("SingleSubParams.UserId", "another", ("users",)),
        (f"{ENCODE}.VideoBitrate", "3000", ("video",)),
        (f"{ENCODE}.EnhancedParam", '{"profile":"main","preset":"veryfast"}', ("video",)),
        (f"{ENCODE}.EnhancedParam", '{"preset": "veryfast", "profile": "high"}', ()),
        (f"{ENCODE}.AudioBitrate", "64", ("audio",)),
        (f"{ENCODE}.AudioOnly", "true", ("audio",)),
        (ENCODE, None, ("video", "audio")),
        (f"{PANE}.X", "0.5", ("layout",)),
        (f"{PARAMS}.Background.RenderMode", "1", ("background",)),
        (f"{PARAMS}.Background.URL", "another", ("background",)),
        (f"{PANE}.BackgroundImageUrl", "another", ("background",)),
        (f"{USER}.UserId", "another", ("users",)),
        (f"{USER}.StreamType", "1", ("users",)),
        (f"{SEI}.PassThrough.PayloadContent", "another", ("sei",)),
        (f"{SEI}.LayoutVolume.Interval", "2000", ("sei",)),
        (f"{ENCODE}.Novelty", "1", (OTHER,)),
    ],
)
def test_a_changed_field_has_its_group(path: str, value: Any, groups: tuple[str, ...]) -> None:
    """Each field belongs to one group, and another spelling of the same value is no change."""
    assert changed_fields(EXAMPLE, with_change(path, value)) == groups


def test_a_renewed_key_is_no_other_destination() -> None:
    """Another signature on the same stream is a change of `push_keys`, another stream one of `outputs` alone."""
    old = "rtmp://example.com/live/stream?auth_key=1893456000-0-0-" + "a" * 32
    before, after = (
        read(changed(changed(example_row(), "MultiStreamURL", []), "StreamURL", url))
        for url in (old, "rtmp://EXAMPLE.com:1935/live/stream?auth_key=1896134400-0-0-" + "b" * 32)
    )
    assert changed_fields(before, after) == ("push_keys",)
    assert (shown(before, "push_keys"), shown(after, "push_keys")) == (
        "alibaba 2030-01-01T00:00:00Z",
        "alibaba 2030-02-01T00:00:00Z",
    )
    huawei = PushAuthSettings((HostSetting("example.com", 60, "huawei"),))
    assert shown(before, "push_keys", huawei) == "huawei 2030-01-01T00:00:00Z"
    other = read(changed(changed(example_row(), "MultiStreamURL", []), "StreamURL", old.replace("stream", "other")))
    assert changed_fields(before, other) == ("outputs",)


@settings(max_examples=examples(100))
@given(st.sampled_from(PATHS), json_values(), st.sampled_from(PATHS), json_values())
def test_a_difference_has_a_group_and_nothing_else_has(path: str, value: Any, other_path: str, other: Any) -> None:
    """Whatever is in two rows, there are groups exactly where their content differs, the same both ways."""
    before, after = with_change(path, value), with_change(other_path, other)
    groups = changed_fields(before, after)
    assert bool(groups) != before.same_content(after)
    assert groups == changed_fields(after, before)
    assert list(groups) == [group for group in FIELD_GROUPS if group in groups]
    assert changed_fields(before, before) == ()


_digests = st.sampled_from([bytes(DIGEST_BYTES), b"12345678"])
_tasks = st.builds(
    lambda channel_id, configuration, digests, times: Task(
        "t", channel_id, configuration, row_digest=0, digests=b"".join(digests), push_times=times
    ),
    st.sampled_from(["", "c", "d"]),
    configurations,
    st.lists(_digests, min_size=len(DIGEST_GROUPS), max_size=len(DIGEST_GROUPS) + 1),
    st.sampled_from([b"", b"\x65\x00\x00\x00"]),
)


@settings(max_examples=examples(300))
@given(_tasks, _tasks)
def test_the_law_holds_for_any_two_tasks(before: Task, after: Task) -> None:
    """Also for tasks that no row would give, a difference has a group, and equal content has none."""
    assert bool(changed_fields(before, after)) != before.same_content(after)
    assert changed_fields(before, msgspec.structs.replace(before, row_digest=7)) == ()


@pytest.mark.parametrize("field", [field for field in Configuration.__struct_fields__ if field != "encoding"])
def test_every_field_of_a_configuration_is_a_change(field: str) -> None:
    """Each field alone, changed to something that it never is, has a group; the rows above do it for the encoding."""
    unlike: Any = () if field == "outputs" else "something else"
    configuration = msgspec.structs.replace(EXAMPLE.configuration, **{field: unlike})
    assert changed_fields(EXAMPLE, msgspec.structs.replace(EXAMPLE, configuration=configuration))


def test_groups_are_shown_in_a_few_words() -> None:
    """What people read of the vendor's example."""
    assert {group: shown(EXAMPLE, group) for group in FIELD_GROUPS} == {
        "mode": "single",
        "region": "CN-Shanghai",
        "channel": "yourChannelId",
        "outputs": "rtmp://example.com",
        "push_keys": None,
        "idle_timeout": "30 s",
        "source": "original camera",
        "video": "H.264 high veryfast 1920x1000 3500 kbit/s 30 fps gop 30",
        "audio": "128 kbit/s 2 channels 44100 Hz",
        "layout": "1 pane",
        "background": "an image",
        "users": "1 user",
        "sei": "type 100 1000 ms layout 1000 ms payload",
        "other": None,
    }


def test_what_is_not_set_is_none() -> None:
    """A task with nothing in it has a mode, and that is all that there is to show."""
    bare = read({"TaskId": "t"})
    assert {group: value for group in FIELD_GROUPS if (value := shown(bare, group)) is not None} == {"mode": "mixed"}


def test_parts_that_are_not_set_are_left_out() -> None:
    """An audio-only task with one number is shown by these."""
    task = read({"TaskId": "t", PARAMS: {"EncodeParams": {"AudioOnly": "true", "AudioBitrate": "64"}}})
    assert (shown(task, "audio"), shown(task, "video")) == ("audio only 64 kbit/s", None)


HIDDEN = {
    "StreamURL": "rtmp://user:swordfish@example.com/swordfish?key=swordfish",
    "MultiStreamURL.0.URL": "srt://example.com:99/swordfish#swordfish",
    "SingleSubParams.UserId": "swordfish",
    f"{PARAMS}.Background.URL": "http://swordfish/swordfish",
    f"{PANE}.UserInfo.UserId": "swordfish",
    f"{PANE}.UserInfo.ChannelId": "swordfish",
    f"{PANE}.BackgroundImageUrl": "swordfish",
    f"{USER}.UserId": "swordfish",
    f"{USER}.ChannelId": "swordfish",
    f"{SEI}.PassThrough.PayloadContent": "swordfish",
    f"{SEI}.PassThrough.PayloadContentKey": "swordfish",
    f"{ENCODE}.Novelty": "swordfish",
    "swordfish": "swordfish",
}
