"""The language of rules: CEL with its strings and math extensions, over the vocabulary's variables.

Each expression is compiled twice: against message types, which finds what is unknown or of the wrong type, and
against plain maps, which is what runs. Nothing in the language reads files, clocks, the network or the environment:
an expression sees its variables alone. Steps are limited by CEL itself, length and time here.
"""

import functools
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from cel_expr_python import cel
from google.protobuf.descriptor_pool import DescriptorPool

from exporter.policy.compile_mistakes import CompileMistake, mistakes_of
from exporter.policy.evaluation_reasons import reason_of
from exporter.policy.facts import fit_text
from exporter.policy.functions import extensions, standard_library
from exporter.policy.protobuf_types import checked_types, message_pool, running_types
from exporter.policy.type_words import in_words

__all__ = ["Activation", "CompileError", "CompileMistake", "EvaluationError", "Expression", "Language"]

LONGEST_EXPRESSION: Final = 10_000

SLOW_SECONDS: Final = 0.25
MOST_SLOW: Final = 3
"""After so many slow evaluations an expression is given up: each of its steps is far from cheap, and while it runs
nothing else does. One alone proves nothing, since the whole process may have had to wait."""

_ODD_CHARACTER: Final = re.compile(r"[\x00\ud800-\udfff]")

Activation: TypeAlias = cel.Activation


class CompileError(Exception):
    """An expression that can't be used; all its mistakes at once."""

    def __init__(self, mistakes: tuple[CompileMistake, ...]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(f"{line}:{column}: {text}" for line, column, text in mistakes))


class EvaluationError(Exception):
    """An expression that has no value for this task; `str()` is one line that says why."""


class Expression:
    """A compiled expression.

    Args:
        text: As it is written.
        program: What runs.
        result: The type of its value.
        uses: The variables that it names.
        seconds: Measures how long evaluations take.
    """

    def __init__(
        self,
        text: str,
        program: cel.Expression,
        result: cel.Type,
        uses: frozenset[str],
        seconds: Callable[[], float],
    ) -> None:
        self.text = text
        self.uses = uses
        """The variables that it names."""
        self._program = program
        self._result = result
        self._seconds = seconds
        self._slow_times = 0

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, activation: Activation) -> bool | str:
        """Return its value: a bool of a condition, a text of a message.

        Raises:
            EvaluationError: It has none: a value is absent, a number is out of range, it takes too many steps. Or it
                was slow too often.
        """
        if self._slow_times >= MOST_SLOW:
            raise EvaluationError(f"the expression was stopped: it took longer than {SLOW_SECONDS} s {MOST_SLOW} times")
        began = self._seconds()
        try:
            found = self._program.eval(activation)
            kind, value = found.type(), found.value()
        except Exception as error:
            # Whatever the library raises, it is this task that can't be judged, and nothing else that fails.
            raise EvaluationError(reason_of(str(error), self.text)) from error
        finally:
            self._slow_times += self._seconds() - began > SLOW_SECONDS
        if kind == self._result and isinstance(value, bool | str):
            return value
        if kind == cel.Type.ERROR:
            raise EvaluationError(reason_of(str(value), self.text))
        raise EvaluationError(f"expected {in_words(self._result.name())}, this gives {in_words(kind.name())}")


class Language:
    """Compiles expressions; one serves all rules.

    Args:
        seconds: Measures how long evaluations take.
    """

    def __init__(self, seconds: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        running = running_types()
        self._checking = _environment(checked_types(), message_pool())
        self._running = _running_environment()
        self._without = {
            name: _environment({other: kind for other, kind in running.items() if other != name}) for name in running
        }

    def compile_condition(self, text: str) -> Expression:
        """Compile an expression that is true or false.

        Raises:
            CompileError: It can't be used.
        """
        return self._compile(text, cel.Type.BOOL)

    def compile_message(self, text: str) -> Expression:
        """Compile an expression that makes a text.

        Raises:
            CompileError: It can't be used.
        """
        return self._compile(text, cel.Type.STRING)

    def activation(self, variables: Mapping[str, Any]) -> Activation:
        """Return what expressions are evaluated against.

        Args:
            variables: By name: `task` as `facts()` makes it, points in time as aware datetimes. An expression that
                names one that is left out has no value.
        """
        return self._running.Activation(
            {name: fit_text(value) if isinstance(value, str) else value for name, value in variables.items()}
        )

    def _compile(self, text: str, expected: cel.Type) -> Expression:
        """Compile an expression of the expected type."""
        _check_text(text)
        given = _compiled(self._checking, text).return_type()
        program = _compiled(self._running, text)
        if given not in (expected, cel.Type.DYN):
            raise _mistake(f"expected {in_words(expected.name())}, this gives {in_words(given.name())}")
        return Expression(text, program, expected, self._uses(text), self._seconds)

    def _uses(self, text: str) -> frozenset[str]:
        """Return the variables that an expression names: without them it does not compile."""
        return frozenset(
            name for name, without in self._without.items() if name in text and not _compiles(without, text)
        )


@functools.cache
def _running_environment() -> cel.Env:
    """Return what expressions run in: one for all languages, since a time is of use only where it was given."""
    return _environment(running_types())


def _environment(variables: Mapping[str, cel.Type], messages: DescriptorPool | None = None) -> cel.Env:
    """Return what expressions over these variables are compiled in."""
    return cel.NewEnv(messages, config=standard_library(), variables=variables, extensions=extensions())


def _check_text(text: str) -> None:
    """Refuse what the library is not to be asked."""
    if len(text) > LONGEST_EXPRESSION:
        raise _mistake(f"an expression of {len(text)} characters, at most {LONGEST_EXPRESSION} are allowed")
    odd = _ODD_CHARACTER.search(text)
    if odd is not None:
        before = text[: odd.start()]
        line, column = before.count("\n") + 1, odd.start() - before.rfind("\n")
        raise CompileError((CompileMistake(line, column, f"a character that no text has (U+{ord(odd[0]):04X})"),))


def _mistake(text: str) -> CompileError:
    """Return the error about an expression as a whole."""
    return CompileError((CompileMistake(1, 1, text),))


def _compiled(environment: cel.Env, text: str) -> cel.Expression:
    """Compile a text.

    Raises:
        CompileError: It can't be.
    """
    try:
        return environment.compile(text)
    except RuntimeError as error:
        raise CompileError(mistakes_of(str(error), text)) from error


def _compiles(environment: cel.Env, text: str) -> bool:
    """Whether a text can be compiled."""
    try:
        environment.compile(text)
    except RuntimeError:
        return False
    return True
