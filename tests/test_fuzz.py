"""`tools/fuzz` runs, and finds a fault that only one of the ways to train has."""

import time

import keras
import pytest
import tensorflow as tf

from keras_gdx.registry import REGISTRY
from tools.fuzz.__main__ import PROGRAM, main, search
from tools.fuzz.draw import RULES, Configuration
from tools.fuzz.train import outcome


@pytest.fixture(autouse=True)
def short_tracebacks():
    yield
    keras.config.enable_traceback_filtering()


def test_some_combinations(capsys):
    assert main(["--minutes", "0.1", "--seed", "1"]) == 0
    assert " passed" in capsys.readouterr().out


def test_a_fault_of_compiled_updates_is_found_and_printed_as_a_program(monkeypatch):
    cls = REGISTRY[RULES[0]].cls
    right = cls.direction

    def direction(self, h, g, *rest):
        return right(self, h, g if tf.executing_eagerly() else -g, *rest)

    monkeypatch.setattr(cls, "direction", direction)
    counts, failure = search(0, time.monotonic() + 60)
    assert counts["failed"]
    assert str(failure) == f"Configuration(rule={RULES[0]!r})"
    with pytest.raises(AssertionError, match=r"differ by more than 0\.001: "):
        exec(PROGRAM.format(configuration=failure), {})


def test_a_refusal_is_not_a_failure():
    bad = Configuration(options={"clipnorm": 1.0, "clipvalue": 1.0})
    assert outcome(bad) == "refused: clipnorm"
