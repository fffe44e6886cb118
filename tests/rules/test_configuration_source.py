"""Tests of where the configuration comes from."""

import os
from pathlib import Path

import pytest
import trustme

from exporter.config.mistakes import ConfigError
from exporter.config.model import Config
from exporter.rules.rule_loader import ConfigurationSource, LoadedRules, load
from exporter.rules.rule_set import RuleSet
from tests.support.configurations import account, write_configuration

ENDPOINT = "https://live.example.com"
RULE = "rules:\n  - {name: new, title: New, severity: info, expect: task.audio_only}\n"


def _source(directory: Path, patterns: str) -> ConfigurationSource:
    """Return a source whose files of apps are `patterns`."""
    return ConfigurationSource.of_file(
        write_configuration(directory, account(ENDPOINT, more=f"app_files: [{patterns}]")), {}
    )


def _changed(source: ConfigurationSource) -> bool:
    """Return whether a second look finds a change that has settled."""
    source.change_has_settled()
    return source.change_has_settled()


def _ids(loaded: LoadedRules) -> list[str]:
    return [app.id for one in loaded.config.accounts for app in one.apps]


def _replace(path: Path, content: str) -> None:
    """Write a file in one step, so that its state is surely another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(content)
    new.rename(path)


def test_before_the_first_load_nothing_has_changed(tmp_path: Path) -> None:
    """A source that was never loaded watches nothing."""
    assert not _changed(_source(tmp_path, "'*.apps'"))


@pytest.mark.parametrize(
    ("pattern", "file"),
    [("'*.apps'", "a.apps"), ("teams/*/apps.yml", "teams/one/apps.yml"), ("'**/apps.yml'", "a/b/c/apps.yml")],
)
def test_a_file_that_comes_changes_or_goes_is_noticed(pattern: str, file: str, tmp_path: Path) -> None:
    """Each of the three is a change until the next load, which brings the apps in; a second look finds no other."""
    source = _source(tmp_path, pattern)
    assert _ids(source.load()) == ["app-1"]
    assert not _changed(source)

    _replace(tmp_path / file, "- id: app-2\n")
    assert _changed(source)
    assert _ids(source.load()) == ["app-1", "app-2"]
    assert not _changed(source)

    _replace(tmp_path / file, "- id: app-3\n")
    assert _changed(source)
    assert _ids(source.load()) == ["app-1", "app-3"]

    (tmp_path / file).unlink()
    assert _changed(source)
    assert _ids(source.load()) == ["app-1"]
    assert not _changed(source)


def test_a_file_that_is_named_is_followed_in_a_directory_with_odd_characters(tmp_path: Path) -> None:
    """A name without a pattern is looked for as it is, wherever it is."""
    directory = tmp_path / "team [a] *"
    _replace(directory / "apps.yml", "- id: app-2\n")
    source = _source(directory, "apps.yml")
    source.load()
    assert not _changed(source)

    _replace(directory / "apps.yml", "- id: app-3\n")
    assert _changed(source)


def test_a_bad_file_is_refused_once_and_noticed_again_when_it_is_mended(tmp_path: Path) -> None:
    """A file with mistakes does not make every later look a change; mending it does."""
    source = _source(tmp_path, "'*.apps'")
    source.load()
    _replace(tmp_path / "a.apps", "- nonsense\n")

    with pytest.raises(ConfigError):
        source.load()
    assert not _changed(source)

    _replace(tmp_path / "a.apps", "- id: app-2\n")
    assert _changed(source)
    assert _ids(source.load()) == ["app-1", "app-2"]


@pytest.mark.parametrize(
    ("more", "policy", "file", "mended"),
    [
        ("", "policy: {rule_files: [new.yml]}", "new.yml", RULE),
        ("app_files: [new.yml]", "", "new.yml", "- id: app-2\n"),
        ("ca_file: new.pem", "", "new.pem", trustme.CA().cert_pem.bytes().decode()),
    ],
    ids=["rules", "apps", "ca_file"],
)
@pytest.mark.parametrize("bad", ["nonsense\n", None], ids=["bad", "missing"])
def test_a_refused_configuration_is_tried_again_when_a_file_that_it_names_is_mended(
    more: str, policy: str, file: str, mended: str, bad: str | None, tmp_path: Path
) -> None:
    """A mistake in another file, or that it is missing, need not be mended by touching the configuration, too."""
    directory = tmp_path / "team [a] *"
    directory.mkdir()
    source = _source(directory, "'*.apps'")
    source.load()
    write_configuration(directory, account(ENDPOINT, more=more), rest=policy)
    if bad is not None:
        _replace(directory / file, bad)
    assert _changed(source)
    with pytest.raises(ConfigError):
        source.load()
    assert not _changed(source)

    _replace(directory / file, mended)
    assert _changed(source)
    source.load()
    assert not _changed(source)


def test_a_ca_file_that_is_renewed_is_no_other_configuration(tmp_path: Path) -> None:
    """The account that has it follows it by itself."""
    write_configuration(tmp_path, account(ENDPOINT, more="ca_file: ca.pem"))
    source = ConfigurationSource.of_file(tmp_path / "rtcmpu.yml", {})
    _replace(tmp_path / "ca.pem", trustme.CA().cert_pem.bytes().decode())
    before = source.load()
    _replace(tmp_path / "ca.pem", trustme.CA().cert_pem.bytes().decode())
    assert not _changed(source)
    assert source.load().sha256 == before.sha256


def test_a_configuration_that_goes_is_loaded_when_it_is_back(tmp_path: Path) -> None:
    """Some editors and mounts take a file away for a while: that is refused once."""
    source = _source(tmp_path, "'*.apps'")
    source.load()
    (tmp_path / "rtcmpu.yml").rename(tmp_path / "away")
    assert _changed(source)
    with pytest.raises(ConfigError):
        source.load()
    assert not _changed(source)

    (tmp_path / "away").rename(tmp_path / "rtcmpu.yml")
    assert _changed(source)
    assert _ids(source.load()) == ["app-1"]


def test_a_file_that_can_not_be_read_for_a_bug_is_not_read_over_and_over(tmp_path: Path) -> None:
    """Whatever a load raises, the next one is for another state of the files."""
    path = write_configuration(tmp_path, account(ENDPOINT))

    def read() -> LoadedRules:
        if path.read_text().endswith("# 1\n"):
            raise ValueError("a bug")
        return load(path, {})

    source = ConfigurationSource(read)
    source.load()
    path.write_text(path.read_text() + "# 1\n")
    assert _changed(source)
    with pytest.raises(ValueError, match="a bug"):
        source.load()
    assert not _changed(source)


@pytest.mark.parametrize("linked", ["a.apps", "rtcmpu.yml"])
def test_a_link_that_is_switched_is_noticed(tmp_path: Path, linked: str) -> None:
    """Mounted files are often links into a directory that is exchanged whole: what they lead to counts."""
    _source(tmp_path, "'*.apps'")
    for name in ("one", "two"):
        _replace(tmp_path / name / "a.apps", f"- id: app-{name}\n")
        write_configuration(tmp_path / name, account(ENDPOINT, [f"app-{name}"]))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / linked).unlink(missing_ok=True)
    (tmp_path / linked).symlink_to(f"data/{linked}")
    source = ConfigurationSource.of_file(tmp_path / "rtcmpu.yml", {})
    assert _ids(source.load())[-1] == "app-one"

    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    assert _changed(source)
    assert _ids(source.load())[-1] == "app-two"


def test_a_configuration_without_files_never_changes() -> None:
    """What comes from flags or the demonstration has nothing to watch."""
    loaded = LoadedRules(config=Config(accounts=()), files=(), globs=(), sha256="", rule_set=RuleSet.empty())
    source = ConfigurationSource(lambda: loaded)
    assert source.load() is loaded
    assert not _changed(source)


@pytest.mark.parametrize("change", ["another file of the same size", "a new file"])
def test_what_is_written_while_it_is_read_is_noticed(change: str, tmp_path: Path) -> None:
    """Whatever changes after a file was read is loaded next, also within one tick of the times of files."""
    _replace(tmp_path / "a.apps", "- id: app-2\n")
    path = write_configuration(tmp_path, account(ENDPOINT, more="app_files: ['*.apps']"))
    times = (tmp_path / "a.apps").stat()
    to_write = [change]

    def read_and_write() -> LoadedRules:
        loaded = load(path, {})
        if not to_write:
            return loaded
        if to_write.pop() == "a new file":
            _replace(tmp_path / "b.apps", "- id: app-3\n")
        else:
            with (tmp_path / "a.apps").open("r+") as file:
                file.write("- id: app-3\n")
            os.utime(tmp_path / "a.apps", ns=(times.st_atime_ns, times.st_mtime_ns))
        return loaded

    source = ConfigurationSource(read_and_write)
    assert "app-3" not in _ids(source.load())
    assert [source.change_has_settled() for _ in range(2)] == [False, True]
    assert "app-3" in _ids(source.load())
    assert [source.change_has_settled() for _ in range(3)] == [False] * 3


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """A configuration that is none of the files that end is a mistake like others."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="it is not a regular file"):
        ConfigurationSource.of_file(tmp_path / "fifo", {}).load()
