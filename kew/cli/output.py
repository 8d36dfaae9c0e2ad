"""What the commands print: aligned tables and facts for people, JSON for programs.

Whatever comes from a store is text and nothing else: control characters, escape sequences and markup have no effect.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from kew.app.json_values import json_value
from kew.cli.screen import console, printable

GAP: Final = 2  # columns between two columns of a table
NARROWEST: Final = 8  # columns that a cell is never cut below
Cell = str | int | Text


@attrs.frozen
class Column:
    """A column of a table. `gives_way`: on a narrow terminal, it is cut first; None: it is never cut."""

    title: str
    is_right: bool = False
    gives_way: bool = False


class Output:
    """Prints on standard output, as text or as JSON."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console: Console = console()

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None: it is a file or a pipe, which has no width."""
        return self._console.width if self._console.is_terminal else None

    # --- for programs

    def json(self, value: object) -> None:
        """One line of JSON, in ASCII."""
        self._write(json.dumps(json_value(value)))

    def json_lines(self, values: Iterable[object]) -> None:
        """A line of JSON for each value."""
        for value in values:
            self.json(value)

    # --- for people

    def line(self, text: Cell = "", style: str = "") -> None:
        """A line, or several if the text has line breaks."""
        for each in safe(text).split("\n", allow_blank=True):
            each.stylize(style)
            self._console.print(each, soft_wrap=True)

    def paragraph(self, text: str, indent: int = 0) -> None:
        """Sentences, wrapped to the terminal."""
        width = self.width
        shown = safe(text)
        if width is None:
            self._console.print(Text(" " * indent) + shown, soft_wrap=True)
            return
        for each in shown.wrap(self._console, max(NARROWEST, width - indent)):
            self._console.print(Text(" " * indent) + each, soft_wrap=True)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
        """Aligned columns below their titles."""
        for each in table_lines(columns, rows, self.width):
            self._console.print(each, soft_wrap=True)

    def facts(self, facts: Mapping[str, Cell | None]) -> None:
        """A line for each name and its value, aligned. None: left out."""
        shown = {name: value for name, value in facts.items() if value is not None}
        widest = max(map(cell_len, shown), default=0)
        for name, value in shown.items():
            first, *rest = safe(value).split("\n", allow_blank=True) or [Text()]
            head = Text(f"{name:<{widest + GAP}}", style="dim")
            self._console.print(head + first, soft_wrap=True)
            for each in rest:
                self._console.print(Text(" " * (widest + GAP)) + each, soft_wrap=True)

    def _write(self, text: str) -> None:
        self._console.file.write(text + "\n")
        self._console.file.flush()

    def clear(self) -> None:
        """Empty the terminal."""
        self._console.clear()


def safe(text: Cell) -> Text:
    """The text without control characters, but for line breaks; a `Text` keeps its style."""
    if isinstance(text, Text):
        return text
    return Text("\n".join(printable(line) for line in str(text).split("\n")))


def one_line(text: object) -> str:
    """The text in one line, blanks for its line breaks and tabs."""
    return printable(" ".join(str(text).split()))


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None
) -> list[Text]:
    """A table's lines: the titles and the rows, cut to `width` columns where columns give way."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [
        max(cell_len(column.title), *(cell_len(row[at].plain) for row in cells), 0)
        for at, column in enumerate(columns)
    ]
    if width is not None:
        _narrow(columns, widths, width)
    head = [Text(column.title, style="dim") for column in columns]
    return [_row(columns, widths, row) for row in (head, *cells)]


def _cell(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell.copy()
    return Text(f"{cell:,}" if isinstance(cell, int) else one_line(cell))


def _narrow(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Take from the widest column that gives way, column by column, until the table fits."""
    giving = [at for at, column in enumerate(columns) if column.gives_way]
    while giving and sum(widths) + GAP * (len(widths) - 1) > width:
        widest = max(giving, key=lambda at: widths[at])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1


def _row(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Text]) -> Text:
    line = Text()
    for at, (column, width, cell) in enumerate(zip(columns, widths, cells, strict=True)):
        if cell_len(cell.plain) > width:
            cell.plain = set_cell_size(cell.plain, width - 1) + "…"
        blanks = " " * (width - cell_len(cell.plain))
        line.append_text(Text(blanks) + cell if column.is_right else cell)
        if at < len(columns) - 1:
            line.append(("" if column.is_right else blanks) + " " * GAP)
    line.rstrip()
    return line


def compact(value: Any) -> str:
    """A plain value in one line of JSON."""
    return one_line(json.dumps(json_value(value), ensure_ascii=False))
