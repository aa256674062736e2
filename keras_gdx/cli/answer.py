"""What a command answers: data for programs, and the same for readers."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_gdx.report.markup import said


@dataclass(frozen=True)
class Answer:
    """The answer of a command.

    Attributes:
        data: What `--json` prints.
        shown: What is printed otherwise: texts and tables of rich. None: `data`, as JSON.
        code: The exit code.
    """

    data: Any
    shown: Sequence[Any] | None = None
    code: int = 0

    def print(self, as_json: bool) -> None:
        """Prints it on the standard output."""
        if as_json or self.shown is None:
            print(json.dumps(self.data, indent=2, default=str))
            return
        width = None if sys.stdout.isatty() else 200  # a line of a table stays one for `grep`
        console = Console(highlight=False, markup=False, width=width)
        for part in self.shown:
            console.print(part, soft_wrap=isinstance(part, str))


def table(rows: Sequence[Mapping[str, Any]], *titles: str) -> Table:
    """A table of all rows; the titles are those of the columns, in the order of the keys."""
    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        found.add_column(title, overflow="fold")
    for row in rows:
        found.add_row(*("" if value is None else said(value) for value in row.values()))
    return found
