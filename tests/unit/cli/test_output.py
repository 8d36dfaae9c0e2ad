"""What the commands print: aligned, readable at 80 columns, and without effect on the terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from kew.cli.output import Column, Output, one_line, safe, table_lines

COLUMNS = (
    Column("NAME", gives_way=True),
    Column("N", is_right=True),
    Column("WHY", gives_way=True),
)
HOSTILE = "a\x1b[2Jb\x07 [red]c[/red] \u202ed\x9be"


def lines(rows: list[list[str | int | Text]], width: int | None) -> list[str]:
    return [line.plain for line in table_lines(COLUMNS, rows, width)]


def test_columns_are_aligned_and_numbers_stand_on_the_right():
    assert lines([["a", 1, "x"], ["bcd", 12_345, "yz"]], None) == [
        "NAME       N  WHY",
        "a          1  x",
        "bcd   12,345  yz",
    ]


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_table_fits_the_terminal_and_numbers_are_never_cut(width):
    rows: list[list[str | int | Text]] = [["n" * 70, 1_234_567, "w" * 200], ["漢" * 40, 5, "x"]]
    found = lines(rows, width)
    assert all(cell_len(line) <= width for line in found)
    assert "1,234,567" in found[1]
    assert "…" in found[1]


def test_a_pipe_gets_everything():
    assert "w" * 200 in lines([["n", 1, "w" * 200]], None)[1]


def test_hostile_text_has_no_effect():
    for text in (safe(HOSTILE).plain, one_line(HOSTILE)):
        assert text.isprintable()
        assert "[red]c[/red]" in text
    printed = io.StringIO()
    output = Output()
    output._console = Console(file=printed, force_terminal=True, width=80)
    output.table(COLUMNS, [[HOSTILE, 1, HOSTILE]])
    output.facts({"error": HOSTILE})
    output.paragraph(HOSTILE, indent=2)
    output.line(HOSTILE)
    sent = printed.getvalue()
    assert "\x1b[2J" not in sent
    assert "\x07" not in sent
    assert "\x9b" not in sent
    assert sent.count("[red]c[/red]") == 5
