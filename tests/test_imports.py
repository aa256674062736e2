"""Imports go in one direction: each part of the package imports only from lower levels."""

import ast
import builtins
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

import keras_gdx
from tests.programs import Program

PACKAGE = Path(__file__).resolve().parents[1] / "keras_gdx"
LEVELS = (  # each may import from those before it
    "advice arguments config figures formulas _version registry schema",
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
    "migration",
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


PROGRAM = """
import sys

class Missing:
    names = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}  # POSIX only

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
for name in Missing.names:
    sys.modules.pop(name, None)

import keras
import numpy as np

path, folder = sys.argv[1:]
try:
    keras.models.load_model(path)
except TypeError as error:
    assert "keras_gdx" in str(error) and "Lion" in str(error), error
else:
    raise AssertionError("Keras knows our classes")

import keras_gdx
from keras_gdx import callbacks

model = keras.models.load_model(path)
assert type(model.optimizer) is keras_gdx.optimizers.Lion
assert model.optimizer.iterations == 1
x = np.ones((4, 2), "float32")
watch = [callbacks.ResumableCheckpoint(folder), callbacks.ThroughputMonitor()]
model.fit(x, x[:, 0], verbose=0, callbacks=watch)
assert model.optimizer.iterations == 2
"""


def test_a_model_is_loaded_after_the_import_without_what_only_posix_has(tmp_path):
    """Both in one program, as it takes seconds to start."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras_gdx.optimizers.Lion(1e-3), "mse")
    x = np.ones((4, 2), "float32")
    model.fit(x, x[:, 0], verbose=0)
    model.save(tmp_path / "model.keras")
    files = [str(tmp_path / "model.keras"), str(tmp_path / "run")]
    program = Program("-c", PROGRAM, *files)
    assert program.wait() == 0, program.errors()


def test_datasets_are_imported_only_on_demand():
    program = (
        "import sys, keras_gdx\n"
        "assert not {'keras_gdx.datasets', 'tensorflow_datasets'} & {*sys.modules}\n"
        "sys.modules['tensorflow_datasets'] = None\n"
        "import keras_gdx.datasets"
    )
    done = Program("-c", program)
    assert done.wait() == 1
    last = done.errors().strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: keras_gdx.datasets cannot be used")
    assert last.endswith("pip install tensorflow-datasets importlib_resources")
