"""When a callback's state is kept and when it is reset."""

from typing import NamedTuple

import numpy as np
import pytest

from keras_gdx.callbacks import Callback, Stateful


class Seen(NamedTuple):
    epochs: int = 0
    weights: np.ndarray | None = None


class Counter(Callback):
    fresh = Seen()

    def on_epoch_end(self, epoch, logs=None):
        self.memory = Seen(self.memory.epochs + 1, self.model.get_weights()[0])


class Restorer(Callback):
    """Restores another callback when training begins, as a checkpoint does."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def on_train_begin(self, logs=None):
        self.other.restore({"epochs": 10})


@pytest.fixture
def run(problem):
    model = problem.model()
    return lambda *callbacks, epochs=2: problem.fit(model, [*callbacks], epochs)


def test_each_fit_starts_fresh(run):
    counter = Counter()
    run(counter)
    run(counter)
    assert counter.memory.epochs == 2


def test_restored_before_fit_counts_once(run):
    counter = Counter()
    counter.restore({"epochs": 10})
    run(counter)
    assert counter.memory.epochs == 12
    run(counter)
    assert counter.memory.epochs == 2


def test_can_go_on_in_the_same_process(run):
    counter = Counter()
    run(counter)
    counter.restore(counter.state())
    run(counter)
    assert counter.memory.epochs == 4


@pytest.mark.parametrize("first", [True, False])
def test_may_be_restored_by_another_callback(run, first):
    counter = Counter()
    restorer = Restorer(counter)
    run(*([restorer, counter] if first else [counter, restorer]))
    assert counter.memory.epochs == 12
    run(counter)
    assert counter.memory.epochs == 2


def test_a_run_without_epochs_uses_nothing_up(run):
    counter = Counter()
    counter.restore({"epochs": 10})
    run(counter, epochs=0)
    run(counter)
    assert counter.memory.epochs == 12


def test_an_interrupted_fit_leaves_no_mark(run):
    class Interrupt(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    counter = Counter()
    counter.restore({"epochs": 10})
    with pytest.raises(KeyboardInterrupt):
        run(counter, Interrupt())
    assert counter.memory.epochs == 11
    run(counter)
    assert counter.memory.epochs == 2


def test_missing_names_are_fresh_and_arrays_are_kept(run):
    counter = Counter()
    run(counter)
    again = Counter()
    again.restore(counter.state())
    assert again.state()["weights"] is counter.state()["weights"]
    again.restore({})
    assert again.memory == Seen()


def test_nothing_to_remember():
    assert Restorer(None).state() == {}
    assert isinstance(Restorer(None), Stateful)
    with pytest.raises(ValueError, match="It remembers: nothing"):
        Restorer(None).restore({"epochs": 1})
