"""Finished bytes: what a scrape sees, when, in which format and encoding."""

import asyncio
import gzip
import subprocess
import threading
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.core.task import Configuration
from exporter.metrics import exposition as exposition_module
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Assembly, Body, Exposition, Format, Piece, families
from exporter.metrics.family import Family, Label, Sample
from exporter.metrics.per_task_families import per_task_families
from exporter.metrics.self_metrics import SelfMetrics
from tests.metrics.builders import FULL_TASK, STATUS, aggregates_of, configuration, configurations, encoding, push
from tests.support.generated import examples
from tests.support.processes import needed_tool

Samples = list[Sample]


def _exposition() -> Exposition[AppReport]:
    """Return one of all families, with an account, and no app yet."""
    metrics = SelfMetrics(version="1.2.3")
    metrics.add_account("prod")
    return Exposition(families(), metrics)


def _report(app_id: str, *tasks: Configuration) -> AppReport:
    """Return the report of an app with data."""
    return AppReport(msgspec.structs.replace(STATUS, app_id=app_id), aggregates_of(tasks))


def _published(**apps: Iterable[Configuration]) -> Exposition[AppReport]:
    """Return one in which the tasks of some apps are published."""
    exposition = _exposition()
    for app_id, tasks in apps.items():
        exposition.update(("prod", app_id), _report(app_id, *tasks))
    exposition.publish()
    return exposition


def _bytes(body: Body) -> bytes:
    """Return the whole body, uncompressed."""
    whole = b"".join(body.chunks)
    assert len(whole) == body.length
    return _one_member(whole) if body.gzip else whole


def _one_member(member: bytes) -> bytes:
    """Return the bytes of one gzip member, as three decoders read it to its end, and nothing behind it."""
    plain = gzip.decompress(member)
    for decompressor in (zlib.decompressobj(31), isal_zlib.decompressobj(31)):
        assert decompressor.decompress(member) == plain
        assert (decompressor.eof, decompressor.unused_data) == (True, b"")
    return plain


def _text(exposition: Exposition[Any], exposition_format: Format = Format.TEXT, *, gzip: bool = False) -> str:
    """Return what a scrape sees."""
    return _bytes(exposition.body(exposition_format, gzip=gzip)).decode()


def _about_apps(text: str) -> str:
    """Return what is before the exporter's own metrics."""
    return text[: text.index("# HELP rtcmpu_exporter_build")]


def _samples(read: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """Return value by name and labels of everything about apps."""
    samples = [sample for metric in read for sample in metric.samples]
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for sample in samples
        if sample.name.startswith("rtcmpu_") and not sample.name.startswith("rtcmpu_exporter_")
    }


@settings(max_examples=examples(40))
@given(st.lists(configurations, max_size=6))
def test_both_official_parsers_read_the_same(tasks: list[Configuration]) -> None:
    """Whatever the tasks are, text and OpenMetrics are well-formed and say the same."""
    exposition = _published(live=tasks)
    in_text = _samples(parse_text(_text(exposition)))
    in_openmetrics = _samples(parse_openmetrics(_text(exposition, Format.OPENMETRICS)))  # type: ignore[no-untyped-call]
    assert in_text == in_openmetrics
    assert in_text["rtcmpu_up", "account=prod", "app_id=live"] == 1


@pytest.mark.parametrize("exposition_format", Format)
def test_gzip_says_the_same_as_plain(exposition_format: Format) -> None:
    """A compressed body is one member with the plain body's bytes."""
    exposition = _published(one=[configuration()], two=[configuration()])
    plain = _text(exposition, exposition_format)
    compressed = _text(exposition, exposition_format, gzip=True)
    assert _about_apps(compressed) == _about_apps(plain)
    assert plain.endswith("# EOF\n") == compressed.endswith("# EOF\n") == (exposition_format is not Format.TEXT)
    assert exposition.body(exposition_format, gzip=True).content_type == exposition_format.value


def test_every_family_is_announced_before_there_is_any_app() -> None:
    """HELP and TYPE are there from the start, and no sample."""
    text = _about_apps(_text(_exposition()))
    for family in families():
        assert f"# HELP {family.name} " in text
    assert all(line.startswith("#") for line in text.splitlines())


def test_series_do_not_grow_with_tasks() -> None:
    """A thousand tasks of one kind take as many lines as one."""
    one, many = _published(live=[configuration()]), _published(live=[configuration()] * 1000)
    assert len(_about_apps(_text(one)).splitlines()) == len(_about_apps(_text(many)).splitlines())


def test_changes_show_when_they_are_published() -> None:
    """Updates in between are invisible, and published together."""
    exposition = _exposition()
    before = _about_apps(_text(exposition))
    exposition.update(("prod", "one"), _report("one", configuration()))
    exposition.update(("prod", "two"), _report("two", configuration(), configuration()))
    assert _about_apps(_text(exposition)) == before
    exposition.publish()
    text = _text(exposition)
    for app_id, tasks in (("one", "1.0"), ("two", "2.0")):
        labels = f'account="prod",app_id="{app_id}",task_region="CN-Shanghai",mix_mode="mixed"'
        assert f"rtcmpu_tasks{{{labels}}} {tasks}\n" in text


def test_apps_stand_in_the_order_of_their_keys() -> None:
    """The order of their updates makes no difference."""
    one, other = _published(a=(), b=(), c=()), _published(c=(), a=(), b=())
    assert _about_apps(_text(one)) == _about_apps(_text(other))


def test_withdrawn_data_comes_back() -> None:
    """The same aggregates are published again after they were withdrawn, though nothing changed in them."""
    exposition = _exposition()
    with_data = _report("live", configuration())
    exposition.update(("prod", "live"), with_data)
    exposition.publish()
    before = _about_apps(_text(exposition))
    exposition.update(("prod", "live"), AppReport(with_data.status, None))
    exposition.publish()
    assert "rtcmpu_tasks{" not in _text(exposition)
    exposition.update(("prod", "live"), with_data)
    exposition.publish()
    assert _about_apps(_text(exposition)) == before


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.lists(configurations, max_size=2)), max_size=6))
def test_the_way_to_a_state_makes_no_difference(steps: list[tuple[str, list[Configuration] | None]]) -> None:
    """Updates, removals and publications in any order end in what a fresh start would publish."""
    walked = _exposition()
    last: dict[str, list[Configuration]] = {}
    for app_id, tasks in steps:
        if tasks is None:
            walked.remove(("prod", app_id))
            last.pop(app_id, None)
        else:
            walked.update(("prod", app_id), _report(app_id, *tasks))
            last[app_id] = tasks
        walked.publish()
    fresh = _published(**last)
    for exposition_format in (Format.TEXT, Format.OPENMETRICS):
        assert _about_apps(_text(walked, exposition_format)) == _about_apps(_text(fresh, exposition_format))


NUMBERS: tuple[Family[Samples], ...] = tuple(
    Family(name=name, kind="gauge", help="X.", labels=(Label("app"),), samples=lambda samples: samples)
    for name in ("x_one", "x_two")
)


def test_only_changed_families_are_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines once more cost nothing."""
    compressed: list[set[str]] = []
    honest = exposition_module._compressed

    def watched(changes: dict[str, tuple[tuple[bytes, ...], ...]], known: Any) -> object:
        compressed.append(set(changes))
        return honest(changes, known)

    def only_second(samples: Samples) -> Samples:
        return [(values, value) for values, value in samples if value > 1]  # type: ignore[operator]

    monkeypatch.setattr(exposition_module, "_compressed", watched)
    second = msgspec.structs.replace(NUMBERS[1], samples=only_second)
    exposition: Exposition[Samples] = Exposition((NUMBERS[0], second), SelfMetrics(version="1"))
    for value in (1, 1, 1.5, 0.5):
        exposition.update(("a",), [(("a",), value)])
        exposition.publish()
    assert compressed == [{"x_one", "x_two"}, {"x_one"}, {"x_one", "x_two"}, {"x_one", "x_two"}]


def test_only_neighbours_of_a_changed_app_are_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One app among many costs a group of them, and what is served is what a fresh start would publish."""
    size = exposition_module.GROUP_SIZE
    compressed: list[int] = []
    honest = exposition_module._LineGroup.of

    def watched(lines: tuple[tuple[bytes, ...], ...]) -> object:
        compressed.append(len(lines))
        return honest(lines)

    monkeypatch.setattr(exposition_module._LineGroup, "of", watched)

    def served(values: dict[str, float], exposition: Exposition[Samples]) -> list[bytes]:
        for app, value in values.items():
            exposition.update((app,), [((app,), value)])
        exposition.publish()
        return [_bytes(exposition.body(format_, gzip=gzip)) for format_ in Format for gzip in (False, True)]

    exposition = Exposition(NUMBERS[:1], SelfMetrics(version="1"), own_metrics_follow=False)
    values = {f"app-{number:03}": 1.0 for number in range(3 * size + 1)}
    served(values, exposition)
    assert compressed == [size, size, size, 1]
    compressed.clear()
    now_served = served({"app-040": 2.0}, exposition)
    assert compressed == [size]
    fresh: Exposition[Samples] = Exposition(NUMBERS[:1], SelfMetrics(version="1"), own_metrics_follow=False)
    assert now_served == served(values | {"app-040": 2.0}, fresh)


def test_samples_of_a_known_version_are_not_computed() -> None:
    """While the version stays, nobody asks for samples; after a removal everything is new."""
    asked: list[int] = []

    def samples(report: int) -> Samples:
        asked.append(report)
        return [((), report)]

    family: Family[int] = Family(
        name="x", kind="gauge", help="X.", samples=samples, version=lambda report: report // 10 or None
    )
    exposition = Exposition((family,), SelfMetrics(version="1"))
    for report in (10, 11, 20, 1, 2):
        exposition.update(("a",), report)
    exposition.remove(("a",))
    exposition.update(("a",), 21)
    assert asked == [10, 20, 1, 2, 21]


@pytest.mark.parametrize("exposition_format", Format)
async def test_the_exporters_own_metrics_are_published_by_themselves(exposition_format: Format) -> None:
    """A scrape has them as they were last published, in every format, without a publication of the others."""
    metrics = SelfMetrics(version="1.2.3")
    exposition = Exposition(families(), metrics)
    metrics.message_logged("error")
    assert 'rtcmpu_exporter_log_messages_total{level="error"} 0.0\n' in _text(exposition, exposition_format)
    await exposition.publish_own_off_loop()
    for packed in (False, True):
        text = _text(exposition, exposition_format, gzip=packed)
        assert 'rtcmpu_exporter_log_messages_total{level="error"} 1.0\n' in text
        assert text.endswith("# EOF\n") == (exposition_format is not Format.TEXT)


@pytest.mark.parametrize("exposition_format", Format)
def test_the_exporters_own_metrics_can_be_left_out(exposition_format: Format) -> None:
    """Beside another exposition that has them there is nothing but the families, and the end of the format."""
    exposition: Exposition[Samples] = Exposition(NUMBERS, SelfMetrics(version="1"), own_metrics_follow=False)
    exposition.update(("a",), [(("a",), 1)])
    exposition.publish()
    lines = _text(exposition, exposition_format).splitlines()
    assert [line for line in lines if not line.startswith("#")] == ['x_one{app="a"} 1.0', 'x_two{app="a"} 1.0']
    assert (lines[-1] == "# EOF") == (exposition_format is not Format.TEXT)
    assert _text(exposition, exposition_format, gzip=True).splitlines() == lines


def test_rendering_is_measured_and_series_are_counted() -> None:
    """The number of series is that of the lines about apps in the text format."""
    ticks = iter([0.0, 1.0, 10.0, 12.5])
    exposition = Exposition(families(), SelfMetrics(version="1.2.3"), timer=lambda: next(ticks))
    tasks = [configuration(encoding=encoding(bitrate_kbps=1), outputs=(push(),))]
    exposition.update(("prod", "live"), _report("live", *tasks))
    exposition.publish()
    exposition.publish_own()
    text = _text(exposition)
    lines = [line for line in _about_apps(text).splitlines() if not line.startswith("#")]
    assert f'rtcmpu_exporter_series{{path="/metrics"}} {len(lines)}.0\n' in text
    assert 'rtcmpu_exporter_render_duration_seconds{path="/metrics"} 2.5\n' in text


async def test_publishing_off_the_loop_compresses_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on meanwhile, updates in between wait for the next time, and nothing is lost."""
    honest = exposition_module._compressed
    loop, started, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def slow(*arguments: Any) -> object:
        threads.append(threading.current_thread())
        loop.call_soon_threadsafe(started.set)
        may_go_on.wait(5)
        return honest(*arguments)

    exposition: Exposition[Samples] = Exposition(NUMBERS, SelfMetrics(version="1"))
    monkeypatch.setattr(exposition_module, "_compressed", slow)
    exposition.update(("a",), [(("a",), 1)])
    publishing = asyncio.create_task(exposition.publish_off_loop())
    await started.wait()
    exposition.update(("b",), [(("b",), 2)])
    assert "x_one{" not in _text(exposition)
    may_go_on.set()
    await publishing
    assert threads[0] is not threading.main_thread()
    first = _text(exposition)
    assert ('x_one{app="a"} 1.0' in first, 'x_one{app="b"} 2.0' in first) == (True, False)
    await exposition.publish_off_loop()
    await exposition.publish_off_loop()
    assert 'x_one{app="b"} 2.0' in _text(exposition)


async def test_changes_survive_a_publication_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be published is published the next time."""
    exposition: Exposition[Samples] = Exposition(NUMBERS, SelfMetrics(version="1"))
    exposition.update(("a",), [(("a",), 1)])

    def failing(*_: object) -> object:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(exposition_module, "_compressed", failing)
        with pytest.raises(MemoryError):
            await exposition.publish_off_loop()
    await exposition.publish_off_loop()
    assert 'x_one{app="a"} 1.0' in _text(exposition)


@pytest.mark.processes
def test_promtool_finds_nothing_to_criticise() -> None:
    """Prometheus's own linter accepts every name, type, unit and help of both paths' text format."""
    tasks = Exposition(per_task_families(), SelfMetrics(version="1"), own_metrics_follow=False)
    tasks.update(("0",), [FULL_TASK])
    tasks.publish()
    for text, series in (
        (_text(_published(live=[FULL_TASK.entry.configuration])), "rtcmpu_task_gop_duration_seconds_bucket{"),
        (_text(tasks), "rtcmpu_task_config_gop_duration_seconds{"),
    ):
        assert series in text
        command = [str(needed_tool("promtool")), "check", "metrics"]
        checked = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
        assert (checked.stdout + checked.stderr, checked.returncode) == ("", 0)


_parts = st.lists(st.binary(max_size=300) | st.binary(max_size=30).map(lambda part: part * 1000), max_size=8)


@given(_parts, st.binary(max_size=100))
def test_pieces_and_last_bytes_are_one_gzip_member(parts: list[bytes], last: bytes) -> None:
    """Whatever pieces follow one another, two decoders read all of it as a single member with a right checksum."""
    assembly = Assembly.of(Piece.of(part) for part in parts)
    assert _one_member(assembly.gzip + assembly.gzip_end(Piece.of(last))) == b"".join((*parts, last))


@given(_parts)
def test_plain_chunks_hold_the_same_bytes(parts: list[bytes]) -> None:
    """Plain and compressed bodies say the same, and the length is right."""
    assembly = Assembly.of(Piece.of(part) for part in parts)
    assert b"".join(assembly.plain) == b"".join(parts)
    assert assembly.length == sum(map(len, parts))
    assert all(assembly.plain)


def test_a_large_piece_is_not_copied() -> None:
    """It is sent as it is kept, and what is small around it takes few writes."""
    large = Piece.of(bytes(100_000))
    assembly = Assembly.of([Piece.of(b"a"), Piece.of(b"b"), large, Piece.of(b"c")])
    assert [len(chunk) for chunk in assembly.plain] == [2, 100_000, 1]
    assert assembly.plain[1] is large.plain


@pytest.mark.processes
def test_the_command_gzip_reads_it() -> None:
    """The tool that people have at hand takes it for an intact file."""
    assembly = Assembly.of([Piece.of(b"first\n" * 100), Piece.of(b"second\n" * 100)])
    member = assembly.gzip + assembly.gzip_end(Piece.of(b"last\n"))
    unpacked = subprocess.run(["gzip", "-dc"], input=member, capture_output=True, check=True, timeout=10)
    assert unpacked.stdout == b"first\n" * 100 + b"second\n" * 100 + b"last\n"
    assert unpacked.stderr == b""
