"""Rows of any shape become Tasks; what is odd costs itself alone."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import MAX_ID_BYTES, Interner, read_row
from exporter.aliyun.response import read_page
from exporter.aliyun.row_schema import MAX_PANES, MAX_URLS, MAX_USERS
from exporter.core.collection_state import State
from exporter.core.task import DIGEST_GROUPS, FIELDS, Output, Pane, PaneUsers, Sei, Source, Task, signed_times
from tests.support.generated import documented_rows
from tests.support.processes import ROOT, clean_environment
from tests.support.rows import VENDOR_EXAMPLE, changed, example_row, json_values, leaf_paths, read, with_change
from tests.support.subtests import for_each

PATHS = leaf_paths(example_row())


def leaf_at(path: str) -> bool:
    """Return whether the vendor's example has a text or a number at a place."""
    place: Any = example_row()
    for step in path.split("."):
        place = place[int(step)] if step.isdigit() else place[step]
    return not isinstance(place, list | dict)


def test_vendors_example_is_read_without_loss() -> None:
    """The vendor's own example, which breaks its own rules, is understood in every field."""
    task = read(bytes(read_page(VENDOR_EXAMPLE.read_bytes()).rows[0]))
    configuration = task.configuration
    assert (task.task_id, task.channel_id) == ("yourTaskId", "yourChannelId")
    assert (configuration.region, configuration.mix_mode) == ("CN-Shanghai", "single")
    assert configuration.idle_timeout_seconds == 30
    assert configuration.outputs == (Output("rtmp", "example.com", is_ali_cdn=False, has_userinfo=False),)
    assert configuration.has_stream_url
    assert configuration.has_multi_stream_url
    assert configuration.has_transcode_params
    assert configuration.source == Source("original", "camera")
    encoding = configuration.encoding
    assert encoding is not None
    assert not encoding.audio_only
    assert msgspec.structs.astuple(encoding.video) == ("H.264", "high", "veryfast", 3500, 30, 30, 1920, 1000)
    assert msgspec.structs.astuple(encoding.audio) == (128, 2, 44100)
    assert configuration.panes == (Pane(0.2456, 0.3789, 0.3564, 0.2632, 0, 0, "camera", has_background_image=True),)
    assert (configuration.background_render_mode, configuration.has_background) == (0, True)
    assert (configuration.users, configuration.user_streams) == (1, (("camera", "original"),))
    assert configuration.sei == Sei(100, 1, 1000, 1, 1000, has_payload=True)
    assert (configuration.field_errors, configuration.unknown_values) == ((), ())
    assert task.digest("other") == bytes(8)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=8)
@given(value=json_values())
def test_any_value_anywhere_costs_at_most_its_own_field(path: str, value: Any) -> None:
    """Whatever JSON is in any one place, the row is read, and only documented field names are reported."""
    row = changed(example_row(), path, value)
    try:
        task = read_row(json.dumps(row).encode(), app_id="yourAppId")
    except ApiError:
        assert path == "AppId"
        return
    if task is None:
        assert path == "TaskId"
        return
    configuration = task.configuration
    hash(configuration)
    assert set(configuration.field_errors + configuration.unknown_values) <= set(FIELDS)
    assert len(task.digests) == 8 * (len(DIGEST_GROUPS) + len(configuration.outputs))
    if not path.startswith("TranscodeParams"):
        assert configuration.encoding == read(example_row()).configuration.encoding


@for_each([path for path in PATHS if not path.startswith(("AppId", "TaskId"))])
def test_a_change_of_any_field_is_a_change_of_content(path: str) -> None:
    """No field can change unseen, also where only a digest is kept or where it can't be read."""
    original = read(example_row())
    one, other = with_change(path, "7 odd"), with_change(path, "8 odd")
    assert not one.same_content(original)
    assert not one.same_content(other)


@for_each(PATHS)
def test_a_field_may_be_absent_null_or_empty(path: str) -> None:
    """Null, the empty string and absence mean the same and are no mistake, of leaves, lists and objects alike."""
    *parents, last = path.split(".")
    if path == "TaskId" or last.isdigit():
        return
    absent = changed(example_row(), path, None)
    place: Any = absent
    for step in parents:
        place = place[int(step)] if step.isdigit() else place[step]
    del place[last]
    expected = read(absent)
    assert expected.configuration.field_errors == expected.configuration.unknown_values == ()
    is_leaf = leaf_at(path)
    values: list[Any] = [None, ""] if is_leaf else [None, "", [], {}]
    for value in values:
        assert with_change(path, value).same_content(expected)


@for_each([path for path in PATHS if leaf_at(path) and path not in {"AppId", "TaskId"}])
def test_a_leaf_that_is_an_empty_list_or_object_can_not_be_read(path: str) -> None:
    """It is another type than is documented, not one of the ways to say nothing."""
    values: list[Any] = [[], {}]
    for value in values[: 1 if path.endswith("EnhancedParam") else None]:  # an object is read where its text belongs
        configuration = with_change(path, value).configuration
        assert configuration.field_errors + configuration.unknown_values


def test_keys_in_another_order_make_no_difference() -> None:
    """Order of keys, white space and escapes are spelling, not content."""

    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(child) for key, child in reversed(value.items())}
        return [reversed_keys(child) for child in value] if isinstance(value, list) else value

    row = {**example_row(), "New": {"b": 1, "a": 2}, "Newer": ["ü"]}
    one = read(row)
    other = read(json.dumps(reversed_keys(row), indent=3, ensure_ascii=False).encode())
    assert one.same_content(other)
    assert one.row_digest != other.row_digest


@pytest.mark.parametrize(
    ("path", "spellings"),
    [
        ("MaxIdleTime", ["30", 30, 30.0, "30.0", " 30 ", "+30"]),
        ("MixMode", ["0", 0]),
        ("Region", ["CN-Shanghai", "cn-shanghai", "CN-SHANGHAI"]),
        ("SingleSubParams.SourceType", ["shareScreen", "sharescreen", "SHARESCREEN"]),
        ("SingleSubParams.StreamType", ["2", 2]),
        ("TranscodeParams.EncodeParams.AudioOnly", ["true", True, "TRUE"]),
        ("TranscodeParams.EncodeParams.VideoCodec", ["H.265", "h.265"]),
        (
            "TranscodeParams.EncodeParams.EnhancedParam",
            ['{"preset":"Fast", "profile":"MAIN"}', {"profile": "main", "preset": "fast"}],
        ),
        ("TranscodeParams.Layout.UserPanes.0.X", ["0.5", 0.5, ".5", "0.50"]),
        ("MultiStreamURL.0.IsAliCdn", [True, "true"]),
    ],
)
def test_equivalent_spellings_are_equal(path: str, spellings: list[Any]) -> None:
    """One meaning in several spellings is one content, without a report."""
    first, *others = (with_change(path, spelling) for spelling in spellings)
    assert first.configuration.field_errors == first.configuration.unknown_values == ()
    for other in others:
        assert other.same_content(first)


@pytest.mark.parametrize(
    "value", ["3o", "1e3", True, [1], {"a": 1}, "30.5", 2**53 + 2, "99999999999999999", 1e300, 2**64, -(10**30)]
)
def test_an_unreadable_number_is_a_field_error(value: Any) -> None:
    """What is no whole number within bounds is counted under its field and has no value."""
    configuration = with_change("TranscodeParams.EncodeParams.VideoBitrate", value).configuration
    assert configuration.field_errors == ("EncodeParams.VideoBitrate",)
    assert configuration.encoding is not None
    assert configuration.encoding.video.bitrate_kbps is None


def test_an_unknown_name_is_kept_and_cut() -> None:
    """What is there is kept to be shown, up to 64 characters; another tail is a change all the same."""
    one, other = with_change("Region", "X" * 100), with_change("Region", "X" * 101)
    assert one.configuration.region == "X" * 64
    assert not one.same_content(other)


def test_outputs_are_the_distinct_urls_in_a_fixed_order() -> None:
    """A URL counts once over both fields, IsAliCdn of the list wins, and the list's order makes no difference."""
    urls = [
        {"URL": "srt://b.example.com:9000?streamid=x", "IsAliCdn": True},
        {"URL": "rtmp://example.com/live/stream"},
        {"URL": "rtmp://example.com/live/stream", "IsAliCdn": False},
        {"URL": ""},
        {"URL": "rtmp://example.com/live/Stream", "IsAliCdn": True},
    ]
    task = with_change("MultiStreamURL", urls)
    assert task.configuration.outputs == (
        Output("rtmp", "example.com", is_ali_cdn=False, has_userinfo=False),
        Output("rtmp", "example.com", is_ali_cdn=True, has_userinfo=False),
        Output("srt", "b.example.com", is_ali_cdn=True, has_userinfo=False),
    )
    assert len(set(task.stream_digests)) == 3
    assert task.same_content(with_change("MultiStreamURL", urls[::-1]))


def with_id(task_id: str) -> dict[str, Any]:
    """Return the vendor's example as another task."""
    return changed(example_row(), "TaskId", task_id)


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("TranscodeParams.UserInfos.0.UserId", "users"),
        ("TranscodeParams.UserInfos.0.ChannelId", "users"),
        ("SingleSubParams.UserId", "users"),
        ("TranscodeParams.Layout.UserPanes.0.UserInfo.UserId", "users"),
        ("TranscodeParams.Background.URL", "background"),
        ("TranscodeParams.Layout.UserPanes.0.BackgroundImageUrl", "background"),
        ("SeiParams.PassThrough.PayloadContent", "sei"),
        ("SeiParams.PassThrough.PayloadContentKey", "sei"),
        ("NewField", "other"),
        ("TranscodeParams.NewField", "other"),
        ("TranscodeParams.Layout.UserPanes.0.NewField", "other"),
    ],
)
def test_what_must_not_be_kept_changes_only_its_digest(path: str, group: str) -> None:
    """Users, images, payloads and unknown fields are seen to change without being kept."""
    original, other = read(example_row()), with_change(path, "something else")
    same_panes = msgspec.structs.replace(other.configuration, pane_users=original.configuration.pane_users)
    assert same_panes == original.configuration
    assert [name for name in DIGEST_GROUPS if other.digest(name) != original.digest(name)] == [group]
    assert "something else" not in repr(other)


PANE_USER = {"UserId": "u", "ChannelId": "c", "SourceType": "camera"}
SCREEN = {**PANE_USER, "SourceType": "shareScreen"}
LISTED = {"UserId": "u", "ChannelId": "c"}


@pytest.mark.parametrize(
    ("panes", "listed", "expected"),
    [
        ([], [LISTED], PaneUsers()),
        ([PANE_USER], [], PaneUsers()),
        ([PANE_USER], [LISTED], PaneUsers()),
        ([PANE_USER, SCREEN], [LISTED], PaneUsers()),
        ([PANE_USER], [{"UserId": "u"}], PaneUsers(unlisted=1)),
        ([PANE_USER, {"UserId": "u"}], [LISTED, {"UserId": "u", "ChannelId": "yourChannelId"}], PaneUsers()),
        ([PANE_USER], [{**LISTED, "StreamType": "1"}], PaneUsers(audio=1)),
        ([PANE_USER], [{**LISTED, "StreamType": "1"}, {**LISTED, "StreamType": "2"}], PaneUsers()),
        ([PANE_USER, PANE_USER, SCREEN], [LISTED], PaneUsers(repeated=1)),
        ([{"UserId": ""}, {"UserId": [1]}, {"UserId": 7}], [{"UserId": "7"}], PaneUsers()),
    ],
)
def test_panes_are_compared_with_the_listed_users(panes: list[Any], listed: list[Any], expected: PaneUsers) -> None:
    """A user without a channel is of the task's channel, and one who is only heard has no picture to show."""
    row = changed(example_row(), "TranscodeParams.UserInfos", listed)
    row = changed(row, "TranscodeParams.Layout.UserPanes", [{"UserInfo": user} for user in panes])
    assert read(row).configuration.pane_users == expected


def test_whose_key_expires_when_is_read_of_each_output() -> None:
    """Each output has its signer, and its time beside the digests, in the order of the outputs."""
    urls = [
        {"URL": "rtmp://b.example.com/a/s?txTime=6B49D200&txSecret=" + "a" * 32},
        {"URL": "rtmp://a.example.com/a/s"},
    ]
    task = with_change("MultiStreamURL", urls)
    signers = zip(task.configuration.outputs, signed_times(task.push_times), strict=True)
    assert [(output.host, output.signer, time) for output, time in signers] == [
        ("a.example.com", "none", 0),
        ("b.example.com", "tencent", 1_800_000_000),
        ("example.com", "none", 0),
    ]


@pytest.mark.parametrize("app_id", [None, "", "yourAppId"])
def test_an_absent_app_id_is_fine(app_id: str | None) -> None:
    """A row that does not name its app is taken for one of the app that was asked for."""
    assert with_change("AppId", app_id).task_id == "yourTaskId"


def test_a_row_of_another_app_is_refused() -> None:
    """A row that names another app ends the reading as an answer that can't be right."""
    with pytest.raises(ApiError) as caught:
        with_change("AppId", "another")
    assert caught.value.state is State.INVALID_RESPONSE
    assert not caught.value.retryable


@pytest.mark.parametrize("raw", [b"{}", b"null", b"[]", b'"x"', b'{"TaskId": ""}', b'{"TaskId": []}', b"{", b"\xff"])
def test_a_row_without_task_id_is_none(raw: bytes) -> None:
    """What names no task is no task."""
    assert read_row(raw, app_id="a") is None


@pytest.mark.parametrize("letter", ["x", "\u4e2d", "\\"])
def test_ids_have_a_bound(letter: str) -> None:
    """A row whose TaskId is far too long is left out; a ChannelId that is counts as unreadable."""
    length = MAX_ID_BYTES // len(letter.encode())
    assert with_change("TaskId", letter * length).task_id == letter * length
    assert with_change("ChannelId", letter * length).channel_id == letter * length
    too_long = letter * (length + 1)
    assert read_row(json.dumps(with_id(too_long)).encode(), app_id="yourAppId") is None
    task, other = with_change("ChannelId", too_long), with_change("ChannelId", too_long + letter)
    assert task.channel_id == ""
    assert task.configuration.field_errors == ("ChannelId",)
    assert not task.same_content(other)


@pytest.mark.parametrize("key", ["TaskId", "UnknownKey"])
@pytest.mark.parametrize(
    ("path", "element", "most", "field"),
    [
        ("MultiStreamURL", {"URL": "rtmp://a.example/%d"}, MAX_URLS, "MultiStreamURL"),
        ("TranscodeParams.Layout.UserPanes", {"X": "0.%d"}, MAX_PANES, "UserPanes"),
        ("TranscodeParams.UserInfos", {"UserId": "u%d"}, MAX_USERS, "UserInfos"),
    ],
)
def test_lists_have_a_bound(path: str, element: dict[str, str], most: int, field: str, key: str) -> None:
    """A list that is longer than any that is meant is a field error; the task is there without it."""

    def read_with(count: int, shift: int = 0) -> Task:
        elements = [{name: text % (number + shift) for name, text in element.items()} for number in range(count)]
        return read({**changed(example_row(), path, elements), key: "yourTaskId"})

    assert field not in read_with(most).configuration.field_errors
    task = read_with(most + 1)
    assert task.configuration.field_errors.count(field) == 1
    assert not task.same_content(read_with(most + 1, 1))
    configuration = task.configuration
    assert len({"MultiStreamURL": configuration.outputs[1:], "UserPanes": configuration.panes}.get(field, ())) == 0
    assert configuration.users == (0 if field == "UserInfos" else 1)


@pytest.mark.parametrize("odd", [rb'"\ud800"', b'"\xff\xfe"', b"1e999", b"9" * 6000])
def test_broken_unicode_and_absurd_numbers_cost_only_themselves(odd: bytes) -> None:
    """What the strict decoder refuses leaves the rest of its row as it is."""
    raw = json.dumps(example_row()).encode().replace(b'"yourSubUserId"', odd, 1)
    assert read(raw).configuration.encoding == read(example_row()).configuration.encoding


@pytest.mark.parametrize("key", ["MaxIdleTime", "New"])
def test_no_depth_of_nesting_raises(key: str) -> None:
    """Deep nesting, also at the edge of what can be decoded, costs at most its row."""
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit() + 10):
        raw = f'{{"TaskId": "t", "{key}": {"[" * depth}1{"]" * depth}}}'
        task = read_row(raw.encode(), app_id="a")
        assert task is None or task.task_id == "t"


def test_equal_configurations_are_one_object() -> None:
    """Tasks that are set up alike share their configuration, and unlike ones share the parts that are equal."""
    share = Interner()
    rows = (with_id("1"), with_id("2"), changed(with_id("3"), "Region", "AP-Singapore"))
    one, other, third = (read(row, share) for row in rows)
    assert one.configuration is other.configuration
    assert third.configuration.encoding is one.configuration.encoding


@given(st.lists(documented_rows(), max_size=4))
def test_what_is_read_once_for_many_rows_is_what_each_would_be_read_as(rows: list[dict[str, Any]]) -> None:
    """Whatever rows were read before, a row becomes the task that it becomes alone."""
    share = Interner()
    for row in [*rows, *({**row, "New": 1, "UserInfos": "x"} for row in rows), *reversed(rows)]:
        raw = json.dumps(row).encode()
        assert read_row(raw, app_id="a", share=share) == read_row(raw, app_id="a")


@for_each([path for path in PATHS if not path.startswith(("AppId", "TaskId"))])
def test_rows_that_differ_in_one_place_are_reported_apart_after_sharing(path: str) -> None:
    """A row with one other value is read as it is, also right after the row from which it differs."""
    share = Interner()
    assert read(example_row(), share) == read(example_row())
    for value in ("7", "1", None, [1], "rtmp://one.example/live/s", "rtmp://two.example/live/s"):
        row = changed(example_row(), path, value)
        assert read(row, share) == read(row)


def test_what_is_shared_holds_nothing_of_anybody() -> None:
    """Neither ids nor URLs nor payloads stay behind in what many tasks have in common."""
    share = Interner()
    read(changed(example_row(), "StreamURL", "rtmp://user:password@example.com/live/key"), share)
    kept = repr(share._known)
    assert "example.com" in kept
    for secret in ("your", "password", "live/"):
        assert secret not in kept


def test_sei_params_are_read_in_both_places() -> None:
    """SeiParams is beside TranscodeParams, as the vendor's table says; inside it, it is read all the same."""
    row = example_row()
    beside = read(row)
    assert beside.configuration.sei is not None
    row["TranscodeParams"]["SeiParams"] = row.pop("SeiParams")
    assert read(row).same_content(beside)


def test_sei_params_in_both_places_are_seen_to_change() -> None:
    """Where both places say something, the row's own counts, and a change of the other is seen."""
    row = example_row()
    row["TranscodeParams"]["SeiParams"] = row["SeiParams"]
    row["SeiParams"] = {"PayloadType": "101"}
    other = changed(row, "TranscodeParams.SeiParams.LayoutVolume.Interval", "2000")
    sei = read(row).configuration.sei
    assert sei is not None
    assert sei.payload_type == 101
    assert read(other).configuration == read(row).configuration
    assert not read(other).same_content(read(row))


@pytest.mark.parametrize(
    "empty",
    [
        {},
        "",
        [],
        {"EncodeParams": {"AudioOnly": ""}},
        {"Layout": {"UserPanes": []}, "UserInfos": ""},
        {"Background": {}},
    ],
)
def test_an_object_that_says_nothing_is_absent(empty: object) -> None:
    """An object of which every member is absent, null or empty means the same as no object, and so for MixMode."""
    row = {key: value for key, value in example_row().items() if key != "MixMode"}
    task = read({**row, "TranscodeParams": empty})
    assert task.same_content(read({**row, "TranscodeParams": None}))
    assert task.configuration.mix_mode == "single"


_DIGESTS = """
import sys, msgspec
from exporter.aliyun.parse_task import read_row
from exporter.metrics.per_task_families import _hash
print(msgspec.json.encode(read_row(sys.stdin.buffer.read(), app_id="yourAppId")), _hash("yourTaskId"))
"""


def test_digests_are_the_same_in_every_process() -> None:
    """They are stored and compared after a restart, and choose the tasks that have series in every replica."""
    row = json.dumps({**example_row(), "Novelty": 1}).encode()
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGESTS],
            input=row,
            stdout=subprocess.PIPE,
            check=True,
            env=clean_environment(ROOT) | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.integers(min_value=1, max_value=3))
def test_interning_is_bounded_and_returns_equals(values: list[str], limit: int) -> None:
    """However small the pool, what comes back equals what went in; what is recalled was remembered last, or nothing."""
    share, memory = Interner(limit), Interner(limit)
    for value in values:
        assert share((value,)) == (value,)
        assert memory.recall((value,)) in {None, value}
        memory.remember((value,), value)
        assert memory.recall((value,)) == value
        assert max(len(share._known), len(memory._known)) <= limit
