"""Writes the pages of `docs/migrate` from the tables in `keras_gdx/migration`."""

import ast
import inspect
import sys

from keras_gdx.migration.script import TABLES
from keras_gdx.migration.translate import UnclearError, translate

TITLES = {"others": "From other libraries"}


def page(name, command):
    """The page of one table."""
    table = TABLES[name]
    source = sys.modules[f"keras_gdx.migration.{name}"]
    parts = [
        f"# {TITLES.get(name, f'From {table.title}')}",
        f"<!-- Written by `{command}` from `keras_gdx/migration/{name}.py`. -->",
        inspect.getdoc(source),
    ]
    for module in dict.fromkeys(map(_module, table.values())):
        rows = [row for row in table.values() if _module(row) == module]
        parts += [f"## `{shown(module, table)}`", _table(rows)]
    return "\n\n".join(parts) + "\n"


def _module(row):
    return row.there.rpartition(".")[0]


def shown(module, table):
    """A module as its users import it."""
    for full, alias in table.aliases.items():
        module = module.replace(full, alias)
    return module


def _table(rows):
    lines = [["there", "here", "what differs"], ["---"] * 3, *map(_cells, rows)]
    if not any(row.write for row in rows):
        lines = [[there, note] for there, _, note in lines]
        lines[0][1] = "here"
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row):
    name = row.there.rpartition(".")[2]
    note = row.note.replace("|", r"\|")
    if row.write is None:
        return [f"`{name}`", "", note]
    return [f"`{name}{_signature(row.write)}`", _here(row), note]


def _signature(function):
    """The arguments, without `name` and `**kwargs`, which are the same here."""
    parameters = inspect.signature(function).parameters.values()
    return f"({', '.join(str(p) for p in parameters if p.name not in ('kwargs', 'name'))})"


def _here(row):
    """What the call becomes with its defaults, and what else is written differently."""
    parameters = inspect.signature(row.write).parameters.values()
    open_ones = [p.name for p in parameters if p.default in (p.empty, None) and p.name != "kwargs"]
    call = ast.Call(ast.Name("f"), [], [ast.keyword(n, ast.Name(n)) for n in open_ones])
    try:
        code = translate(row, call).code
    except UnclearError as error:
        first = str(error)
    else:
        if isinstance(code, ast.Call):
            code.keywords = [keyword for keyword in code.keywords if not _is_same(keyword)]
        first = f"`{ast.unparse(code).replace('keras_gdx.', '')}`"
    others = [f"`{each}`" for each in _renamed(row) if each not in first]
    return "<br>".join(filter(None, [first, ", ".join(others)]))


def _renamed(row):
    """The arguments that have another name or value here."""
    if isinstance(row.expression, ast.IfExp):
        return [ast.unparse(row.expression.body)]
    known = inspect.signature(row.write).parameters
    found = []
    for keyword in row.expression.keywords:
        value = keyword.value.values[0] if isinstance(keyword.value, ast.BoolOp) else keyword.value
        keyword = ast.keyword(keyword.arg, value)
        names = {x.id for x in ast.walk(value) if isinstance(x, ast.Name)}
        if keyword.arg and names & known.keys() and not _is_same(keyword):
            found.append(ast.unparse(keyword))
    return found


def _is_same(keyword):
    return isinstance(keyword.value, ast.Name) and keyword.value.id == keyword.arg
