"""The documentation site builds without a warning, shows each page as the repository does, and loads nothing."""

import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from docs.site import api, diagrams
from docs.site.diagrams import with_pictures

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COUNTED = ("h1", "h2", "h3", "h4", "pre", "table", "tr", "li", "ol", "img", "blockquote")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    return folder


class Tags(HTMLParser):
    """The tags of a page's text, and what the page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()
        self.loaded: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.loaded.append(str(given["src"]))
        if tag == "link" and given.get("rel") not in ("prev", "next", "canonical"):
            self.loaded.append(str(given["href"]))
        self._depth += tag == "article"
        if self._depth and tag in COUNTED:
            self.counted[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "article"


def tags_of(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    return tags


def pages_of(site: Path) -> list[Path]:
    return sorted(set(site.rglob("*.html")) - {site / "404.html"})  # its links begin at the root


def test_what_the_pages_load_is_in_the_site(site):
    loaded = {(page, one) for page in pages_of(site) for one in tags_of(page.read_text()).loaded}
    assert len(loaded) > 100
    assert {
        one for page, one in loaded if not (page.parent / one.partition("?")[0]).exists()
    } == set()


def test_the_styles_load_nothing_from_elsewhere(site):
    styles = "".join(one.read_text() for one in site.rglob("*.css"))
    assert len(styles) > 50_000
    assert re.findall(r"url\([\"']?(?:https?:)?//[^)]*\)|@import", styles) == []


def built(page: Path, site: Path) -> Path:
    """The file that the site has of a page."""
    path = page.relative_to(ROOT)
    return site / (path.parent if page.stem == "README" else path.with_suffix("")) / "index.html"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_same_structure_as_in_the_repository(page, site):
    """mkdocs reads Markdown by other rules: a list needs an empty line before it, and four spaces to nest."""
    pictures = with_pictures(page.read_text(), page.relative_to(ROOT).as_posix())
    here = tags_of(f"<article>{MarkdownIt('gfm-like').render(pictures)}</article>")
    there = tags_of(built(page, site).read_text())
    assert there.counted == here.counted


def test_the_page_of_the_api_is_written_from_the_code():
    assert api.PAGE.read_text() == api.page(), "run `make reference`"


def test_the_diagram_of_a_tasks_states_is_drawn_from_the_table():
    text = (ROOT / "docs/protocol.md").read_text()
    assert f"```mermaid\n{diagrams.states()}```" in text
