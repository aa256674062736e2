"""The rows of the tables: a call of another library, and what to write here instead."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Row:
    """A class or function of another library.

    Attributes:
        there: Its full name.
        note: What differs, or what to do instead.
        write: A function with its arguments and defaults, whose body is one `return` of what to
            write here. None: there is nothing to write.
    """

    there: str
    note: str
    write: Callable[..., Any] | None = None

    @property
    def stays(self) -> bool:
        """Whether it works as it is, beside what this package has."""
        return self.write is None and self.note.startswith("Stays")

    @cached_property
    def expression(self) -> ast.expr:
        """What to write here, as code that names the arguments of the other library."""
        assert self.write is not None
        (function,) = ast.parse(inspect.getsource(self.write)).body
        assert isinstance(function, ast.FunctionDef)
        answer = function.body[-1]
        assert isinstance(answer, ast.Return)
        assert answer.value is not None
        return answer.value


class Table(dict[str, Row]):
    """The rows of one library, by full name.

    Args:
        title: The library.
        aliases: How its users import what.
    """

    def __init__(self, title: str, aliases: dict[str, str]):
        super().__init__()
        self.title = title
        self.aliases = aliases

    def of(self, module: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Adds the function below it, which has the name of one in `module`."""

        def add(write: Callable[..., Any]) -> Callable[..., Any]:
            note = " ".join((write.__doc__ or "").split())
            self._add(Row(f"{module}.{write.__name__}", note, write))
            return write

        return add

    def without(self, module: str, **notes: str) -> None:
        """Adds names for which there is nothing to write, with what to do."""
        for name, note in notes.items():
            self._add(Row(f"{module}.{name}", note))

    def _add(self, row: Row) -> None:
        assert row.there not in self, f"{row.there} has two rows"
        self[row.there] = row
