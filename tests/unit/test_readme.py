"""Every Python snippet of README.md and docs/ runs, and prints what its `# prints: ...` comments say.

A snippet that calls `asyncio.run`, uses `kew.testing`, or begins with a file name (`# worker.py`) is a program: it runs
in a process of its own, in a folder that has the page's named files; pytest runs those named `test_...`. It may log
that attempts failed. If it has such comments, it prints nothing else. The other snippets of a page run in order in one
module, with one initialized `manager` and with kew's names imported. `memory://` replaces Redis, since no snippet
depends on the store.
"""

import ast
import asyncio
import builtins
import codeop
import contextlib
import inspect
import io
import logging
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import kew
from kew import TaskQueueManager

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = sorted((ROOT / "docs/guide").glob("*.md"))
LISTS = [ROOT / "docs" / name for name in ("README.md", "guide/README.md", "decisions/README.md")]
WRITTEN_BY_TOOLS = re.compile(
    r"<!-- [\w-]+: written by .*?<!-- end of|^```$.*?^```$", re.MULTILINE | re.DOTALL
)
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# (\w+\.py)$", re.MULTILINE)
PRINTS = re.compile(r"# prints: (.*)$", re.MULTILINE)
DEPRECATED = "ignore:Using `httpx`"  # a warning of Starlette's test client
WELL = re.compile(
    r"^[-\d]+ [\d:,]+ INFO .*\n", re.MULTILINE
)  # what a program logs if all goes well
FAILED = re.compile(
    r"^task \S+ \(queue .*\): attempt \d+ failed.*\nTraceback .*\n(?: .*\n)*\S.*\n", re.MULTILINE
)
REDIS = re.compile(r"rediss?://[^\"']*")


@attrs.frozen
class Snippet:
    page: Path
    line: int
    source: str

    @property
    def is_program(self) -> bool:
        marks = ("asyncio.run(", "from kew.testing import")
        return self.file is not None or any(mark in self.source for mark in marks)

    @property
    def file(self) -> str | None:
        """The file name in its first line."""
        named = FILE_NAME.match(self.source)
        return named[1] if named else None

    @property
    def promised(self) -> list[str]:
        return [line.strip() for line in PRINTS.findall(self.source)]

    def compiled(self) -> types.CodeType:
        """Its lines keep the page's numbers, so that a traceback points at the page."""
        tree = ast.parse(self.source, str(self.page))
        ast.increment_lineno(tree, self.line - 1)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: types.CodeType = compile(tree, str(self.page), "exec", flags=flags)
        return code


def snippets_of(page: Path) -> Iterator[Snippet]:
    text = page.read_text()
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start(1)) + 1
        yield Snippet(page, line, REDIS.sub("memory://", fence[1]))


def with_snippets() -> list[Path]:
    return [page for page in PAGES if any(not one.is_program for one in snippets_of(page))]


PROGRAMS = [one for page in PAGES for one in snippets_of(page) if one.is_program]


@pytest.mark.parametrize("page", with_snippets(), ids=lambda page: page.name)
async def test_the_snippets_of_a_page_run_and_print_what_they_say(page, monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL, logger="kew")
    module = types.ModuleType("page_of_snippets")
    module.__dict__.update({name: getattr(kew, name) for name in kew.__all__}, asyncio=asyncio)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    async with asyncio.timeout(30), TaskQueueManager("memory://") as module.__dict__["manager"]:
        for snippet in snippets_of(page):
            if not snippet.is_program:
                said = await run(snippet, module)
                assert said == snippet.promised, f"{page.name}, line {snippet.line}"


async def run(snippet: Snippet, module: types.ModuleType) -> list[str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        outcome = eval(snippet.compiled(), module.__dict__)
        if inspect.isawaitable(outcome):
            await outcome
    return said.getvalue().splitlines()


@pytest.mark.parametrize("page", with_snippets(), ids=lambda page: page.name)
def test_the_snippets_of_a_page_can_be_pasted_into_a_console(page):
    """Before Python 3.13, `python -m asyncio` reads line by line: an empty line ends a block, and nothing else does."""
    read = codeop.CommandCompiler()
    read.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for snippet in snippets_of(page):
        if not snippet.is_program:
            lines: list[str] = []
            for number, line in enumerate([*snippet.source.splitlines(), ""], snippet.line):
                lines.append(line)
                if read("\n".join(lines), f"{page.name}, line {number}") is not None:
                    lines.clear()
            assert lines == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: f"{one.page.name}:{one.line}")
def test_the_programs_run_as_they_stand(program, tmp_path):
    for one in [*snippets_of(program.page), program]:
        if one.file or one is program:
            (tmp_path / (one.file or "program.py")).write_text(one.source)
    file = program.file or "program.py"
    runner = ["-m", "pytest", "-p", "no:asyncio"] if file.startswith("test_") else []
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", DEPRECATED, *runner, file],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, FAILED.sub("", WELL.sub("", done.stderr))) == (0, "")
    assert done.stdout or "print(" not in program.source
    assert done.stdout.splitlines() == program.promised or not program.promised


def test_the_readme_and_the_guide_have_snippets_to_run():
    assert any(one.is_program for one in snippets_of(ROOT / "README.md"))
    guide = [one for page in GUIDE for one in snippets_of(page)]
    assert len(guide) > 15
    assert any(one.is_program for one in guide)


def test_the_lists_of_pages_lead_to_every_page():
    assert set(LISTS) - links_from(ROOT / "README.md") <= links_from(LISTS[0])
    linked = set().union(*(links_from(page) for page in LISTS))
    assert set(PAGES[1:]) - linked == {LISTS[0]}
    assert LISTS[0] in links_from(ROOT / "README.md")


def test_the_guide_lists_each_of_its_pages():
    assert set(GUIDE) <= links_from(ROOT / "docs/guide/README.md") | {ROOT / "docs/guide/README.md"}


def test_the_navigation_of_the_site_has_every_page():
    """The decisions are added by docs/site/hooks.py."""
    text = (ROOT / "mkdocs.yml").read_text()
    named = {ROOT / one for one in re.findall(r"(\S+\.md)$", text, re.MULTILINE)}
    decisions = set((ROOT / "docs/decisions").glob("0*.md"))
    assert set(PAGES) - named == decisions


def test_a_program_ported_from_arq_is_no_longer_than_its_original():
    text = (ROOT / "docs/from-arq.md").read_text()
    [before] = re.findall(r"^```py\n(# newsletter.py\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [after] = re.findall(r"^```python\n(# newsletter.py\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    compile(before, "newsletter.py", "exec")
    assert len(re.findall(r"^.*\S", after, re.MULTILINE)) <= len(
        re.findall(r"^.*\S", before, re.MULTILINE)
    )


def test_each_decision_has_a_number_of_its_own_and_is_listed_in_order():
    decisions = sorted((ROOT / "docs/decisions").glob("0*.md"))
    numbers = [int(page.name[:4]) for page in decisions]
    assert len(set(numbers)) == len(numbers)
    listed = (ROOT / "docs/decisions/README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| \[.*?\]\((.*?)\)", listed, re.MULTILINE)
    assert rows == [(str(int(page.name[:4])), page.name) for page in decisions]
    assert all(page.read_text().startswith(f"# {int(page.name[:4])}. ") for page in decisions)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < 10_000


def test_lines_of_the_pages_are_at_most_120_characters_long():
    long = [
        f"{page.name}, line {number}"
        for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
        for number, line in enumerate(WRITTEN_BY_TOOLS.sub("", page.read_text()).splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


def test_links_lead_to_files_that_exist():
    pages = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    dead = [
        f"{page.name}: {target}"
        for page in pages
        for target in links_from(page)
        if not target.exists()
    ]
    assert dead == []


def test_links_to_headings_lead_to_headings():
    dead = [
        f"{page.name}: {target}#{anchor}"
        for page in PAGES
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
        if anchor not in anchors_of(page.parent / target if target else page)
    ]
    assert dead == []


def links_from(page: Path) -> set[Path]:
    """The files and folders that a page links to."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def anchors_of(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_no_python_name_is_hidden_by_the_preamble():
    assert not set(kew.__all__) & set(dir(builtins))
