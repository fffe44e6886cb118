"""The reference of rules as Markdown, `docs/rules.md`: made from the vocabulary, the format and the default rules."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from exporter.config.policy_model import Expect
from exporter.config.section import keys_of, kinds_of
from exporter.config.value_types import Kind as ValueKind
from exporter.policy.default_rules import default_rules
from exporter.policy.rule import Rule
from exporter.policy.vocabulary import Fact, Kind, Variables, facts_of, walk

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
    "name": "The label `rule`: lower-case letters, digits and `-`. No default rule has it, and it begins otherwise than"
    " with `expect-`.",
    "title": "One line that says what is wrong with a task that violates the rule.",
    "severity": "`info`, `warning` or `critical`. Info is for dashboards and never alerts.",
    "expect": "An expression: false is a violation.",
    "owner": "Who answers for the rule; the label `rule_owner`.",
    "runbook_url": "Where it says what to do.",
    "apps": "AppIds, or patterns with `*` and `?`, that the rule is for; left out: all.",
    "when": "An expression: where it is false, the rule does not apply. Left out: it always does.",
    "message": "An expression that makes the text which people see for one task: in the API, pages, the log and"
    " `audit`. Left out: the title. It is never a label.",
    "exempt": "Tasks whose violations are agreed upon: see [Exemptions](#exemptions).",
    "tests": "What should come of some tasks: see [Tests](#tests).",
    "reason": "Why anyone should care.",
    "remedy": "What to do about it.",
}
"""What each key of a rule means."""

_HEAD: Final = f"""\
# Rules

<!-- Made from the declarations in exporter/policy by `make generate`: edit those. -->

A rule says what is expected of a task's configuration. Each task is held against each rule whenever the task, the rule
or something that the rule speaks of has changed. What is not as expected is a violation; metrics, alerts, pages, the
API and `rtcmpu-exporter audit` all show the same ones.

Rules are about configuration. A task that violates none may still have a bad stream, or none at all.

There are three kinds:

- [default rules](#default-rules), which are on unless they are switched off,
- [what an app is expected to be](#expectations-without-an-expression), written in the configuration without any
  expression,
- rules of your own, in files that `policy.rule_files` names.

## Writing a rule

```yaml
{RULE_FILE_EXAMPLE}```

`rtcmpu-exporter rules test FILE` runs the tests that stand beside rules; `rtcmpu-exporter rules list` shows which rules
are in force, and why others are not.
"""

_EXPRESSIONS: Final = """\
## Expressions

Expressions are written in [CEL](https://cel.dev), the Common Expression Language, with its extensions for strings and
math. They see the variables below and nothing else: no file, no network, no environment.

- `has(task.video.gop)` tells whether a value is there. **A value that can be absent needs it**, in `when` or before
  `&&`: an expression that comes upon an absent value can't be evaluated, and the task counts as unevaluable. Where a
  whole group can be absent, so does the group: `has(task.sei) && has(task.sei.payload_type)`.
- `==` `!=` `<` `<=` `&&` `||` `!`, `a ? b : c`, `x in ["a", "b"]`, `size(list)`.
- `task.outputs.all(o, o.scheme == "rtmps")`, and `exists`, `filter`, `map` alike.
- `text.startsWith("a")`, `endsWith`, `contains`, `lowerAscii()`, `matches("^a.*z$")` (RE2), `list.join(", ")`;
  `text.matchesGlob("*.example.com")` with `*` and `?`, whatever the case.
- `string(x)`, `int(x)`, `double(x)`, `math.round(x)`, `duration("36h")`, `timestamp("2027-01-31T00:00:00Z")`.
- Whole and fractional numbers don't mix: a field of the type `double` is compared with `4.0`, not with `4`.

YAML has a say first. An expression that begins with `!`, `"`, `[` or `{`, or that holds `: ` or ` #`, needs single
quotes around it: `expect: '!task.audio_only'`.

Every mistake of a file is shown with file, line and column, and with the nearest name where one is unknown. A file with
mistakes is not loaded; a running exporter keeps the rules that it has. An evaluation that takes too many steps is
stopped, and the task counts as unevaluable.

What one evaluation can cost is limited when the file is loaded. An expression that could take more than about a tenth
of a second or 32 MB is refused at its place: texts or lists that double again and again, loops in loops over long
texts, `matches` with large repetitions or with a pattern that is not a literal. For this, texts are cut at 256 bytes of
UTF-8, and a rule that names a list of more than 128 items can't be evaluated for that task. All rules of files together
may cost twice as much as one.

A rule that still takes more than a quarter of a second of CPU time three times within ten minutes is stopped: it is not
evaluated any more, its findings stay as they are, and tasks that it never saw count as unevaluable. The log, the page
`/rules` and `/api/v1/rules` (`state`) show it. A reload starts it again.
"""

_VARIABLES: Final = """\
## What expressions can name

A rule that names `task` alone is evaluated once for each distinct configuration, however many tasks share it. `task`
holds neither ids of channels and users nor payloads nor the paths of URLs.

*optional*: absent where the task does not say it; ask with `has()` first.
"""

_OUTCOMES: Final = """\
## Outcomes

For each task exactly one of these comes of a rule:

| outcome | when | counted by |
| --- | --- | --- |
| `pass` | `expect` is true | `rtcmpu_policy_evaluated_tasks` |
| `violation` | `expect` is false | `rtcmpu_policy_evaluated_tasks`, `rtcmpu_policy_violations` |
| `not_applicable` | `when` is false | `rtcmpu_policy_not_applicable_tasks` |
| `exempt` | it would be a violation, but for an exemption | `rtcmpu_policy_exempted_tasks` |
| `error` | it can't be evaluated, which is neither pass nor violation | `rtcmpu_policy_unevaluable_tasks` |

A violation is opened once, stays open as long as it is found, and is resolved once: when the task is mended, exempted
or removed. While an app's data is missing or too old, its findings stay as they are.

## Exemptions

`exempt` names tasks, by TaskId or by patterns with `*` and `?`, whose violations are agreed upon. An exemption has a
`name`, ends with the day `until` at 24:00 UTC, or never, and says its `reason`. A task that passes is a pass, exempt or
not. `rtcmpu_policy_exemption_expiry_timestamp_seconds` tells when one ends.

## Tests

Each of `tests` gives a part of a task, and the `outcome` that should come of it. What is left out is absent, empty or
false, and the mode is `mixed`. Derived facts follow from what is given; they can be given too. Other variables stand
beside `task`: `task_id`, `now`, `age`, `shared_outputs`, `app` and the rest. A case that does not say `now` is judged
at the beginning of the year 2000, when every exemption still holds.
"""

_EXPECTATIONS: Final = f"""\
## Expectations without an expression

What is expected of all tasks of one app stands in the configuration, as a list of what is fine or as a range. Each key
becomes a rule, `expect-region` and so on; `region` and `push_hosts` are critical, the others warnings.

```yaml
{CONFIGURATION_EXAMPLE}```

What a task has no part of does not apply to it, except that a missing idle timeout is over any `max`. `tasks` is about
the app as a whole: its rule counts 0 or 1, without a task.
"""

_SWITCHES: Final = """\
## Switching rules off, other severities

`policy.rules` changes single rules by name, whichever kind they are: `{enabled: false}` switches one off, `{severity:
critical}` gives it another severity, as the example above does. `policy.default_rules: false` switches all default
rules off.
"""

_DEFAULT_RULES: Final = """\
## Default rules

What the service's documents call invalid, and what is known to go wrong.
"""


def rules_markdown() -> str:
    """Return the whole reference."""
    rules = default_rules()
    parts = [_HEAD, _key_table(), _EXPRESSIONS, _VARIABLES, *_vocabulary(), _OUTCOMES]
    parts += [_EXPECTATIONS, _expectation_table(), _SWITCHES, _DEFAULT_RULES, _overview(rules), *map(_details, rules)]
    return "\n".join(parts)


def _key_table() -> str:
    """Return what stands in a rule."""
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
    name = "fields" if fact.kind is Kind.GROUP else f"`{fact.kind}`"
    return (f"list of {name}" if fact.is_list else name) + (", *optional*" if fact.is_optional else "")


def _expectation_table() -> str:
    """Return a row for each key of `expect`."""
    rows = (
        (f"`{key}`", f"`expect-{key.replace('_', '-')}`", _value(kind), keys_of(Expect)[key].description or "")
        for key, kind in kinds_of(Expect).items()
    )
    return _table(("key", "rule", "value", "means"), rows)


def _value(kind: ValueKind) -> str:
    """Return how an expectation is written."""
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
