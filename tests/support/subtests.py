"""A check of many values as one test: each item of pytest takes 3 ms, most of these checks take less."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

_Value = TypeVar("_Value")


def for_each(
    values: Iterable[_Value], *, name: Callable[[_Value], str] = str
) -> Callable[[Callable[[_Value], None]], Callable[[pytest.Subtests], None]]:
    """Return a decorator that makes one test of a check of one value.

    Every value is checked, also after one has failed, and a failure has the name of its value. For checks that need no
    fixture: what a fixture made would be shared by all values.
    """
    checked = list(values)
    assert checked

    def decorate(check: Callable[[_Value], None]) -> Callable[[pytest.Subtests], None]:
        def test(subtests: pytest.Subtests) -> None:
            for value in checked:
                with subtests.test(name(value)):
                    check(value)

        test.__doc__ = check.__doc__
        return test

    return decorate
