"""The diagrams of the pages: Mermaid text, which the site shows as pictures.

`make diagrams MERMAID=path/to/mermaid.min.js` draws them in a browser, into docs/site/pictures, and a page of the site
shows the picture of exactly its text. A text without one is shown as it stands.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = "docs/site/pictures"
FENCE = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG = "{startOnLoad: false, theme: 'neutral', htmlLabels: false, fontFamily: 'sans-serif'}"


def states() -> str:
    """The life of a task, from the table that the code executes."""
    from kew.domain.lifecycle import TABLE
    from kew.domain.task import TaskStatus

    events: dict[tuple[TaskStatus, TaskStatus], list[str]] = {}
    for row in TABLE:
        named = events.setdefault((row.status, row.target), [])
        if row.event.__name__ not in named:
            named.append(row.event.__name__)
    lines = [f"{one} --> {to}: {', '.join(named)}" for (one, to), named in events.items()]
    ends = [f"{one} --> [*]" for one in TaskStatus if one not in {row.status for row in TABLE}]
    return "\n    ".join(["stateDiagram-v2", "[*] --> queued: submit", *lines, *ends]) + "\n"


def with_pictures(text: str, page: str) -> str:
    """The Markdown of a page (a path from the root) with pictures in place of its diagrams."""

    def picture(fence: re.Match[str]) -> str:
        path = picture_of(fence[1])
        if not (ROOT / path).exists():
            return fence[0]
        return f"![Diagram]({posixpath.relpath(path, posixpath.dirname(page) or '.')})"

    return FENCE.sub(picture, text)


def picture_of(diagram: str) -> str:
    return f"{PICTURES}/{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"


def diagrams() -> Iterator[str]:
    for page in sorted(ROOT.glob("docs/**/*.md")):
        yield from FENCE.findall(page.read_text())


def draw(mermaid: Path) -> None:
    from playwright.sync_api import sync_playwright

    for old in (ROOT / PICTURES).glob("*.svg"):
        old.unlink()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        tab = browser.new_page()
        tab.add_script_tag(path=mermaid)
        for diagram in diagrams():
            drawn = tab.evaluate(
                f"async text => {{ mermaid.initialize({CONFIG});"
                " return (await mermaid.render('diagram', text)).svg }",
                diagram,
            )
            path = ROOT / picture_of(diagram)
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                re.sub(r'(<svg[^>]* style=")', r"\1background: white; ", drawn, count=1) + "\n"
            )
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
