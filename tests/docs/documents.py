"""The documents for people: their fenced blocks, their links, and what else can be checked against the program."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT

_FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block."""

    document: str  # path from the root
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it begins, as editors find it."""
        return f"{self.document}:{self.line}"


@cache
def documents() -> Sequence[Path]:
    """Return all Markdown files, by name."""
    pages = {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"), *ROOT.glob("grafana/*.md")}
    return sorted(pages)


@cache
def blocks(language: str) -> Sequence[Block]:
    """Return all fenced blocks in one language, in the order of the documents."""
    return [block for path in documents() for block in _blocks(path) if block.language == language]


@cache
def prose(path: Path) -> str:
    """Return a document without its fenced blocks, each replaced by as many empty lines."""
    return _FENCED.sub(lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"))


def inline_code(path: Path) -> list[str]:
    """Return what is between back-quotes in the prose of a document."""
    return re.findall(r"`([^`\n]+)`", prose(path))


def command_lines(text: str) -> list[str]:
    """Return the command lines of a shell block, each on one line, without comments."""
    joined = text.replace("\\\n", " ").splitlines()
    return [" ".join(re.sub(r"\s#.*$", "", line).split()) for line in joined if line.strip() and line.strip()[0] != "#"]


def expressions(text: str) -> list[str]:
    """Return the expressions of a PromQL block, which empty lines set apart, without comments."""
    bare = re.sub(r"^[ ]*#.*\n|[ ]+#.*$", "", text, flags=re.MULTILINE)
    return [part.strip() for part in re.split(r"\n\s*\n", bare) if part.strip()]


def links(path: Path) -> list[str]:
    """Return where the links and pictures of a document lead."""
    without_code = re.sub(r"`[^`\n]*`", "", prose(path))
    return re.findall(r"\]\(([^)\s]+)\)", without_code)


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return frozenset(found)


def _blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in _FENCED.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        undented = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(str(path.relative_to(ROOT)), line, found["language"], undented)
