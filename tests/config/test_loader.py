"""Loading: what files and flags mean, which files are read, and that no text at all does harm."""

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.files import MOST_BYTES
from exporter.config.loader import from_flags
from exporter.config.mistakes import MOST_MISTAKES, ConfigError, Position
from exporter.config.model import (
    AccessKey,
    Account,
    App,
    Buckets,
    Collection,
    Config,
    CredentialsUri,
    DefaultChain,
    EcsRamRole,
    OidcRoleArn,
    Profile,
    Quota,
    RamRoleArn,
    Storage,
)
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.core.push_auth import HostSetting, PushAuthSettings
from exporter.core.secret import Secret, SecretFile
from exporter.rules.rule_loader import LoadedRules, load
from tests.support.configurations import mistakes_if_refused
from tests.support.generated import examples

GOOD = Path(__file__).parent / "good"
MINIMAL = "accounts:\n  - name: a\n    apps: [{id: live}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name the main file of a test."""
    return tmp_path / "rtcmpu.yml"


def load_text(file: Path, text: str, environ: dict[str, str] | None = None) -> LoadedRules:
    """Load a text as the main file."""
    file.write_text(text, encoding="utf-8")
    return load(file, environ or {})


def mistakes_of(file: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return the mistakes of a text, without their places."""
    with pytest.raises(ConfigError) as caught:
        load_text(file, text, environ)
    return [mistake.text for mistake in caught.value.mistakes]


def test_what_is_left_out_has_its_default() -> None:
    """A file with one account and one app gives the documented defaults."""
    assert load(GOOD / "minimal.yml", {}).config == Config(accounts=(Account(name="a", apps=(App(id="live"),)),))


def test_every_key_is_read() -> None:
    """Each key of the file is in the configuration, in its unit and of its type."""
    loaded = load(GOOD / "everything.yml", {})
    (account,) = loaded.config.accounts
    assert account.endpoint == "https://live-vpc.cn-shanghai.aliyuncs.com"
    assert (account.requests_per_second, account.limit_group) == (12.5, "prod")
    assert account.proxy == "http://user:swordfish@proxy.example:3128"
    assert account.ca_file == GOOD / "corporate.pem"
    assert account.credentials == AccessKey(
        access_key_id="made-up-id",
        access_key_secret=Secret("made-up-secret"),
        security_token=SecretFile(GOOD / "token"),
    )
    assert account.apps == (
        App(
            id="live-main",
            name="Main stage",
            owner="live-ops",
            quota=Quota(single=500, mixed=None),
            expect=Expect(region=("CN-Shanghai",), video_bitrate_kbps=Range(least=800, most=3000)),
        ),
        App(id="live-east", owner="east-ops"),
    )
    assert loaded.config.collection == Collection(
        interval_seconds=0.25,
        sweep_interval_seconds=90,
        stale_after_seconds=3600,
        request_timeout_seconds=5,
        max_tasks_per_app=100_000,
    )
    database = Secret(f"sqlite:{GOOD / 'state/rtcmpu.db'}")
    assert loaded.config.storage == Storage(url=database, retention_seconds=30 * 86400)
    assert loaded.config.policy == Policy(
        default_rules=False,
        rule_files=("rules/*.yml",),
        rules={"gop-too-long": RuleSwitch(enabled=False, severity="critical")},
        examples_per_rule=3,
        max_examples=100,
    )
    assert list(loaded.config.metrics.buckets.video_bitrate_kbps) == [500, 1000, 2500]
    assert list(loaded.config.metrics.buckets.gop_seconds) == [0.5, 1, 2]


def test_validities_of_push_keys_are_read() -> None:
    """Durations are in seconds, and what is left out is not known."""
    assert load(GOOD / "policy.yml", {}).config.policy.push_auth_settings == PushAuthSettings(
        (HostSetting("*.example.com", 1800, "alibaba"), HostSetting("push.huawei.example", None, "huawei")), 43200
    )


def test_every_expectation_is_read() -> None:
    """Each key of `expect` has its value, regions in the documented spelling; what is left out is None."""
    (account,) = load(GOOD / "policy.yml", {}).config.accounts
    everything, nothing, left_out = (app.expect for app in account.apps)
    assert everything is not None
    assert all(getattr(everything, name) is not None for name in Expect.model_fields)
    assert everything.region == ("CN-Shanghai", "EU-Somewhere")
    assert everything.audio_channels == (1, 2)
    assert everything.ali_cdn == (True, False)
    assert everything.outputs == Range(least=1, most=None)
    assert (nothing, left_out) == (Expect(), None)


def test_every_kind_of_credentials_is_read() -> None:
    """Each `type` gives its own kind of credentials."""
    config = load(GOOD / "credentials.yml", {}).config
    kinds = [type(account.credentials) for account in config.accounts]
    assert kinds == [DefaultChain, AccessKey, EcsRamRole, RamRoleArn, OidcRoleArn, Profile, CredentialsUri]
    arn = config.accounts[3].credentials
    assert isinstance(arn, RamRoleArn)
    assert (arn.duration_seconds, arn.policy) == (1800, '{"Version": "1"}')


def test_texts_are_taken_as_they_are_written() -> None:
    """What YAML would read as a number, a boolean or a date stays the text that is there."""
    (account,) = load(GOOD / "literal-texts.yml", {}).config.accounts
    assert account.name == "007"
    assert [(app.id, app.name, app.owner) for app in account.apps] == [("yes", "1.50", "true"), ("1_000", "null", "é")]


def test_the_environment_stands_where_it_is_named() -> None:
    """`${NAME}` is expanded in all values, and of keys white space around is left out; `$$` is a dollar."""
    environ = {"ACCOUNT": "prod", "RATE": "20", "KEY_ID": "\ufeffk:[ \n", "SECRET": "s3\r\n", "NONE": "none"}
    config = load(GOOD / "environment.yml", environ).config
    (account,) = config.accounts
    assert (account.name, account.requests_per_second) == ("prod", 20)
    assert account.credentials == AccessKey(access_key_id="k:[", access_key_secret=Secret("s3"))
    assert account.apps == (App(id="app-20", name="costs $5 or $5", quota=Quota(single=20, mixed=None)),)
    assert config.collection.interval_seconds == 20


def test_stale_after_follows_the_sweep_interval(file: Path) -> None:
    """Left out, stale_after is three sweep intervals."""
    config = load_text(file, MINIMAL + "collection: {sweep_interval: 1m}\n").config
    assert config.collection.stale_after_seconds == 180


def test_a_key_without_a_value_counts_as_left_out(file: Path) -> None:
    """Empty values of keys that have a default give the default."""
    sections = "collection:\nmetrics: {buckets: null}\npolicy: {rules: {gop-too-long: }}\n"
    text = f"{MINIMAL}    credentials:\n    proxy: ~\n{sections}"
    assert load_text(file, text).config == load(GOOD / "minimal.yml", {}).config


def test_all_files_are_reported_with_one_digest(file: Path) -> None:
    """The files that were read, what was looked for and a digest that each change of any of them changes."""
    apps = file.parent / "apps"
    apps.mkdir()
    (apps / "b.yml").write_text("- id: b\n", encoding="utf-8")
    text = "accounts: [{name: a, app_files: [apps/*.yml, apps/b.yml]}]\n"
    first = load_text(file, text)
    assert first.files == (file, apps / "b.yml")
    assert first.globs == (str(apps / "*.yml"), str(apps / "b.yml"))
    assert load(file, {}).sha256 == first.sha256
    (apps / "a.yml").write_text("- id: a\n", encoding="utf-8")
    second = load(file, {})
    assert second.files == (file, apps / "a.yml", apps / "b.yml")
    assert [app.id for app in second.config.accounts[0].apps] == ["a", "b"]
    (apps / "a.yml").write_text("- id: c\n", encoding="utf-8")
    digests = {first.sha256, second.sha256, load(file, {}).sha256}
    assert len(digests) == 3


def test_a_pattern_that_matches_nothing_is_a_warning(file: Path) -> None:
    """Files may come later, so it is no mistake; but a misspelt pattern must not go unnoticed."""
    text = MINIMAL + "    app_files: [apps/*.yml]\npolicy: {rule_files: ['rules/[ab].yml']}\n"
    warning, about_rules = load_text(file, text).warnings
    assert "/rules/[ab].yml', expected rules in at least one" in str(about_rules)
    assert (
        str(warning)
        == f"{file}:4:17: no file matches '{file.parent}/apps/*.yml', expected a list of apps in at least one"
    )
    (file.parent / "apps").mkdir()
    (file.parent / "apps" / "a.yml").write_text("- id: a\n", encoding="utf-8")
    found = load(file, {})
    assert found.warnings == (about_rules,)
    assert found.places["a", "a"] == Position(1, str(file.parent / "apps" / "a.yml"), 1, 7)
    assert found.places["a", "live"] == Position(0, str(file), 3, 17)


def test_directories_among_the_matches_are_passed_over(file: Path) -> None:
    """A pattern that also matches a directory reads the files alone."""
    (file.parent / "apps" / "deep").mkdir(parents=True)
    (file.parent / "apps" / "deep" / "one.yml").write_text("- id: one\n", encoding="utf-8")
    loaded = load_text(file, "accounts: [{name: a, app_files: ['apps/**']}]\n")
    assert [app.id for app in loaded.config.accounts[0].apps] == ["one"]


def test_one_file_of_apps_can_serve_two_accounts(file: Path) -> None:
    """A file that two accounts name gives its apps to both, and its mistakes are reported once."""
    apps = file.parent / "apps.yml"
    apps.write_text("- id: one\n", encoding="utf-8")
    text = "accounts: [{name: a, app_files: [apps.yml]}, {name: b, app_files: [apps.yml]}]\n"
    assert [account.apps for account in load_text(file, text).config.accounts] == [(App(id="one"),)] * 2
    apps.write_text("- id: o n e\n", encoding="utf-8")
    assert mistakes_of(file, text) == ["id is 'o n e', expected 1 to 64 letters, digits or _ -"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.yml", "No such file or directory"), (".", "Is a directory"), ("x" * 300, "File name too long")],
)
def test_a_file_that_can_not_be_read_is_a_mistake(tmp_path: Path, name: str, reason: str) -> None:
    """The system's reason is reported; root may read nearly all files."""
    with pytest.raises(ConfigError, match=rf":1:1: the file can't be read \({reason}\)"):
        load(tmp_path / name, {})


@pytest.mark.parametrize("field", list(Buckets.model_fields))
def test_default_bounds_rise(field: str) -> None:
    """The default bounds of each distribution rise strictly."""
    bounds = getattr(Buckets(), field)
    assert list(bounds) == sorted(set(bounds))


@pytest.mark.parametrize("name", [r"\0*", "x" * 5000, r"a\nb", "[", "*" * 50, "${EMPTY}"])
def test_names_that_no_file_can_have_do_no_harm(file: Path, name: str) -> None:
    """Odd names and patterns of files are refused or match nothing, with one line for each mistake."""
    text = f'accounts: [{{name: a, app_files: ["{name}"], ca_file: "{name}"}}]\n'
    texts = mistakes_of(file, text, {"EMPTY": ""})
    assert texts
    assert not any("\n" in one for one in texts)


def test_a_secret_in_a_keys_place_is_not_shown(file: Path) -> None:
    """A text that is where a key of the credentials belongs is not reported, not even as a duplicate."""
    text = MINIMAL + "    credentials: {access_key_id: k, access_key_secret: s, swordfish, swordfish}\n"
    assert not any("swordfish" in mistake for mistake in mistakes_of(file, text))


@pytest.mark.parametrize("storage", ["", "storage: {url: sqlite:own.db}\n", "storage: {url_file: database-url}\n"])
def test_sharing_needs_a_database_that_others_reach(file: Path, storage: str) -> None:
    """No database and a file of SQLite are refused, wherever its URL is written."""
    (file.parent / "database-url").write_text("sqlite:own.db")
    (text,) = mistakes_of(file, MINIMAL + storage + "sharing: {exporters: 2}\n")
    assert "sharing" in text


def test_a_file_beyond_the_bound_is_refused(file: Path) -> None:
    """A file that is too large is not even parsed."""
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(ConfigError, match="too large, expected at most 8 MiB"):
        load(file, {})


def test_a_byte_order_mark_does_no_harm(file: Path) -> None:
    """A file that an editor began with a byte order mark is read, with right columns."""
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(file, {}).config.accounts[0].name == "a"


def test_columns_count_characters(file: Path) -> None:
    """A column counts characters, not bytes."""
    with pytest.raises(ConfigError, match=r"rtcmpu.yml:1:45: id is 'x y'"):
        load_text(file, "accounts: [{name: a, apps: [{name: ééé, id: x y}]}]")


def test_a_hopeless_file_is_given_up_early(file: Path) -> None:
    """Beyond a thousand mistakes one more line says that the rest is left out."""
    texts = mistakes_of(file, "".join(f"key{number}: 1\n" for number in range(5000)))
    assert len(texts) == MOST_MISTAKES + 1
    assert texts[-1] == "more than 1000 mistakes, the rest is left out"


def test_wrong_values_do_not_hide_what_goes_wrong_beside_them(file: Path) -> None:
    """Duplicates are found among entries that have other mistakes."""
    texts = mistakes_of(file, "accounts: [{name: a, x: 1}, {name: a, apps: {}}]")
    assert [text.partition(",")[0] for text in texts] == [
        "no apps",
        "unknown key x",
        "account a again",
        "apps is a mapping",
    ]


def test_ten_thousand_apps_are_read_within_seconds_of_cpu(file: Path) -> None:
    """A large file of apps is loaded in a time that a reload can afford."""
    apps = "".join(f"      - id: app-{number}\n        owner: live-ops\n" for number in range(10_000))
    began = time.process_time()
    loaded = load_text(file, f"accounts:\n  - name: a\n    apps:\n{apps}")
    assert len(loaded.config.accounts[0].apps) == 10_000
    assert time.process_time() - began < 10


PIECES = (
        "accounts:", "collection:", "metrics:", "buckets:", "apps:", "credentials:", "name:", "id:", "interval:",
        "quota:", "app_files:", "type:", "- ", "  ", "\n", "\t", "{", "}", "[", "]", ",", ":", " ", "&a ", "*a",
        "<<: ", "!!str ", "!x ", "'", '"', "|", ">", "#", "---", "...", "%YAML 1.1", "? ", "${X}", "${", "$$",
        "10s", "1e999", "007", "none", "~", "\x00", "\x85", "\ufeff", "\U0001f600", "\\ud800", "0x1F", "1:30",
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
KEYS = (
    "name", "id", "apps", "app_files", "endpoint", "requests_per_second", "limit_group", "proxy", "ca_file",
    "credentials", "type", "quota", "interval", "sweep_interval", "stale_after", "buckets", "panes",
    "expect", "region", "tasks", "min", "max", "rules", "rule_files", "severity",
)  # fmt: skip
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "accounts": st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), max_size=3),
        "collection": st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
        "policy": st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
        "metrics": st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2),
    },
)


@pytest.fixture(scope="module")
def fuzzed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name one file for all generated contents."""
    return tmp_path_factory.mktemp("fuzz") / "rtcmpu.yml"


CONTENTS = st.one_of(
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=100),
    st.one_of(VALUES, SHAPED).map(
        lambda value: yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")
    ),
)


def accepts_or_refuses(file: Path, content: bytes) -> None:
    """Load a content: it is either accepted, or refused with one line for each mistake."""
    file.write_bytes(content)
    mistakes_if_refused(lambda: load(file, {"X": "x: ["}))


@given(content=CONTENTS)
@settings(max_examples=examples(700))
def test_any_content_is_accepted_or_refused(fuzzed_file: Path, content: bytes) -> None:
    """Whatever text, bytes or values under whatever keys are in the file, nothing but ConfigError is raised."""
    accepts_or_refuses(fuzzed_file, content)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "{a: " * 100_000, "- " * 200_000, "? " * 100_000, "a: &a [*a]\n" * 20_000, "'" * 200_000],
    ids=["brackets", "braces", "dashes", "questions", "anchors", "quotes"],
)
def test_a_hostile_text_is_refused_soon(file: Path, text: str) -> None:
    """Deep nesting and the like neither overflow a stack nor take long."""
    began = time.process_time()
    accepts_or_refuses(file, text.encode())
    assert time.process_time() - began < 5


def test_flags_make_the_default_account() -> None:
    """App ids become the apps of one account with the default chain; an endpoint is taken in its plain form."""
    (account,) = from_flags(["live-1", "live_2"]).accounts
    assert (account.name, account.endpoint) == ("default", "https://live.aliyuncs.com")
    assert account.apps == (App(id="live-1"), App(id="live_2"))
    assert account.credentials == DefaultChain()
    (account,) = from_flags(["a"], "http://LOCALHOST:8080/").accounts
    assert account.endpoint == "http://localhost:8080"


@pytest.mark.parametrize(
    ("app_ids", "endpoint", "mistakes"),
    [
        (
            ["a", "a", "b c"],
            "https://user:swordfish@host",
            [
                "--app.id: 'a' again, expected each app once",
                "--app.id: 'b c', expected 1 to 64 letters, digits or _ -",
                "--api.endpoint: not usable, expected http:// or https:// and a host, without path, user and password",
            ],
        ),
        ([], "https://host", ["--app.id: no app, expected at least one"]),
    ],
)
def test_every_mistake_names_its_flag(app_ids: list[str], endpoint: str, mistakes: list[str]) -> None:
    """All mistakes of the flags are reported together, without what may hold a password."""
    with pytest.raises(ConfigError) as caught:
        from_flags(app_ids, endpoint)
    assert str(caught.value).splitlines() == mistakes
