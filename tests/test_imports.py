"""Imports go in one direction: each part of the package imports only from lower levels."""

import ast
import builtins
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import keras_gdx

PACKAGE = Path(__file__).resolve().parents[1] / "keras_gdx"
LEVELS = (  # each may import from those before it
    "arguments config _version registry schema",
    "backends",
    "math",
    "schedules constraints",
    "engine",
    "integration",
    "checkpoint",
    "optimizers",
    "modifiers",
    "regularizers",
    "report",
    "callbacks",
    "recipes",
    "creation",
    "sharpness",
    "memory_estimate",
    "datasets distribute",
    "full_batch own_loop",
    "comparison",
    "recommendation explanation",
    "cli",
    "__init__ __main__",
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names.split()}


def imports(path):
    """The parts of the package that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        modules = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            whole = node.module == PACKAGE.name
            modules = [f"{node.module}.{name}" for name in modules] if whole else [node.module]
        parts = (module.split(".") for module in modules)
        yield from (part[1] for part in parts if part[0] == PACKAGE.name and len(part) > 1)


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("part", LEVEL)
def test_imports_go_down(part):
    files = [path for path in PACKAGE.rglob("*.py") if part_of(path) == part]
    assert files
    for path in files:
        for name in {*imports(path)} - {part}:
            where = f"{path.relative_to(PACKAGE)} imports {name}"
            assert LEVEL[name] < LEVEL[part] or {name, part} <= {*LEVELS[0].split()}, where


def test_every_part_has_its_level():
    assert {part_of(path) for path in PACKAGE.rglob("*.py")} == {*LEVEL}


def test_a_star_import_shadows_no_builtin():
    assert not {*keras_gdx.__all__} & {*dir(builtins)}


@pytest.mark.parametrize("name", keras_gdx.__all__)
def test_no_function_hides_a_module(name):
    if not isinstance(getattr(keras_gdx, name), ModuleType):
        assert find_spec(f"keras_gdx.{name}") is None
