"""Rule files: what they mean, every mistake word for word, and that no text at all does harm."""

import datetime as dt
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.files import SourceText
from exporter.config.mistakes import ConfigError, Mistakes
from exporter.config.policy_model import SEVERITY_NAMES
from exporter.rules.rule import Case, CompiledRule, Exemption, Outcome, Rule, Severity
from exporter.rules.rule_files import WrittenRule, check_names, compile_rules, parse_rules, read_rules
from tests.support.configurations import mistakes_if_refused
from tests.support.generated import examples

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yml"))
BAD = sorted((HERE / "bad").glob("*.yml"))
DEFAULT_RULES = {
    "gop-too-long": Rule(name="gop-too-long", title="GOP too long", severity=Severity.WARNING, expect="true")
}
HEAD = "rules:\n  - name: a\n    title: A\n    severity: info\n"


def compiled(text: str, file: str) -> tuple[CompiledRule, ...]:
    """Read and compile the rules of a text, beside one default rule."""
    mistakes = Mistakes()
    placed = read_rules(SourceText(file, 0, text), mistakes) or ()
    check_names(placed, DEFAULT_RULES, mistakes)
    rules = compile_rules(placed, mistakes)
    mistakes.raise_if_any()
    return rules


def rule_of(path: Path, name: str) -> Rule:
    """Return one rule of a file."""
    return next(rule for rule in parse_rules(path.read_text(encoding="utf-8"), path.name) if rule.name == name)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_accepted(path: Path) -> None:
    """A good file gives rules, each with its place."""
    rules = compiled(path.read_text(encoding="utf-8"), path.name)
    assert rules
    assert all(rule.rule.source.startswith(f"{path.name}:") for rule in rules)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_has_exactly_these_mistakes(path: Path) -> None:
    """A bad file is refused with the very lines that are beside it."""
    with pytest.raises(ConfigError) as caught:
        compiled(path.read_text(encoding="utf-8"), path.name)
    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_key_is_read() -> None:
    """Each key of a file is in its rule."""
    rule = rule_of(HERE / "good" / "everything.yml", "video-bitrate-agreed")
    assert rule == Rule(
        name="video-bitrate-agreed",
        title="Video bitrate within what was agreed",
        severity=Severity.WARNING,
        expect="task.video.bitrate_kbps <= 3000",
        owner="live-ops",
        runbook_url="https://wiki.example.com/bitrate",
        apps=("live-*", "stage-?"),
        when='task.mix_mode == "mixed"',
        message='"video at " + string(task.video.bitrate_kbps) + " kbit/s"',
        exempt=(
            Exemption(
                name="load-test", tasks=("t-loadtest-*",), until=dt.date(2027, 1, 31), reason="agreed with live-ops"
            ),
            Exemption(name="for-good", tasks=("t-1", "t-2")),
        ),
        tests=rule.tests,
        reason="Higher rates cost more.",
        remedy="Lower it.\nTell the team.\n",
        source="everything.yml:3",
    )
    assert [case.outcome for case in rule.tests[:5]] == [
        Outcome.VIOLATION,
        Outcome.PASS,
        Outcome.NOT_APPLICABLE,
        Outcome.ERROR,
        Outcome.EXEMPT,
    ]


def test_a_case_has_what_is_given_and_nothing_else() -> None:
    """The variables of a case are of the types that rules see, without defaults; what is `none` is absent."""
    assert rule_of(HERE / "good" / "everything.yml", "video-bitrate-agreed").tests[-1] == Case(
        variables={
            "task": {
                "video": {"bitrate_kbps": 5000, "gop_seconds": 2.0, "codec": "H.264"},
                "panes": [{"x": 0.0, "y": 0.5, "width": 0.5, "height": 0.5}],
                "outputs": [{"scheme": "rtmp", "host": "push.example.com"}],
                "sei": {},
                "field_errors": ["Region"],
            },
            "task_id": "t-loadtest-1",
            "channel_id": "c",
            "first_seen": dt.datetime(2027, 1, 30, 23, 59, 59, 500_000, dt.UTC),
            "last_changed": dt.datetime(2027, 1, 30, 16, tzinfo=dt.UTC),
            "age": dt.timedelta(days=1, minutes=30),
            "now": dt.datetime(2027, 2, 1, tzinfo=dt.UTC),
            "shared_outputs": 1,
            "app": {"id": "live-main", "name": "Main", "owner": "live-ops", "account": "a", "quota": {"single": 1}},
        },
        outcome=Outcome.VIOLATION,
        place="everything.yml:25:9",
    )


def test_every_part_of_a_rule_can_stand_in_a_file() -> None:
    """A rule's keys are its parts but for where it is, and its severities those that a switch can give."""
    assert {*WrittenRule.model_fields, "source"} == set(Rule.__struct_fields__)
    assert tuple(Severity) == SEVERITY_NAMES


def test_the_environment_has_no_meaning() -> None:
    """What looks like a variable of the environment stays what it is: no rule can read one."""
    (rule,) = compiled(f"{HEAD}    owner: ${{HOME}} $$\n    expect: task.region != '${{HOME}}'\n", "a.yml")
    assert rule.rule.owner == "${HOME} $$"
    assert rule.rule.expect == "task.region != '${HOME}'"


PIECES = (
        "rules:", "- ", "name: ", "title: ", "severity: ", "info", "expect: ", "when: ", "message: ", "exempt: ",
        "tests: ", "task: ", "outcome: ", "until: ", "2027-01-31", "apps: ", "a", "task.audio_only", "has(", "!", "'",
        '"', "|\n", ">-\n", "  ", "\n", "\t", "{", "}", "[", "]", ",", ": ", " #", " ", "&a ", "*a", "\\x41", "\\",
        "?", "||", "&&", "==", "\U0001f600", "\x00", "\x85", "\u2028", "\r\n", "1", "1e999", "none", "~", "${X}",
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
EXPRESSIONS = st.lists(st.sampled_from(["task", ".", "video", "audio_only", "(", ")", "'", '"', "\n", "\\", " ", "é",
    "&&", "==", "1", "x", "\t", "\r", "\x85", "\u2028", "//", "#", "[", "]", "{", "}", ":", "?"]), max_size=20,
).map("".join)  # fmt: skip
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.dates(), st.datetimes(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
RULES = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"]), "title": st.just("A"), "severity": st.just("info"), "expect": EXPRESSIONS},
    optional={
        "when": EXPRESSIONS,
        "message": EXPRESSIONS,
        "exempt": st.lists(
            st.fixed_dictionaries({}, optional={"name": VALUES, "tasks": VALUES, "until": VALUES}), max_size=2
        ),
        "tests": st.lists(
            st.fixed_dictionaries(
                {}, optional=dict.fromkeys(("task", "outcome", "now", "age", "app", "task_id"), VALUES)
            ),
            max_size=2,
        ),
    },
)


def accepts_or_refuses(text: str) -> None:
    """Read a text as a rule file: it is either accepted, or refused with places that the file has."""
    lines = 1 + len(text.splitlines())
    mistakes = mistakes_if_refused(lambda: compiled(text, "a.yml"))
    assert all(1 <= mistake.position.line <= lines for mistake in mistakes)


@given(text=TEXTS)
@settings(max_examples=examples(300))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """Whatever text is in a rule file, nothing but ConfigError is raised."""
    accepts_or_refuses(text)


@given(rules=st.one_of(VALUES, st.lists(RULES, max_size=3)), style=st.sampled_from([None, "'", '"', "|", ">"]))
@settings(max_examples=examples(300))
def test_any_rules_are_accepted_or_refused(rules: object, style: str | None) -> None:
    """Whatever is in a rule, in whatever style of YAML, nothing but ConfigError is raised."""
    accepts_or_refuses(yaml.safe_dump({"rules": rules}, default_style=style, allow_unicode=True))


def test_many_costly_rules_are_too_much_together() -> None:
    """Each would be accepted alone; the first that is too much is named at its place, once."""
    pairs = "task.panes.all(p, task.panes.all(q, p.x <= q.x + 9.0))"
    for key, costly, number in (("expect", pairs, 5), ("expect: 'true', message", f"string({pairs})", 1)):
        rules = [f"  - {{name: r{each}, title: T, severity: info, {key}: '{costly}'}}\n" for each in range(16 * number)]
        assert len(compiled("rules:\n" + "".join(rules[:number]), "a.yml")) == number
        with pytest.raises(
            ConfigError, match=r"^a\.yml:\d+:12: rule r\d+ and those before it can take too much time[^\n]*$"
        ):
            compiled("rules:\n" + "".join(rules), "a.yml")
