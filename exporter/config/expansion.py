"""`${NAME}` in a value: the environment's value stands there instead."""

import re
from collections.abc import Mapping
from typing import Final

_DOLLAR: Final = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|(\{))")


class ExpansionError(ValueError):
    """What can't be expanded: one sentence each, names of variables alone, never values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with each `${NAME}` replaced, once; `$$` is a literal `$`, as is any other `$`.

    Raises:
        ExpansionError: A variable is not set, or `${` is not followed by a name and `}`.
    """
    problems: list[str] = []

    def replace(match: re.Match[str]) -> str:
        dollar, name, brace = match.groups()
        if dollar:
            return "$"
        if brace:
            problems.append("${ without a name and }, expected ${NAME} or $${ for a literal ${")
        elif name not in environ:
            problems.append(f"the environment variable {name} is not set, expected a value for it")
        else:
            return environ[name]
        return ""

    expanded = _DOLLAR.sub(replace, text)
    if problems:
        raise ExpansionError(problems)
    return expanded
