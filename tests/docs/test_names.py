"""Names and links of the documents lead to one place, and what they call by a name is called so by the program."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from exporter.cli import cli
from exporter.config.model import Config
from exporter.config.section import ValueType, keys_of, kind_of, kinds_of
from exporter.core.clock import SystemClock
from exporter.core.collection_state import State
from exporter.metrics.exposition import declarations
from exporter.rules.rule import Outcome
from exporter.rules.rule_files import WrittenRule
from exporter.web.application import application
from grafana.parts.queries import sample_labels
from tests.docs.documents import anchors, documents, inline_code, links, prose
from tests.support.command_line import flags
from tests.support.processes import ROOT
from tests.web.fake_view import FakeView

PAGES: Final = documents()
METRICS: Final = {*sample_labels(), *(family.name for family in declarations())}
OF_EVERY_PROGRAM: Final = {"--help"}
OWN_PATHS: Final = re.compile(r"(?:(?:GET|POST) )?(/(?:-|api|apps|violations|rules|config|metrics)(?:[/?].*)?)")
OWN_KEYS: Final = re.compile(r"(?:accounts|collection|policy|metrics)\.[a-z_.]+")


def codes() -> Iterator[tuple[Path, str]]:
    """Yield what is between back-quotes in the prose of each document."""
    return ((page, code) for page in PAGES for code in inline_code(page))


def _keys(kind: ValueType) -> Iterator[str]:
    """Yield the dotted names of what can be within a value."""
    while kind.item is not None:
        kind = kind_of(kind.item)
    for model in kind.models:
        for key, inner in kinds_of(model).items():
            yield key
            yield from (f"{key}.{name}" for name in _keys(inner))


def test_links_lead_to_files_and_headings_that_exist() -> None:
    """Each link that is no address elsewhere names a file of the project and, behind `#`, one of its headings."""
    found = [(page, link) for page in PAGES for link in links(page)]
    # The last one is GitHub's, beside the files.
    own = [(page, link) for page, link in found if not link.startswith(("http://", "https://", "../../actions/"))]
    assert len(own) > len(PAGES)
    assert [f"{page}: {link}" for page, link in own if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    has_anchor = not anchor or target.suffix != ".md" or (target.is_file() and anchor in anchors(target))
    return target.is_relative_to(ROOT) and target.exists() and has_anchor


def test_every_document_for_operators_is_in_the_index() -> None:
    """Anyone who begins at docs/README.md finds each document."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert set((ROOT / "docs").glob("*.md")) - {index} <= linked


def test_headings_make_the_anchors_that_readers_see() -> None:
    """Punctuation goes, blanks become hyphens, letters are small."""
    assert "about-single-tasks-metricstasks" in anchors(ROOT / "docs" / "metrics.md")
    assert "when-reading-fails" in anchors(ROOT / "docs" / "freshness.md")


@cache
def served() -> list[str]:
    """Return what is served: paths, with names in braces for the parts that vary."""
    return [resource.canonical for resource in application(FakeView(), SystemClock()).router.resources()]


def test_metrics_exist() -> None:
    """A name in the style of our metrics is that of one, of its samples, or of several by how they begin."""
    found = [
        (page, name)
        for page in PAGES
        for name in re.findall(r"(?<![\w:.])rtcmpu_[a-z0-9_]*", page.read_text(encoding="utf-8"))
    ]
    assert len(found) > len(METRICS)
    begin = {name for _, name in found if name.endswith("_") and any(metric.startswith(name) for metric in METRICS)}
    assert [f"{page}: {name}" for page, name in found if name not in METRICS | begin] == []


def test_flags_exist() -> None:
    """A flag that is by itself, or behind our program's name, is one that some command takes."""
    known = {*flags(), *OF_EVERY_PROGRAM}
    begin = ("--web.", "--config.", "--log.", "--app.", "--api.", "--simulator.", "rtcmpu-exporter ")
    found = [(page, code) for page, code in codes() if code.startswith(begin)]
    unknown = [(page, set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", code)) - known) for page, code in found]
    assert [f"{page}: {names}" for page, names in unknown if names] == []


def test_commands_exist() -> None:
    """A word behind our program's name is a command."""
    found = [(page, re.match(r"rtcmpu-exporter ([a-z-]+)", code)) for page, code in codes()]
    assert [f"{page}: {word[1]}" for page, word in found if word and word[1] not in cli.commands] == []


def test_paths_are_served() -> None:
    """A path in the style of ours is one that is answered."""
    found = [(page, path[1].partition("?")[0]) for page, code in codes() if (path := OWN_PATHS.fullmatch(code))]
    assert [f"{page}: {path}" for page, path in found if not _is_served(path)] == []


def _is_served(path: str) -> bool:
    if "…" in path or path.endswith("/"):
        return any(one.startswith(path.partition("…")[0]) for one in served())
    return any(re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", one), path) for one in served())


def test_keys_exist() -> None:
    """A dotted key of the configuration is one that can be set."""
    known = set(_keys(kind_of(Config)))
    found = [(page, code) for page, code in codes() if OWN_KEYS.fullmatch(code)]
    files = (".md", ".py", ".yml")
    assert [f"{page}: {key}" for page, key in found if key not in known and not key.endswith(files)] == []


def test_every_state_has_its_line_in_troubleshooting() -> None:
    """Anyone who sees a state of an app finds what it means and what to do, in the order of their gravity."""
    text = prose(ROOT / "docs" / "troubleshooting.md")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [state for state in State if state is not State.OK]


def test_every_key_of_a_rule_and_every_outcome_is_explained() -> None:
    """The reference names each key of a rule file, in its order, and each outcome."""
    text = prose(ROOT / "docs" / "rules.md")
    assert re.findall(r"^- `(\w+)`: ", text.partition("\n## Expressions")[0], re.MULTILINE) == list(
        keys_of(WrittenRule)
    )
    outcomes = text.partition("\n## Outcomes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", outcomes, re.MULTILINE)) == set(Outcome)


def test_what_does_not_exist_would_be_found() -> None:
    """The names that are known are neither none nor all."""
    assert "rtcmpu_up" in METRICS
    assert "--web.listen-address" in set(flags())
    assert {"collection.interval", "metrics.per_task.max_series", "policy.rules"} <= set(_keys(kind_of(Config)))


def test_every_module_and_class_has_a_name_of_its_own() -> None:
    """A name leads to one place: no two modules, and no two classes, share one."""
    modules = [path for path in (ROOT / "exporter").rglob("*.py") if not path.stem.startswith("__")]
    names = [path.stem for path in modules]
    for module in modules:
        names += re.findall(r"^ *class (\w+)", module.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 2 * len(modules)
    assert [name for name, count in Counter(names).items() if count > 1] == []
