"""Every Python snippet of README.md and docs/ runs, and prints what its `# prints: ...` comments say.

A snippet that calls `asyncio.run`, or uses `kew.testing`, is a program: it runs in a process of its own. One that
handles signals is sent SIGTERM once it has printed a line, and then has to end well. The others of one page run one
after another in one module, with one initialized `manager` and with kew's names at hand. Redis is replaced by
`memory://`: what a snippet shows doesn't depend on the store.
"""

import ast
import asyncio
import builtins
import contextlib
import inspect
import io
import logging
import re
import signal
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
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTS = re.compile(r"# prints: (.*)$", re.MULTILINE)
REDIS = re.compile(r"rediss?://[^\"']*")


@attrs.frozen
class Snippet:
    page: Path
    line: int
    source: str

    @property
    def is_program(self) -> bool:
        return "asyncio.run(" in self.source or "from kew.testing import" in self.source

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
    async with asyncio.timeout(20), TaskQueueManager("memory://") as module.__dict__["manager"]:
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


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: f"{one.page.name}:{one.line}")
def test_the_programs_run_as_they_stand(program, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(program.source)
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            first_line = process.stdout.readline()
            if "add_signal_handler(" in program.source:
                process.send_signal(signal.SIGTERM)
            rest, complaints = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, complaints) == (0, "")
    assert first_line
    if "add_signal_handler(" in program.source:
        assert rest == "stopped\n"


def test_the_readme_has_snippets_to_run():
    found = list(snippets_of(ROOT / "README.md"))
    assert len(found) > 10
    assert any(one.is_program for one in found)


def test_links_lead_to_files_that_exist():
    dead = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_no_python_name_is_hidden_by_the_preamble():
    assert not set(kew.__all__) & set(dir(builtins))
