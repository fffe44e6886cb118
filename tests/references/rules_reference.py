"""The reference of rules as Markdown, `docs/rules.md`: made from the vocabulary, the format and the default rules."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from exporter.config.policy_model import Expect
from exporter.config.section import ValueType, keys_of, kinds_of
from exporter.rules.rule import Rule
from exporter.rules.rule_files import default_rules, profile_rules
from exporter.rules.vocabulary import Fact, FactType, Variables, facts_of, walk

RULE_FILE_EXAMPLE: Final = """\
rules:
  - name: video-bitrate-agreed
    title: Video bitrate above what was agreed
    severity: warning
    owner: live-ops
    runbook_url: https://wiki.example.com/runbooks/video-bitrate
    apps: ["live-*"]
    when: task.mix_mode == "mixed" && has(task.video.bitrate_kbps)
    expect: task.video.bitrate_kbps <= 3000
    message: '"video at " + string(task.video.bitrate_kbps) + " kbit/s"'
    exempt:
      - {name: load-test, tasks: ["t-loadtest-*"], until: 2027-01-31, reason: agreed with live-ops}
    tests:
      - {task: {video: {bitrate_kbps: 3000}}, outcome: pass}
      - {task: {video: {bitrate_kbps: 3001}}, outcome: violation}
      - {task: {video: {bitrate_kbps: 5000}}, task_id: t-loadtest-7, outcome: exempt}
      - {task: {mix_mode: single}, outcome: not_applicable}
      - {task: {video: {bitrate_kbps: 5000}}, app: {id: sandbox}, outcome: not_applicable}
  - name: forgotten-task
    title: Task that is older than a week
    severity: info
    expect: age < duration("168h")
    tests:
      - {age: 6d, outcome: pass}
      - {age: 7d, outcome: violation}
"""

CONFIGURATION_EXAMPLE: Final = """\
accounts:
  - name: production
    apps:
      - id: live-main
        expect:
          region: [CN-Shanghai]
          push_hosts: ["*.example.com"]
          resolution: [720p, 1080p]
          video_bitrate_kbps: {min: 800, max: 3000}
          idle_timeout_seconds: {max: 600}
          tasks: {min: 1, max: 40}
policy:
  rule_files: [rules/*.yml]
  rules:
    gop-too-long: {enabled: false}
    idle-timeout-missing: {severity: warning}
    expect-push-hosts: {severity: warning}
"""

RULE_KEYS: Final[Mapping[str, str]] = {
    "name": "The label `rule`: lower-case letters, digits and `-`; not the name of a built-in rule, and not beginning"
    " with `expect-`.",
    "title": "One line that says what is wrong with a task that violates the rule.",
    "severity": "`info`, `warning` or `critical`. `info` never alerts.",
    "expect": "An expression; if it is false, the task violates the rule.",
    "owner": "The rule's owner; the label `rule_owner`.",
    "runbook_url": "A page that says what to do.",
    "apps": "AppIds, or patterns with `*` and `?`, to which the rule applies. Default: all.",
    "when": "An expression; if it is false, the rule does not apply to the task. Default: true.",
    "message": "An expression that returns a text about one task for the API, pages, the log and `audit`. Default: the"
    " title. It is never a label.",
    "exempt": "Tasks whose violations are accepted: see [Exemptions](#exemptions).",
    "tests": "Test cases: see [Tests](#tests).",
    "reason": "Why it matters.",
    "remedy": "What to do.",
}
"""What each key of a rule means."""

_HEAD: Final = f"""\
# Rules

<!-- Made from the declarations in exporter/rules by `make generate`: edit those. -->

A rule states what is expected of a task's configuration. The exporter evaluates each rule for each task, again whenever
the task, the rule or a variable that the rule uses changes. A task that is not as expected is a violation; metrics,
alerts, pages, the API and `rtcmpu-exporter audit` show the same violations.

Rules check configuration. A task without violations may still have a bad stream, or none.

There are four kinds:

- [default rules](#default-rules), on unless turned off,
- [profiles of platforms](#profiles-of-platforms), off unless `policy.profiles` names them,
- [expectations of an app](#expectations-without-an-expression), written in the configuration without expressions,
- your own rules, in the files that `policy.rule_files` names.

## Writing a rule

```yaml
{RULE_FILE_EXAMPLE}```

`rtcmpu-exporter rules test FILE` runs the tests of the rules; `rtcmpu-exporter rules list` shows which rules are
active, and why others are not.
"""

_EXPRESSIONS: Final = """\
## Expressions

Expressions are written in [CEL](https://cel.dev), the Common Expression Language, with its extensions for strings and
math. They can use only the variables below: no files, no network, no environment.

- `has(task.video.gop)` is true if the value exists. **An optional value needs it**, in `when` or before `&&`: an
  expression that uses an absent value can't be evaluated, and the task counts as unevaluable. Optional groups need it
  too: `has(task.sei) && has(task.sei.payload_type)`.
- `==` `!=` `<` `<=` `&&` `||` `!`, `a ? b : c`, `x in ["a", "b"]`, `size(list)`.
- `task.outputs.all(o, o.scheme == "rtmps")`, and `exists`, `filter`, `map`.
- `text.startsWith("a")`, `endsWith`, `contains`, `lowerAscii()`, `matches("^a.*z$")` (RE2), `list.join(", ")`;
  `text.matchesGlob("*.example.com")` with `*` and `?`, case-insensitive.
- `string(x)`, `int(x)`, `double(x)`, `math.round(x)`, `duration("36h")`, `timestamp("2027-01-31T00:00:00Z")`.
- Compare a field of the type `double` with `4.0`, not with `4`.

In YAML, put single quotes around an expression that begins with `!`, `"`, `[` or `{`, or contains `: ` or ` #`:
`expect: '!task.audio_only'`.

Every mistake in a file is reported with file, line and column, and with the nearest name if one is unknown. The text is
CEL's own: `Video` in it is the type of `task.video`. A file with mistakes is not loaded; a running exporter
keeps its rules. An evaluation that takes too many steps is stopped, and the
task counts as unevaluable.

The cost of an evaluation is limited on load. An expression that could take more than about 0.05 s or 32 MB
is refused: texts or lists that double repeatedly, nested loops over long texts, `matches` with large repetitions or
with a pattern that is not a literal. For this purpose, texts are truncated at 256 bytes of UTF-8, and a rule that uses
a list of more than 128 items can't be evaluated for that task.

A rule that still takes more than a quarter of a second of CPU time three times within ten minutes is stopped: its
violations stay unchanged, and new tasks count as unevaluable. The log, the page `/rules` and `/api/v1/rules` (`state`)
report it. A reload starts it again.
"""

_VARIABLES: Final = """\
## Variables and fields

A rule that uses only `task` is evaluated once per distinct configuration, not once per task. `task` contains no ids of
channels and users, no payloads and no URL paths.

*optional*: absent if the task does not set it; check with `has()` first.
"""

_OUTCOMES: Final = """\
## Outcomes

A rule has exactly one outcome for each task:

| outcome | when | counted by |
| --- | --- | --- |
| `pass` | `expect` is true | `rtcmpu_policy_evaluated_tasks` |
| `violation` | `expect` is false | `rtcmpu_policy_evaluated_tasks`, `rtcmpu_policy_violations` |
| `not_applicable` | `when` is false | `rtcmpu_policy_not_applicable_tasks` |
| `exempt` | `expect` is false, and an exemption covers the task | `rtcmpu_policy_exempted_tasks` |
| `error` | it can't be evaluated; neither pass nor violation | `rtcmpu_policy_unevaluable_tasks` |

A violation opens once, stays open while it is found, and is resolved once: when the task is fixed, exempted or removed.
While an app's data is missing or stale, its violations stay unchanged.

## Exemptions

`exempt` lists tasks, by TaskId or by patterns with `*` and `?`, whose violations are accepted. An exemption has a
`name` and a `reason`, and ends at 24:00 UTC of the day `until`, or never. An exempted task that passes counts as a
pass. `rtcmpu_policy_exemption_expiry_timestamp_seconds` is the time at which it ends.

## Tests

Each entry of `tests` has a part of a task and the expected `outcome`. Other fields are absent, empty or false; the mode
is `mixed`. Derived fields are computed unless you set them. Other variables are keys of the entry: `task_id`, `now`,
`age`, `shared_outputs`, `app` and so on. The default of `now` is the beginning of the year 2000, before any exemption
ends.
"""

_EXPECTATIONS: Final = f"""\
## Expectations without an expression

`expect` of an app states what is expected of all its tasks, as a list of allowed values or as a range. Each key becomes
a rule, such as `expect-region`; `region` and `push_hosts` are critical, the others warnings.

```yaml
{CONFIGURATION_EXAMPLE}```

A key does not apply to tasks that lack the field, except that a missing idle timeout violates any `max`. `tasks` is
about the app as a whole: its rule counts 0 or 1, without a task.
"""

_SWITCHES: Final = """\
## Turning rules off, changing severities

`policy.rules` changes single rules of any kind by name: `{enabled: false}` turns one off, `{severity: critical}`
changes its severity, as in the example above. `policy.default_rules: false` turns all default rules off.
"""

_DEFAULT_RULES: Final = """\
## Default rules

They find values that the API documents as invalid, and known hazards.
"""


_PROFILES: Final = """\
## Profiles of platforms

What platforms ask of the streams that they take, as far as a configuration shows it. `policy.profiles: [twitch]` turns
on the rules whose names begin with `twitch-`. A rule applies to tasks that push to one of the platform's hosts.
"""


def rules_markdown() -> str:
    """Return the whole reference."""
    rules = default_rules()
    of_profiles = tuple(rule for rules in profile_rules().values() for rule in rules)
    parts = [_HEAD, _key_table(), _EXPRESSIONS, _VARIABLES, *_vocabulary(), _OUTCOMES]
    parts += [_EXPECTATIONS, _expectation_table(), _SWITCHES, _DEFAULT_RULES, _overview(rules), *map(_details, rules)]
    parts += [_PROFILES, _overview(of_profiles), *map(_details, of_profiles)]
    return "\n".join(parts)


def _key_table() -> str:
    """Return what is in a rule."""
    return _table(("key", "means"), ((f"`{name}`", meaning) for name, meaning in RULE_KEYS.items()))


def _vocabulary() -> Iterable[str]:
    """Yield a heading and a table for the variables, and for each group of fields."""
    yield "### Variables\n"
    yield _fact_table(Variables)
    shown = set()
    for path, fact in walk(Variables):
        if fact.group is not None and fact.group not in shown:
            shown.add(fact.group)
            yield f"### `{path}{'[]' if fact.is_list else ''}`\n"
            yield inspect.cleandoc(fact.group.__doc__ or "") + "\n"
            yield _fact_table(fact.group)


def _fact_table(group: type[Struct]) -> str:
    """Return a row for each field of a group."""
    rows = ((f"`{fact.name}`", _type(fact), fact.description) for fact in facts_of(group))
    return _table(("name", "type", "means"), rows)


def _type(fact: Fact) -> str:
    """Return a field's type as CEL has it."""
    name = "fields" if fact.kind is FactType.GROUP else f"`{fact.kind}`"
    return (f"list of {name}" if fact.is_list else name) + (", *optional*" if fact.is_optional else "")


def _expectation_table() -> str:
    """Return a row for each key of `expect`."""
    rows = (
        (f"`{key}`", f"`expect-{key.replace('_', '-')}`", _value(kind), keys_of(Expect)[key].description or "")
        for key, kind in kinds_of(Expect).items()
    )
    return _table(("key", "rule", "value", "means"), rows)


def _value(kind: ValueType) -> str:
    """Return how an expectation is written."""
    if kind.core is str:
        return ", ".join(f"`{value}`" for value in kind.metadata[0].values)
    return "`{min: …, max: …}`" if kind.models else "list"


def _overview(rules: Iterable[Rule]) -> str:
    """Return a row for each rule."""
    rows = ((f"[`{rule.name}`](#{rule.name})", rule.severity, rule.title) for rule in rules)
    return _table(("rule", "severity", "finds"), rows)


def _details(rule: Rule) -> str:
    """Return everything about one rule."""
    expressions = [f"{key}: {text}" for key, text in (("when", rule.when), ("expect", rule.expect)) if text]
    return "\n".join(
        [
            f"### {rule.name}\n",
            f"{rule.title}. Severity: {rule.severity}.\n",
            *(f"    {line}" for line in expressions),
            f"\n{rule.reason}\n",
            f"**What to do.** {rule.remedy}\n",
        ]
    )


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [heads, tuple("---" for _ in heads), *(tuple(map(_cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Return text that does not end a table's cell."""
    return text.replace("|", "\\|")
