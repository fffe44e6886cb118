"""The reference of the configuration as Markdown, `docs/configuration.md`: derived from the model."""

import inspect
from typing import Final

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from exporter.config.credential_kinds import KINDS
from exporter.config.model import Account, App, Buckets, Collection, Config, Metrics, PerTask, Quota
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.config.section import FILE_SUFFIX, ValueType, describe, is_secret, keys_of, kind_of, kinds_of
from exporter.config.value_types import Choices, DefaultNote

EXAMPLE: Final = """\
accounts:
  - name: production
    requests_per_second: 20
    credentials:
      access_key_id: ${ALIBABA_CLOUD_ACCESS_KEY_ID}
      access_key_secret_file: /run/secrets/aliyun
    app_files: [apps/*.yml]
    apps:
      - id: live-main
        name: Main stage
        owner: live-ops
        quota: {single: 500, mixed: none}
        expect:
          region: [CN-Shanghai]
          push_hosts: ["*.example.com"]
          video_bitrate_kbps: {min: 800, max: 3000}
      - id: live-backstage
collection:
  interval: 10s
  sweep_interval: 5m
policy:
  rule_files: [rules/*.yml]
  rules: {gop-too-long: {enabled: false}}
metrics:
  per_task: {enabled: true, max_series: 20000}
  buckets:
    video_bitrate_kbps: [500, 1000, 2000, 3000, 5000, 8000]
"""

_HEAD: Final = f"""\
# Configuration

A YAML file, selected by `--config.file`. `rtcmpu-exporter check-config FILE` reports every mistake as
`file:line:column: what, what was expected`. [config.schema.json](config.schema.json) is its JSON Schema for editors.

```yaml
{EXAMPLE}```

- Unknown and duplicate keys are mistakes. A key without a value is ignored.
- Durations are written as in Prometheus: `100ms`, `30s`, `5m`, `1h30m`, `1d`.
- `${{NAME}}` in a value is replaced by the environment variable; an unset variable is a mistake. `$$` is a `$`.
- Texts need no quotes: the id `007` stays `007`.
- The key with `_file` reads a secret from a file; the file is read again after a change.
- Relative paths are relative to the directory of the file.
"""

_SECTIONS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("The file", Config),
    ("accounts", Account),
    ("apps", App),
    ("apps: quota", Quota),
    ("apps: expect", Expect),
    ("apps: expect: a range", Range),
    ("collection", Collection),
    ("policy", Policy),
    ("policy: rules: one of them", RuleSwitch),
    ("metrics", Metrics),
    ("metrics: per_task", PerTask),
    ("metrics: buckets", Buckets),
)
_APP_FILES: Final = """
A file of `app_files` is a list of apps:

```yaml
- id: live-east
  owner: live-ops
- id: live-west
```
"""
_CREDENTIALS: Final = """
## credentials

`type` is the source of the access key. The default is `access_key`; without `credentials` it is the official default
chain.
"""


def configuration_markdown() -> str:
    """Return the whole text of `docs/configuration.md`."""
    parts = [_HEAD]
    for title, model in _SECTIONS:
        parts.append(f"\n## {title}\n\n{_about(model)}\n\n{_table(model)}")
        if model is App:
            parts.append(_APP_FILES)
    parts.append(_CREDENTIALS)
    for kind in KINDS:
        parts.append(f"\n### {kind.model_fields['type'].default}\n\n{_about(kind)}\n")
        if len(keys_of(kind)) > 1:
            parts.append(f"\n{_table(kind)}")
    return "".join(parts)


def _about(model: type[BaseModel]) -> str:
    """Return what a mapping is for."""
    return inspect.cleandoc(model.__doc__ or "")


def _table(model: type[BaseModel]) -> str:
    """Return the table of a mapping's keys."""
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    kinds = kinds_of(model)
    for key, field in keys_of(model).items():
        if key == "type":
            continue
        kind = kinds[key]
        names = f"`{key}`" + (f" or `{key}{FILE_SUFFIX}`" if is_secret(kind) else "")
        rows.append(f"| {names} | {_type(kind)} | {_default(field, kind)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _type(kind: ValueType) -> str:
    """Return what a value has to be, shortly."""
    if kind.models:
        return "mapping"
    if kind.item is None or describe(kind) not in {"a list", "a mapping (name: value)"}:
        return describe(kind).replace("|", "\\|")
    return f"list of {_items(kind_of(kind.item))}" if describe(kind) == "a list" else "mapping by name"


def _items(kind: ValueType) -> str:
    """Return what the items of a list are."""
    if kind.models:
        return "mappings"
    is_closed = kind.core is bool or (kind.find(Choices) is not None and describe(kind) != "a text")
    return describe(kind) if is_closed else "texts"


def _default(field: FieldInfo, kind: ValueType) -> str:
    """Return the default as it would be written."""
    if field.is_required():
        return "**required**"
    note = kind.find(DefaultNote)
    if note is not None:
        return note.words
    if kind.models or field.default in (None, "", (), {}):
        return ""
    return f"`{_shown(TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode='json'))}`"


def _shown(value: object) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
