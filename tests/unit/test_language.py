"""kew writes plain English: none of these phrases occurs in its pages, messages, docstrings and comments.

Each of them was once used in place of the field's own word, or left open who does what.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [*PAGES, ROOT / "Makefile", *sorted((ROOT / "examples").glob("*.py"))]

INSTEAD = {
    r"told": "notified, reported, raised, logged",
    r"tells? of": "reports, raises, logs",
    r"nobody|whoever|somebody": "the thing: the worker, the caller, the task",
    r"(?:hear|hears|heard|hearing)(?: \w+)? out": "drain",
    r"(?:hand|hands|handed|handing)(?: \w+){0,2} back|handed-back": "release",
    r"(?:let|lets|letting)(?: \w+)? go of": "release, close",
    r"(?:put|puts|putting)(?: \w+){0,2} back": "replay, requeue",
    r"counts? for nothing": "is discarded",
    r"mend it:": "to fix it:",
    r"can't be had": "`str()` raised",
    r"(?:stand|stands|stood) twice": "is duplicated in",
    r"lapse[sd]?|lapsing": "expire",
    r"(?:has|have|had) patience": "until a deadline",
    r"hungry": "starved",
    r"rivals?": "waiting process",
}
BINDING = re.compile(r" (?:(?:ALONE )?KEYS:|Needs )")
NAME = re.compile(r"`[^`\s]+`")
PHRASE = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)


def found_in(text: str) -> list[str]:
    """The phrases of a text, line breaks or not; names in backticks are code."""
    return PHRASE.findall(" ".join(NAME.sub("", text).split()))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_the_pages_have_none_of_the_phrases(text):
    assert found_in(text.read_text()) == []


def test_the_messages_have_none_of_the_phrases():
    found = [
        f"{path.relative_to(ROOT)}, line {line}: {text}"
        for path in sorted((ROOT / "kew").rglob("*.py"))
        for line, text in messages_of(path)
        if found_in(text)
    ]
    assert found == []


def test_the_docstrings_and_comments_have_none_of_the_phrases():
    sources = [path for path in (ROOT / "kew").rglob("*") if path.suffix in (".py", ".lua")]
    found = [
        f"{path.relative_to(ROOT)}, line {line}: {text}"
        for path in sorted(sources)
        for line, text in (notes_in_lua if path.suffix == ".lua" else notes_of)(path)
        if found_in(text)
    ]
    assert found == []


def notes_of(path: Path) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a module with their lines."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def notes_in_lua(path: Path) -> Iterator[tuple[int, str]]:
    """The comments of a Lua file with their lines, without its binding (names of keys and variables)."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        _, mark, comment = line.partition("--")
        if mark and not BINDING.match(comment):
            yield number, comment


def messages_of(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in a module's code with their lines, without docstrings and without names (single words)."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    for node in constants:
        text = node.value
        if isinstance(text, str) and " " in text and id(node) not in docstrings:
            yield node.lineno, text


@pytest.mark.parametrize(
    "text",
    [
        "the caller is told of it",
        "it tells of the error",
        "Nobody waits",
        "handed\nback",
        "hands it back",
        "lets go of the connection",
        "it counts for nothing",
        "its text can't be had",
        "the id stands twice in the batch",
        "the lease lapses",
        "a hungry process",
    ],
)
def test_the_phrases_are_found_in_any_form(text):
    assert found_in(text)


@pytest.mark.parametrize(
    "text", ["the total", "roll back", "it counts failures", "it tells waiting processes"]
)
def test_plain_words_are_left_alone(text):
    assert found_in(text) == []
