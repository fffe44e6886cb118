"""Break the modules behind the guarantees in small ways, and count how many of these mutants the tests notice.

    python -m benchmarks.mutants                    # 25 mutants of each part, chosen by seed 1
    python -m benchmarks.mutants --tree DIR --part "limiter: exporter/{a,b}.py | tests/test_{a,b}.py"

A mutant differs in one place: a comparison, a number, a condition, an operator, or a statement that is left out. It
runs in a copy of the tree, with the tests of its part alone. A mutant that takes too long counts as killed. Survivors
are listed: many of them change nothing that can be seen.
"""

import argparse
import ast
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.report import show

PARTS: Final = """\
list reader: exporter/collector/{list_reader,list_pass,reading}.py
 | tests/collector/test_{list_reader,collector,exactness}.py
limiter: exporter/collector/rate_limiter.py
 | tests/collector/test_{limiter,limiter_throttling,limiter_law}.py tests/service/test_limiter_pool.py
accounts: exporter/service/accounts.py | tests/service/test_{limiter_pool,accounts}.py
inventory: exporter/collector/{inventory,absences,lookups}.py
 | tests/collector/test_{inventory,collector,exactness}.py
supervisor: exporter/service/supervisor.py | tests/service/test_supervisor.py
"""
SWAPS: Final = (
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
    (ast.Add, ast.Sub),
    (ast.And, ast.Or),
)
SWAPPED: Final[dict[type, Any]] = {one: other for pair in SWAPS for one, other in (pair, pair[::-1])}
MEMORY_BYTES: Final = 4 << 30


class Mutant(NamedTuple):
    """A module with one difference."""

    path: str
    line: int
    before: str
    after: str
    source: bytes


def mutants(path: str, source: bytes) -> Iterator[Mutant]:
    """Yield all mutants of a module."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in _nodes(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = " ".join(source[start:end].decode().split())
        for after in _replacements(node):
            yield Mutant(path, node.lineno, before, after, source[:start] + after.encode() + source[end:])


def _nodes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield what runs: no annotation, decorator, pattern or formatted text."""
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr | ast.pattern):
                yield from _nodes(child)


def _replacements(node: ast.expr | ast.stmt) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in SWAPPED:
            yield _text(ast.Compare(left, [SWAPPED[type(operator)]()], [right]))
        case ast.BoolOp(op=operator, values=values):
            yield _text(ast.BoolOp(SWAPPED[type(operator)](), values))
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in SWAPPED:
            yield _text(ast.BinOp(left, SWAPPED[type(operator)](), right))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _text(operand)
        case ast.Constant(value=bool() as value):
            yield str(not value)
        case ast.Constant(value=int() | float() as value):
            yield _text(ast.Constant(value + 1))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield _text(ast.IfExp(test, orelse, body))
        case ast.Expr(value=ast.Call()) if "log" not in _text(node):
            yield "pass"
        case ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Continue():
            yield "pass"


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    return f"({text})" if isinstance(node, ast.expr) else text


def survives(tree: Path, mutant: Mutant, tests: list[str], *, seconds: float) -> bool:
    """Return whether all tests pass with a mutant in a tree, which is as before afterwards."""
    module = tree / mutant.path
    original = module.read_bytes()
    module.write_bytes(mutant.source)
    try:
        return _passes(tree, tests, seconds=seconds)
    finally:
        module.write_bytes(original)


def _passes(tree: Path, tests: list[str], *, seconds: float) -> bool:
    command = (sys.executable, "-m", "pytest", "-qx", "-n0", "-pno:cacheprovider", "--hypothesis-seed=1", *tests)
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),  # noqa: PLW1509 - one thread
    ) as running:
        try:
            return running.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return False


def _expanded(paths: str) -> list[str]:
    """Write out `start{one,other}end` in each of some paths."""
    found = []
    for path in paths.split():
        start, brace, rest = path.partition("{")
        names, _, end = rest.partition("}")
        found += [f"{start}{name}{end}" for name in names.split(",")] if brace else [start]
    return found


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutants", description="Count mutants that tests notice."
    )
    parser.add_argument("--tree", type=Path, default=Path(), help="the checkout to copy and break")
    parser.add_argument("--part", action="append", metavar="NAME: MODULES | TESTS", help="instead of the usual")
    parser.add_argument("--mutants", type=int, default=25, help="how many of each part (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        left_out = shutil.ignore_patterns(".*", "node_modules", "build", "__pycache__")
        shutil.copytree(options.tree, tree, ignore=left_out)
        for part in options.part or PARTS.replace("\n |", " |").splitlines():
            name, _, paths = part.partition(": ")
            modules, tests = map(_expanded, paths.split(" | "))
            possible = [mutant for path in modules for mutant in mutants(path, (tree / path).read_bytes())]
            chosen = random.Random(options.seed).sample(possible, min(options.mutants, len(possible)))  # noqa: S311 - no secret
            began = time.monotonic()
            if not _passes(tree, tests, seconds=600):
                raise SystemExit(f"{name}: the tests fail without a mutant")
            limit = 30 + 5 * (time.monotonic() - began)
            killed = 0
            for each in chosen:
                if survives(tree, each, tests, seconds=limit):
                    sys.stdout.write(f"{each.path}:{each.line}: {each.before} -> {each.after}\n")
                    sys.stdout.flush()
                else:
                    killed += 1
            rows.append((name, len(possible), len(chosen), killed))
    show("Mutants that the tests notice", ("", "possible", "tried", "killed"), rows)


if __name__ == "__main__":
    main()
