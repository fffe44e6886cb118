"""The functions and macros of the language, each with an example that compiles."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

FUNCTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "has": "has(task.video.codec)",
        "all": 'task.outputs.all(o, o.scheme == "rtmps")',
        "exists": 'task.outputs.exists(o, o.scheme == "srt")',
        "exists_one": 'task.outputs.exists_one(o, o.scheme == "srt")',
        "filter": 'task.outputs.filter(o, o.scheme == "srt")',
        "map": "task.outputs.map(o, o.host)",
        "size": "size(task.outputs)",
        "contains": 'task.mix_mode.contains("mix")',
        "startsWith": 'task.mix_mode.startsWith("mix")',
        "endsWith": 'task.mix_mode.endsWith("ed")',
        "matches": 'task.mix_mode.matches("^mix")',
        "string": "string(task.pane_count)",
        "int": "int(task.video.aspect)",
        "double": "double(task.video.width)",
        "uint": "uint(task.pane_count)",
        "bool": 'bool("true")',
        "bytes": "bytes(task.mix_mode)",
        "duration": 'duration("5m")',
        "timestamp": 'timestamp("2030-01-31T00:00:00Z")',
        "type": "type(task.mix_mode)",
        "dyn": "dyn(task.mix_mode)",
        "getFullYear": "now.getFullYear()",
        "getMonth": "now.getMonth()",
        "getDate": "now.getDate()",
        "getDayOfMonth": "now.getDayOfMonth()",
        "getDayOfWeek": "now.getDayOfWeek()",
        "getDayOfYear": "now.getDayOfYear()",
        "getHours": "now.getHours()",
        "getMinutes": "now.getMinutes()",
        "getSeconds": "now.getSeconds()",
        "getMilliseconds": "now.getMilliseconds()",
        "charAt": "task.mix_mode.charAt(0)",
        "format": '"%d panes".format([task.pane_count])',
        "indexOf": 'task.mix_mode.indexOf("x")',
        "join": 'task.field_errors.join(", ")',
        "lastIndexOf": 'task.mix_mode.lastIndexOf("x")',
        "lowerAscii": "task.mix_mode.lowerAscii()",
        "replace": 'task.mix_mode.replace("x", "y")',
        "reverse": "task.mix_mode.reverse()",
        "split": 'task_id.split("-")',
        "strings.quote": "strings.quote(task_id)",
        "substring": "task_id.substring(0, 3)",
        "trim": "task_id.trim()",
        "upperAscii": "task.mix_mode.upperAscii()",
        "math.abs": "math.abs(task.video.gop)",
        "math.bitAnd": "math.bitAnd(task.video.width, 15)",
        "math.bitNot": "math.bitNot(task.video.width)",
        "math.bitOr": "math.bitOr(task.video.width, 1)",
        "math.bitShiftLeft": "math.bitShiftLeft(task.video.width, 1)",
        "math.bitShiftRight": "math.bitShiftRight(task.video.width, 1)",
        "math.bitXor": "math.bitXor(task.video.width, 1)",
        "math.ceil": "math.ceil(task.video.aspect)",
        "math.floor": "math.floor(task.video.aspect)",
        "math.greatest": "math.greatest(task.video.width, task.video.height)",
        "math.isFinite": "math.isFinite(task.video.aspect)",
        "math.isInf": "math.isInf(task.video.aspect)",
        "math.isNaN": "math.isNaN(task.video.aspect)",
        "math.least": "math.least(task.video.width, task.video.height)",
        "math.round": "math.round(task.video.aspect)",
        "math.sign": "math.sign(task.video.gop)",
        "math.sqrt": "math.sqrt(task.video.aspect)",
        "math.trunc": "math.trunc(task.video.aspect)",
    }
)
"""What CEL and its strings and math extensions offer here, by name."""

_WITH_TIME_ZONE: Final = MappingProxyType(
    {
        "getFullYear": "timestamp_to_year_with_tz",
        "getMonth": "timestamp_to_month_with_tz",
        "getDate": "timestamp_to_day_of_month_1_based_with_tz",
        "getDayOfMonth": "timestamp_to_day_of_month_with_tz",
        "getDayOfWeek": "timestamp_to_day_of_week_with_tz",
        "getDayOfYear": "timestamp_to_day_of_year_with_tz",
        "getHours": "timestamp_to_hours_with_tz",
        "getMinutes": "timestamp_to_minutes_with_tz",
        "getSeconds": "timestamp_to_seconds_tz",
        "getMilliseconds": "timestamp_to_milliseconds_with_tz",
    }
)
"""Functions that take the name of a time zone too, which the library looks up as a file of any path: left out."""


def extensions() -> list[cel.CelExtensionBase]:
    """Return what is added to plain CEL."""
    return [ext_strings.ExtStrings(), ext_math.ExtMath()]


def standard_library() -> cel.EnvConfig:
    """Return plain CEL but for the functions that open files."""
    left_out = "".join(
        f"  - name: {name}\n    overloads:\n    - id: {overload}\n" for name, overload in _WITH_TIME_ZONE.items()
    )
    return cel.NewEnvConfigFromYaml(f"name: rules\nstdlib:\n  exclude_functions:\n{left_out}")
