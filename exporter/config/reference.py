"""The reference of the configuration as Markdown, `docs/configuration.md`: derived from the model."""

import inspect
from typing import Final

from msgspec import Struct

from exporter.config import values
from exporter.config.credentials import Credentials
from exporter.config.durations import format_duration
from exporter.config.model import Account, App, Buckets, Collection, Config, Metrics, PerTask, Quota
from exporter.config.policy_model import Expect, Policy, Range, RuleSwitch
from exporter.config.redacted import plain_value
from exporter.config.shapes import FILE_SUFFIX, Key, Shape, keys_of, tag_of

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

A YAML file, given by `--config.file`. `rtcmpu-exporter check-config FILE` shows every mistake in it at once, each
as `file:line:column: what, what was expected`. An editor that reads JSON Schema checks while you type:
[config.schema.json](config.schema.json).

```yaml
{EXAMPLE}```

- Unknown and duplicate keys are mistakes. A key without a value counts as left out.
- Durations are written as in Prometheus: `100ms`, `30s`, `5m`, `1h30m`, `1d`.
- `${{NAME}}` in a value is replaced by the environment variable; one that is not set is a mistake. `$$` is a `$`.
- A text is taken as it is written: an id `007` stays `007`, quotes are not needed.
- Any secret can stand in a file of its own, named by the key with `_file`; the file is read anew when it is used.
- Relative paths start at the directory of the file.
"""

_SECTIONS: Final[tuple[tuple[str, type[Struct]], ...]] = (
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
A file that `app_files` names holds a list of such apps and nothing else:

```yaml
- id: live-east
  owner: live-ops
- id: live-west
```
"""
_CREDENTIALS: Final = """
## credentials

`type` says where the access key comes from. Without `type` it is an access key; without `credentials` it is the
official default chain.
"""


def configuration_markdown() -> str:
    """Return the whole text of `docs/configuration.md`."""
    parts = [_HEAD]
    for title, struct in _SECTIONS:
        parts.append(f"\n## {title}\n\n{_about(struct)}\n\n{_table(struct)}")
        if struct is App:
            parts.append(_APP_FILES)
    parts.append(_CREDENTIALS)
    for kind in Credentials.__args__:
        parts.append(f"\n### {tag_of(kind)}\n\n{_about(kind)}\n")
        if keys_of(kind):
            parts.append(f"\n{_table(kind)}")
    return "".join(parts)


def _about(struct: type[Struct]) -> str:
    """Return what a mapping is for."""
    return inspect.cleandoc(struct.__doc__ or "")


def _table(struct: type[Struct]) -> str:
    """Return the table of a mapping's keys."""
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key in keys_of(struct):
        names = f"`{key.name}`"
        if key.shape.kind == "secret":
            names += f" or `{key.name}{FILE_SUFFIX}`"
        rows.append(f"| {names} | {_type(key.shape)} | {_default(key)} | {key.description} |")
    return "\n".join(rows) + "\n"


def _type(shape: Shape) -> str:
    """Return what a value has to be, shortly."""
    match shape.kind:
        case "mapping" | "tagged":
            return "mapping"
        case "table":
            return "mapping by name"
        case "list" if shape.item is not None:
            return f"list of {_items(shape.item)}"
        case "duration":
            return "duration" + values.describe_bounds(shape, format_duration)
        case _:
            return values.describe(shape).replace("|", "\\|")


def _items(shape: Shape) -> str:
    """Return what the items of a list are."""
    if shape.structs:
        return "mappings"
    is_closed = shape.kind == "switch" or (shape.kind == "choice" and not shape.open)
    return values.describe(shape) if is_closed else "texts"


def _default(key: Key) -> str:
    """Return the default as it would be written."""
    if key.required:
        return "**required**"
    if key.default_note:
        return key.default_note
    if key.shape.structs or key.default in {None, "", ()}:
        return ""
    shown = plain_value(key.shape, key.default)
    if isinstance(shown, bool):
        return f"`{str(shown).lower()}`"
    return f"`{shown:g}`" if isinstance(shown, float) else f"`{shown}`"
