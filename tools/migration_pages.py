"""Writes the pages of `docs/migrate` from the tables in `keras_gdx/migration`."""

import ast
import inspect
import sys

from keras_gdx.migration.script import TABLES
from keras_gdx.migration.translate import UnclearError, translate

TITLES = {"others": "From other libraries"}
WIDTH = 88  # of code, so that it fits on a page


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
        prefix = _shown(module, table)
        parts += [f"## `{prefix}`", *(_section(prefix, row) for row in rows if row.write)]
        rest = [row for row in rows if not row.write]
        if rest and len(rest) < len(rows):
            parts.append(f"### The rest of `{prefix}`")
        parts += [_table(rest)] if rest else []
    return "\n\n".join(parts) + "\n"


def _module(row):
    return row.there.rpartition(".")[0]


def _name(row):
    return row.there.rpartition(".")[2]


def _shown(module, table):
    """A module as its users import it."""
    for full, alias in table.aliases.items():
        module = module.replace(full, alias)
    return module


def _table(rows):
    lines = [["there", "here"], ["---"] * 2, *([f"`{_name(row)}`", row.note] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _section(prefix, row):
    """A row: the call with its defaults, what it becomes, and what differs."""
    here, others = _here(row)
    there = f"{prefix}.{_name(row)}({_arguments(row.write)})"
    parts = [f"### `{_name(row)}`", f"```py\n{_wrapped(there)}\n\n# here\n{_wrapped(here)}\n```"]
    if others:
        parts.append(f"Also {', '.join(f'`{each}`' for each in others)}.")
    return "\n\n".join([*parts, row.note])


def _wrapped(code):
    """A call on lines that fit, broken at commas."""
    first, *rest = code.split(", ")
    lines = [first]
    for part in rest:
        if len(lines[-1]) + len(part) + 3 <= WIDTH:
            lines[-1] += f", {part}"
        else:
            lines[-1] += ","
            lines.append(f"    {part}")
    return "\n".join(lines)


def _arguments(function):
    """The arguments, without `name` and `**kwargs`, which are the same here."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(str(p) for p in parameters if p.name not in ("kwargs", "name"))


def _here(row):
    """What the call becomes with its defaults, and what else is written differently."""
    parameters = inspect.signature(row.write).parameters.values()
    open_ones = [p.name for p in parameters if p.default in (p.empty, None) and p.name != "kwargs"]
    call = ast.Call(ast.Name("f"), [], [ast.keyword(n, ast.Name(n)) for n in open_ones])
    try:
        code = translate(row, call).code
    except UnclearError as error:
        first = f"# {error}".replace("`", "")
    else:
        if isinstance(code, ast.Call):
            code.keywords = [keyword for keyword in code.keywords if not _is_same(keyword)]
        first = ast.unparse(code).replace("keras_gdx.", "")
    return first, [each for each in _renamed(row) if each not in first]


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
