"""Types as users meet them: in their editors, in type checkers, and when their programs run."""

import inspect
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.optimizers import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.registry import REGISTRY

HERE = Path(__file__).parent
RIGHT, WRONG = HERE / "user_program.py", HERE / "wrong_arguments.py"
MISTAKES = {
    number: line
    for number, line in enumerate(WRONG.read_text(encoding="utf-8").splitlines(), 1)
    if not line.startswith(("import", "from", '"""')) and line
}
OURS = [name for name, e in REGISTRY.items() if e.cls.__module__.startswith("keras_gdx.")]


@pytest.fixture(scope="module")
def errors():
    """The lines in which pyright finds errors, by file."""
    pytest.importorskip("pyright")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    found = {RIGHT.name: {}, WRONG.name: {}}
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        if each["severity"] == "error":
            line = each["range"]["start"]["line"] + 1
            found[Path(each["file"]).name][line] = each["message"]
    return found


def test_a_type_checker_understands_a_program(errors):
    assert errors[RIGHT.name] == {}


def test_a_type_checker_finds_every_mistake(errors):
    assert errors[WRONG.name].keys() == MISTAKES.keys()


def test_the_program_runs():
    runpy.run_path(str(RIGHT))


@pytest.mark.parametrize("line", MISTAKES.values())
def test_a_mistake_is_an_error_when_it_runs(line):
    namespace = {}
    exec("\n".join(x for x in WRONG.read_text().splitlines() if "import" in x), namespace)
    with pytest.raises((AttributeError, TypeError, ValueError)):
        exec(line, namespace)


@pytest.mark.parametrize("name", OURS)
def test_every_argument_has_a_type(name):
    constructor = REGISTRY[name].cls.__init__
    hints = get_type_hints(constructor, include_extras=True)
    if constructor is not object.__init__:
        assert not {*[*inspect.signature(constructor).parameters][1:]} - hints.keys()


@pytest.mark.parametrize("name", [n for n in OURS if REGISTRY[n].kind == "optimizer"])
def test_type_checkers_know_every_argument(name):
    cls = REGISTRY[name].cls
    hints = get_type_hints(cls.__init__)
    (others,) = get_args(hints.pop("kwargs", None)) or (dict,)
    assert {*hints, *get_type_hints(others)} - {"return"} == declared_arguments(cls).keys()


def test_the_options_are_those_of_the_optimizer():
    options = argument_types(Optimizer)
    del options["learning_rate"]
    assert get_type_hints(Options, include_extras=True) == options
