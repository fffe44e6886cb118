"""Links within the documents lead somewhere."""

from pathlib import Path

import pytest

from tests.docs.documents import anchors, documents, links
from tests.support.processes import ROOT


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    """Each link that is no address elsewhere names a file of the project and, behind `#`, one of its headings."""
    for link in links(page):
        if link.startswith(("http://", "https://", "../../actions/")):  # the last one: GitHub's, beside the files
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_every_document_for_operators_is_in_the_index() -> None:
    """Anyone who begins at docs/README.md finds each document."""
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert set((ROOT / "docs").glob("*.md")) - {index} <= linked


def test_headings_make_the_anchors_that_readers_see() -> None:
    """Punctuation goes, blanks become hyphens, letters are small."""
    assert "a-scrape-python--m-benchmarks-scrape" in anchors(ROOT / "docs" / "benchmarks.md")
    assert "when-reading-fails" in anchors(ROOT / "docs" / "freshness.md")
