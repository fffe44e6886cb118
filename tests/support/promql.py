"""What is in a PromQL expression: its selectors with what surrounds them, and the labels that it names."""

from typing import NamedTuple

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, VectorSelector


class Use(NamedTuple):
    """One selector, and the expressions around it from the outermost to the innermost."""

    selector: VectorSelector
    around: tuple[Expr, ...]

    @property
    def name(self) -> str:
        """The metric's name."""
        assert self.selector.name is not None
        return self.selector.name

    @property
    def function(self) -> str | None:
        """The function that is applied to the selector's range; None without a range."""
        if len(self.around) < 2 or not isinstance(self.around[-1], MatrixSelector):
            return None
        call = self.around[-2]
        assert isinstance(call, Call)
        return call.func.name

    @property
    def aggregations(self) -> list[str]:
        """What aggregates it, from the innermost to the outermost."""
        return [_operator(around) for around in reversed(self.around) if isinstance(around, AggregateExpr)]


def uses(expression: str) -> list[Use]:
    """Return the selectors of an expression in their order; raises ValueError if the expression can't be parsed."""
    found: list[Use] = []
    around: list[Expr] = []

    def enter(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append(Use(node, tuple(around)))
        around.append(node)

    def leave(_node: Expr) -> None:
        around.pop()

    promql_parser.walk(promql_parser.parse(expression), enter, leave)
    return found


def labels_named(expression: str) -> set[str]:
    """Return all labels that an expression groups or matches by."""
    found: set[str] = set()

    def enter(node: Expr) -> None:
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)
        if isinstance(node, BinaryExpr) and node.modifier is not None:
            if node.modifier.matching is not None:
                found.update(node.modifier.matching.labels)
            found.update(node.modifier.group_labels or ())

    promql_parser.walk(promql_parser.parse(expression), enter)
    return found


def _operator(aggregation: AggregateExpr) -> str:
    return aggregation.prettify().split("(", maxsplit=1)[0].split()[0]
