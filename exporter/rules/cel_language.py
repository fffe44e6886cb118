"""The language of rules: CEL with its strings and math extensions, over the vocabulary's variables and nothing else."""

import difflib
import functools
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from msgspec import Struct

from exporter.rules.cost import Costs, TooCostlyError
from exporter.rules.facts import LONGEST_LIST, LONGEST_TEXT, short_text
from exporter.rules.syntax_tree import TimeLimit, read_tree, time_limits
from exporter.rules.vocabulary import Fact, FactType, TaskFacts, Variables, facts_of, walk

_FUNCTION_NAMES: Final = """
has all exists exists_one filter map size contains startsWith endsWith matches matchesGlob
string int double uint bool bytes duration timestamp type dyn
getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds
charAt format indexOf join lastIndexOf lowerAscii replace reverse split strings.quote substring trim upperAscii
math.abs math.bitAnd math.bitNot math.bitOr math.bitShiftLeft math.bitShiftRight math.bitXor math.ceil math.floor
math.greatest math.isFinite math.isInf math.isNaN math.least math.round math.sign math.sqrt math.trunc
"""
FUNCTIONS: Final = tuple(_FUNCTION_NAMES.split())

_WITH_TIME_ZONE: Final = """
  - {name: getFullYear, overloads: [{id: timestamp_to_year_with_tz}]}
  - {name: getMonth, overloads: [{id: timestamp_to_month_with_tz}]}
  - {name: getDate, overloads: [{id: timestamp_to_day_of_month_1_based_with_tz}]}
  - {name: getDayOfMonth, overloads: [{id: timestamp_to_day_of_month_with_tz}]}
  - {name: getDayOfWeek, overloads: [{id: timestamp_to_day_of_week_with_tz}]}
  - {name: getDayOfYear, overloads: [{id: timestamp_to_day_of_year_with_tz}]}
  - {name: getHours, overloads: [{id: timestamp_to_hours_with_tz}]}
  - {name: getMinutes, overloads: [{id: timestamp_to_minutes_with_tz}]}
  - {name: getSeconds, overloads: [{id: timestamp_to_seconds_tz}]}
  - {name: getMilliseconds, overloads: [{id: timestamp_to_milliseconds_with_tz}]}
"""
"""Functions that take the name of a time zone too, which the library looks up as a file of any path: left out."""


def matches_glob(text: str, glob: str) -> bool:
    """Whether a text matches a pattern with `*` and `?`, whatever the case of ASCII letters."""
    return fnmatchcase(_lower(text), _lower(glob).replace("[", "[[]"))


def _lower(text: str) -> str:
    return text.encode().lower().decode()


LONGEST_MESSAGE: Final = 200
_MISTAKE: Final = "ERROR: <input>:"  # how the library begins a mistake; its line, column and text follow
_CONTAINER: Final = " (in container '')"  # what the library says of each unknown name
_FOLLOWS: Final = "'*error*'"  # the library's type of what has a mistake: mistakes about it only follow from another

_FACTS: Final = tuple(dict.fromkeys(fact.name for _, fact in walk()))
_CALLED: Final = tuple(name.rpartition(".")[2] for name in FUNCTIONS)
_NAMES: Final = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*\(?")
"""Names in an expression that are joined by dots; with a parenthesis the last one is a function."""


class CompileMistake(NamedTuple):
    """One mistake within an expression."""

    line: int  # from 1
    column: int  # in characters, from 1
    text: str  # the library's message, and the nearest name where one is unknown


def _mistakes(error: str, expression: str) -> tuple[CompileMistake, ...]:
    found = []
    message = _without_code(error)[1]
    for line in message.splitlines():
        _, is_mistake, mistake = line.partition(_MISTAKE)
        if is_mistake and not line.startswith(" |") and _FOLLOWS not in mistake:
            number, column, what = mistake.split(":", 2)
            place = max(int(number), 1), max(int(column), 1)
            found.append(CompileMistake(*place, _in_one_line(what) + _nearest(expression, *place)))
    syntax = [mistake for mistake in found if mistake.text.startswith("Syntax error")]
    return tuple(sorted({*(syntax[:1] or found)})) or (CompileMistake(1, 1, _in_one_line(message)),)


def _without_code(error: str) -> tuple[str, str]:
    code, _, message = error.partition(": ")
    return code, message.removesuffix(f" [{code}]")


def _reason(error: str) -> str:
    code, message = _without_code(error)
    reason = _in_one_line(message)
    if code == "NOT_FOUND":
        is_list = any(fact.is_list and reason.endswith(f'"{fact.name}"') for fact in facts_of(TaskFacts))
        reason += f": missing, or has more than {LONGEST_LIST} items" if is_list else ": guard it with has()"
    return reason or "it has no value"


def _position(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _nearest(expression: str, line: int, column: int) -> str:
    """Return `, did you mean "…"?` where a name at a place is unknown and like one of the language."""
    for names in _NAMES.finditer(expression.split("\n")[line - 1]):
        for name in names[0].split(".") if names.start() <= column <= names.end() + 1 else ():
            known = _CALLED if name.endswith("(") else _FACTS
            near = difflib.get_close_matches(name.removesuffix("("), known, n=1)
            if near and near[0] != name.removesuffix("("):
                return f', did you mean "{near[0]}"?'
    return ""


def _in_one_line(text: str) -> str:
    line = " ".join(text.replace(_CONTAINER, "").split())
    return line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"


LONGEST_EXPRESSION: Final = 10_000

SLOW_SECONDS: Final = 0.25
MOST_SLOW: Final = 3
SLOW_WINDOW_SECONDS: Final = 600.0
"""An expression with `MOST_SLOW` evaluations of more than `SLOW_SECONDS` of CPU time within this window is stopped:
nothing else runs during an evaluation."""

STOPPED: Final = (
    f"stopped: it took over {SLOW_SECONDS} s {MOST_SLOW} times within {SLOW_WINDOW_SECONDS / 60:.0f} minutes"
)

_TOO_COSTLY: Final = (
    f"one evaluation can take too much time or memory (texts have up to {LONGEST_TEXT} bytes, lists up to"
    f" {LONGEST_LIST} items): make it simpler, or several rules of it"
)
_ODD_CHARACTER: Final = re.compile(r"[\x00\ud800-\udfff]")

Activation: TypeAlias = cel.Activation
T = TypeVar("T")


class CompileError(Exception):
    """An expression that can't be used; all its mistakes at once."""

    def __init__(self, mistakes: tuple[CompileMistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(f"{line}:{column}: {text}" for line, column, text in mistakes))


class EvaluationError(Exception):
    """An expression that has no value for this task; `str()` is one line that says why."""


class Clocks(NamedTuple):
    """What evaluations are measured by."""

    cpu_seconds: Callable[[], float] = time.thread_time  # waiting for a busy machine does not count
    seconds: Callable[[], float] = time.monotonic  # for which may be slow, and for the window of slow ones


_CLOCKS: Final = Clocks()


class Expression:
    """A compiled expression; `limits`: when its value can change as time passes."""

    def __init__(
        self,
        text: str,
        program: cel.Expression,
        costs: Costs | None = None,
        limits: frozenset[TimeLimit] = frozenset(),
        clocks: Clocks = _CLOCKS,
    ) -> None:
        self.text = text
        self.uses = frozenset[str]() if costs is None else frozenset(costs.variables)  # the variables that it names
        self.cost = 0 if costs is None else costs.total  # the most that an evaluation can cost
        self.limits = limits
        self._program = program
        self._clocks = clocks
        self._slow_at: deque[float] = deque(maxlen=MOST_SLOW)
        self.stopped = False  # whether it was too slow too often, and is not evaluated any more

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, activation: Activation) -> bool:
        """Return whether the condition holds; raises EvaluationError where it has no value, or is stopped."""
        return self._value(activation, bool, cel.Type.BOOL)

    def evaluate_text(self, activation: Activation) -> str:
        """Return the text that it makes; it raises as `evaluate` does."""
        return self._value(activation, str, cel.Type.STRING)

    def evaluate_list(self, activation: Activation) -> list[Any]:
        """Return the list that it makes; it raises as `evaluate` does."""
        return self._value(activation, list, cel.Type.LIST)

    def _value(self, activation: Activation, kind: type[T], expected: cel.Type) -> T:
        if self.stopped:
            raise EvaluationError(STOPPED)
        began = self._clocks.seconds()
        try:
            found = self._program.eval(activation)
            value = found.plain_value()
        except Exception as error:
            # Whatever the library raises, only this task can't be evaluated, and nothing else fails.
            raise EvaluationError(_reason(str(error))) from error
        finally:
            if self._clocks.seconds() - began > SLOW_SECONDS:
                self._measure(activation)
        if type(value) is kind and (kind is not str or found.type() == expected):  # more has a text in Python
            return value
        if found.type() == cel.Type.ERROR:
            raise EvaluationError(_reason(str(found.value())))
        raise EvaluationError(f"expected {_name(expected)}, this gives {_name(found.type())}")

    def _measure(self, activation: Activation) -> None:
        """Evaluate it again in CPU time: asking for that each time would take as long as evaluating."""
        began = self._clocks.cpu_seconds()
        with suppress(Exception):
            self._program.eval(activation)
        if self._clocks.cpu_seconds() - began > SLOW_SECONDS:
            self._slow_at.append(self._clocks.seconds())
            in_window = self._slow_at[-1] - self._slow_at[0] <= SLOW_WINDOW_SECONDS
            self.stopped = len(self._slow_at) == MOST_SLOW and in_window


def compile_condition(text: str, clocks: Clocks = _CLOCKS) -> Expression:
    """Compile an expression that is true or false; raises CompileError if it can't be used."""
    return _compile(text, cel.Type.BOOL, clocks)


def compile_message(text: str) -> Expression:
    """Compile an expression that makes a text; raises CompileError if it can't be used."""
    return _compile(text, cel.Type.STRING, _CLOCKS)


def compile_list(texts: Iterable[str]) -> Expression | None:
    """Return one expression with the values of several that compile; None where it is nested too deeply."""
    text = f"[{', '.join(texts)}]"
    try:
        return Expression(text, _running().compile(text))
    except RuntimeError:
        return None


def activation_of(variables: Mapping[str, Any]) -> Activation:
    """Return what expressions are evaluated against: `task` as `facts()` makes it, times as aware datetimes."""
    return _running().Activation(
        {name: short_text(value) if isinstance(value, str) else value for name, value in variables.items()}
    )


def _compile(text: str, expected: cel.Type, clocks: Clocks) -> Expression:
    _check_text(text)
    given, program, costs, limits = _analysed(text)
    if given not in (expected, cel.Type.DYN):
        raise _mistake(f"expected {_name(expected)}, this gives {_name(given)}")
    return Expression(text, program, costs, limits, clocks)


@functools.lru_cache(maxsize=512)
def _analysed(text: str) -> tuple[cel.Type, cel.Expression, Costs, frozenset[TimeLimit]]:
    checked = _compiled(_checking(), text)
    program = _compiled(_running(), text)
    tree, places = read_tree(checked.serialize())
    try:
        costs = Costs(tree)
    except TooCostlyError as error:
        place = _position(text, places.get(error.node.id, 0))
        raise CompileError((CompileMistake(*place, _TOO_COSTLY),)) from None
    return checked.return_type(), program, costs, time_limits(tree, _constant)


def _constant(text: str) -> object:
    try:
        return _running().compile(text).eval(_running().Activation({})).plain_value()
    except RuntimeError:
        return None


@functools.cache
def _checking() -> cel.Env:
    """Return what expressions are checked in: groups of facts are messages, whose fields and types are known."""
    return _environment({fact.name: _variable_type(fact) for fact in facts_of(Variables)}, message_pool())


@functools.cache
def _running() -> cel.Env:
    """Return what expressions run in: groups are plain maps, and a missing key is an error."""
    return _environment(
        {
            fact.name: cel.Type.DYN if fact.kind is FactType.GROUP else _variable_type(fact)
            for fact in facts_of(Variables)
        }
    )


def _environment(variables: Mapping[str, cel.Type], messages: DescriptorPool | None = None) -> cel.Env:
    text = cel.Type.STRING
    glob = cel.Overload(
        "string_matches_glob", return_type=cel.Type.BOOL, parameters=[text, text], is_member=True, impl=matches_glob
    )
    return cel.NewEnv(
        messages,
        config=cel.NewEnvConfigFromYaml(f"name: rules\nstdlib:\n  exclude_functions:{_WITH_TIME_ZONE}"),
        variables=variables,
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
        functions=[cel.FunctionDecl("matchesGlob", [glob])],
    )


_FIELD_TYPES: Final = {
    FactType.TEXT: FieldDescriptorProto.TYPE_STRING,
    FactType.WHOLE_NUMBER: FieldDescriptorProto.TYPE_INT64,
    FactType.NUMBER: FieldDescriptorProto.TYPE_DOUBLE,
    FactType.CONDITION: FieldDescriptorProto.TYPE_BOOL,
    FactType.TIMESTAMP: FieldDescriptorProto.TYPE_MESSAGE,
    FactType.GROUP: FieldDescriptorProto.TYPE_MESSAGE,
}
_VARIABLE_TYPES: Final = {
    FactType.TEXT: cel.Type.STRING,
    FactType.WHOLE_NUMBER: cel.Type.INT,
    FactType.TIMESTAMP: cel.Type.TIMESTAMP,
    FactType.DURATION: cel.Type.DURATION,
}


def _message_name(group: type[Struct]) -> str:
    return group.__name__.removesuffix("Facts")


def _variable_type(fact: Fact) -> cel.Type:
    return _VARIABLE_TYPES[fact.kind] if fact.group is None else cel.Type(_message_name(fact.group))


def message_pool() -> DescriptorPool:
    """Return a new pool with a message type for each group of the vocabulary."""
    file = FileDescriptorProto(name="facts.proto", syntax="proto2", dependency=[timestamp_pb2.DESCRIPTOR.name])
    for group in dict.fromkeys(fact.group for _, fact in walk() if fact.group is not None):
        file.message_type.add(name=_message_name(group), field=_fields(group))
    pool = DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _fields(group: type[Struct]) -> Iterator[FieldDescriptorProto]:
    for number, fact in enumerate(facts_of(group), 1):
        label = FieldDescriptorProto.LABEL_REPEATED if fact.is_list else FieldDescriptorProto.LABEL_OPTIONAL
        field = FieldDescriptorProto(name=fact.name, number=number, label=label, type=_FIELD_TYPES[fact.kind])
        if fact.kind is FactType.TIMESTAMP:
            field.type_name = f".{timestamp_pb2.Timestamp.DESCRIPTOR.full_name}"
        elif fact.group is not None:
            field.type_name = f".{_message_name(fact.group)}"
        yield field


def _check_text(text: str) -> None:
    if len(text) > LONGEST_EXPRESSION:
        raise _mistake(f"an expression of {len(text)} characters, at most {LONGEST_EXPRESSION} are allowed")
    odd = _ODD_CHARACTER.search(text)
    if odd is not None:
        reason = f"a character that no text has (U+{ord(odd[0]):04X})"
        raise CompileError((CompileMistake(*_position(text, odd.start()), reason),))


def _name(kind: cel.Type) -> str:
    return kind.name().partition("<")[0].lower()


def _mistake(text: str) -> CompileError:
    return CompileError((CompileMistake(1, 1, text),))


def _compiled(environment: cel.Env, text: str) -> cel.Expression:
    try:
        return environment.compile(text)
    except RuntimeError as error:
        raise CompileError(_mistakes(str(error), text)) from error
