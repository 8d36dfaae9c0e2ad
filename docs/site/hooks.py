"""The site's pages are the repository's own files, at their own paths, so that the links between them work in both.

mkdocs would take docs/ alone, where a link to ../README.md leads nowhere.
"""

import sys
from itertools import chain
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[2]))
from docs.site.diagrams import with_pictures

ROOT = Path(__file__).parents[2]
FILES = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
    *("docs/**/*.md", "docs/**/*.png", "docs/**/*.svg"),
    "examples/*.py",
)


def on_config(config: MkDocsConfig) -> None:
    """Add the decisions to the navigation."""
    _add_decisions(config.nav)


def _add_decisions(nav: list[Any]) -> None:
    for entry in nav:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if title == "Decisions":
                pages = sorted(ROOT.glob("docs/decisions/0*.md"))
                below.extend(page.relative_to(ROOT).as_posix() for page in pages)
            elif isinstance(below, list):
                _add_decisions(below)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    found = sorted(chain.from_iterable(ROOT.glob(pattern) for pattern in FILES))
    ours = [
        File(
            path.relative_to(ROOT).as_posix(),
            str(ROOT),
            config.site_dir,
            config.use_directory_urls,
        )
        for path in found
    ]
    themes = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*themes, *ours])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return with_pictures(markdown, page.file.src_uri)
