"""Makes a site of the documents as they are, by mkdocs: adds those outside docs/, and leads their links."""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parent.parent
OUTSIDE: Final = (
    *(f"{name}.md" for name in ("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *(str(path.relative_to(ROOT)) for folder in ("deploy", "grafana") for path in ROOT.glob(f"{folder}/**/README.md")),
)
"""Documents that the site has beside those of docs/, by their path in the repository."""
LINK: Final = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def on_config(config: Any) -> Any:
    """Name each runbook in the navigation."""
    pages = sorted(path.name for path in (ROOT / "docs/runbooks").glob("Rtcmpu*.md"))
    for section in config.nav:
        for entries in section.values() if isinstance(section, dict) else ():
            if "runbooks/*.md" in entries:
                place = entries.index("runbooks/*.md")
                entries[place : place + 1] = [{"Runbooks of alerts": [f"runbooks/{page}" for page in pages]}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the documents from outside docs/."""
    for path in OUTSIDE:
        files.append(File.generated(config, _in_site(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Lead links to where the site has the document, and those to other files to the repository."""
    source = _in_repository(page.file.src_uri)

    def led(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))
        if target in OUTSIDE or (target.startswith("docs/") and not target.endswith(".json")):
            link = posixpath.relpath(_in_site(target), posixpath.dirname(page.file.src_uri) or ".")
        else:
            link = f"{config.repo_url}/blob/main/{target}"
        return f"{found[1]}{link}{found[3]}"

    return LINK.sub(led, markdown)


def _in_site(path: str) -> str:
    """Return where the site has a document of the repository."""
    return path.removeprefix("docs/") if "/" in path else f"project/{path}"


def _in_repository(uri: str) -> str:
    """Return which file of the repository a page of the site is."""
    path = uri.removeprefix("project/")
    return path if path in OUTSIDE else f"docs/{uri}"
