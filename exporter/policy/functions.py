"""The functions and macros of expressions: those of CEL, of its strings and math extensions, and `matchesGlob`."""

from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

_NAMES: Final = """
has all exists exists_one filter map size contains startsWith endsWith matches matchesGlob
string int double uint bool bytes duration timestamp type dyn
getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds
charAt format indexOf join lastIndexOf lowerAscii replace reverse split strings.quote substring trim upperAscii
math.abs math.bitAnd math.bitNot math.bitOr math.bitShiftLeft math.bitShiftRight math.bitXor math.ceil math.floor
math.greatest math.isFinite math.isInf math.isNaN math.least math.round math.sign math.sqrt math.trunc
"""
FUNCTIONS: Final = tuple(_NAMES.split())

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


def matches_glob(text: str, glob: str) -> bool:
    """Whether a text matches a pattern with `*` and `?`, whatever the case of ASCII letters."""
    return fnmatchcase(_lower(text), _lower(glob).replace("[", "[[]"))


def extensions() -> list[cel.CelExtensionBase]:
    """Return what is added to plain CEL."""
    return [ext_strings.ExtStrings(), ext_math.ExtMath()]


def own_functions() -> list[cel.FunctionDecl]:
    """Return the functions that are written here."""
    text = cel.Type.STRING
    glob = cel.Overload(
        "string_matches_glob", return_type=cel.Type.BOOL, parameters=[text, text], is_member=True, impl=matches_glob
    )
    return [cel.FunctionDecl("matchesGlob", [glob])]


def standard_library() -> cel.EnvConfig:
    """Return plain CEL but for the functions that open files."""
    left_out = "".join(
        f"  - name: {name}\n    overloads:\n    - id: {overload}\n" for name, overload in _WITH_TIME_ZONE.items()
    )
    return cel.NewEnvConfigFromYaml(f"name: rules\nstdlib:\n  exclude_functions:\n{left_out}")


def _lower(text: str) -> str:
    return text.encode().lower().decode()
