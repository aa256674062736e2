"""Finds the calls in a script that are written differently here."""

import ast
from dataclasses import dataclass
from typing import Any, cast

from keras_gdx.migration.addons import ADDONS
from keras_gdx.migration.keras import KERAS
from keras_gdx.migration.optax import OPTAX
from keras_gdx.migration.others import OTHERS
from keras_gdx.migration.rows import Row
from keras_gdx.migration.timm import TIMM
from keras_gdx.migration.torch import TORCH
from keras_gdx.migration.transformers import TRANSFORMERS
from keras_gdx.migration.translate import UnclearError, translate

TABLES = {
    "addons": ADDONS,
    "keras": KERAS,
    "optax": OPTAX,
    "torch": TORCH,
    "timm": TIMM,
    "transformers": TRANSFORMERS,
    "others": OTHERS,
}
ROWS: dict[str, Row] = {name: row for table in TABLES.values() for name, row in table.items()}
ABSENT = (
    "TensorFlow Addons does not run on Keras 3, and this package has only optimizers and callbacks "
    "of it. Look for it in `keras.{module}`."
)
OTHER_NAMES = (  # of the same modules and classes
    ("tensorflow.keras.", "keras."),
    ("tf_keras.", "keras."),
    ("tensorflow.optimizers.", "keras.optimizers."),
    ("keras.optimizers.legacy.", "keras.optimizers."),
    ("keras.optimizers.experimental.", "keras.optimizers."),
    ("keras.regularizers.orthogonal_regularizer", "keras.regularizers.OrthogonalRegularizer"),
)


@dataclass(frozen=True)
class Change:
    """A call that is written differently here.

    Attributes:
        line: Its line in the script.
        old: The call.
        new: What to write instead; None: see the note.
        lost: Arguments of the call that `new` does not have.
        note: What differs.
    """

    line: int
    old: str
    new: str | None
    lost: tuple[str, ...]
    note: str


def changes(source: str) -> list[Change]:
    """All changes, in the order of the script; raises `SyntaxError` if it is no Python."""
    tree = ast.parse(source)
    reading = _Reading(_imported(tree))
    reading.visit(tree)
    return sorted(reading.found, key=lambda change: change.line)


def _imported(tree: ast.Module) -> dict[str, str]:
    """Maps the names that are imported anywhere in the script to their full names."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]
                names[each.asname or first] = each.name if each.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return names


class _Reading(ast.NodeTransformer):
    """Translates calls, the innermost first."""

    def __init__(self, imported: dict[str, str]):
        self.imported = imported
        self.found: list[Change] = []

    def row_of(self, node: ast.expr) -> Row | None:
        """The row of a name or an attribute of a module."""
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.imported:
            return None
        name = ".".join([self.imported[node.id], *path])
        for other, usual in OTHER_NAMES:
            if name.startswith(other):
                name = usual + name.removeprefix(other)
        row = ROWS.get(name)
        package, *modules = name.split(".")
        if row is None and package == "tensorflow_addons" and len(modules) == 2:
            return Row(name, ABSENT.format(module=modules[0]))
        return None if row is None or row.stays else row

    def visit_Call(self, node: ast.Call) -> ast.expr:
        old, before = ast.unparse(node), len(self.found)
        row = self.row_of(node.func)
        if row is None:
            return cast(ast.expr, self.generic_visit(node))
        node.args = [self.visit(each) for each in node.args]
        node.keywords = [self.visit(each) for each in node.keywords]
        if row.write is None:
            self._add(node, old, row, row.note)
            return node
        try:
            code, lost = translate(row, node)
        except UnclearError as error:
            self._add(node, old, row, f"{error}. {row.note}")
            return node
        inside = self.found[before:]
        del self.found[before:]  # they are in the new call
        notes = {row.note: None, **{change.note: None for change in inside}}
        if len(notes) > 1:
            notes.pop("The same.", None)
        lost = [*lost, *(name for change in inside for name in change.lost)]
        note = " ".join(notes)
        self.found.append(Change(node.lineno, old, ast.unparse(code), tuple(lost), note))
        return code

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        row = self.row_of(node)
        if row is None:
            return self.generic_visit(node)
        self._add(node, ast.unparse(node), row, row.note)
        return node

    def visit_Name(self, node: ast.Name) -> Any:
        row = self.row_of(node)
        if row is not None:
            self._add(node, node.id, row, row.note)
        return node

    def _add(self, node: ast.expr, old: str, row: Row, note: str) -> None:
        self.found.append(Change(node.lineno, old, None, (), note))
