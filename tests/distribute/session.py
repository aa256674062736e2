"""Jobs that one cluster runs in a row, because to start it costs more than most jobs; a program.

`python -m tests.distribute.session FOLDER WORKERS REPLICAS` does all jobs of such a cluster, as one
of its workers or alone, and writes what came of each.
"""

import json
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_gdx import callbacks, distribute, optimizers
from keras_gdx.distribute import consistency
from tests.matrix import WHOLE_MATRIX

# modules that create tensors are imported below, after the strategy is created

FITS = [
    "compiled, several steps at once",
    "masks",
    "loss scaling, and one infinity",  # D36
]
if WHOLE_MATRIX:
    FITS += ["compiled", "several steps at once", "clipped, of Keras", "a scalar loss"]
OF_FOUR = ["compiled", "loss scaling, and one infinity"]  # on two replicas of each worker


def jobs_of(workers, replicas):
    """The jobs of a cluster by name: functions of strategy, index of the worker, and a folder."""
    from tests.distribute.contract import combinations, trained
    from tests.distribute.jobs import OF_TWO, run

    pairs = combinations(workers, replicas)
    found = {
        f"{rule} {option}": lambda strategy, *_, rule=rule, option=option: trained(
            rule, option, strategy
        )
        for rule, option in pairs
    }
    fits = [*FITS, *OF_TWO] if replicas == 1 else OF_FOUR
    if workers == 2:
        found |= {name: lambda strategy, *_, name=name: run(name, strategy) for name in fits}
    return DIFFERENT | found | OTHERS if (workers, replicas) == (2, 1) else found


# -- workers that differ ---------------------------------------------------------------------------


def fitted(strategy, seed=1, momentum=0.1, width=1, data=None, more=(), **options):
    """A model after `fit`."""
    keras.utils.set_random_seed(seed)
    with strategy.scope():
        hidden = keras.layers.Dense(width)
        model = keras.Sequential([keras.Input((1,)), hidden, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.1, momentum), "mse")
    distribute.prepare(model)
    data = [np.ones((8, 1))] * 2 if data is None else data
    model.fit(*data, verbose=0, callbacks=list(more), **options)
    return model


def without_seed(strategy, *_):
    """Has to be the first job."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    distribute.prepare(model).fit(np.ones((8, 1)), np.ones((8, 1)), verbose=0)


def versions(strategy, index, _):
    consistency.__version__, before = f"1.{index}", consistency.__version__
    try:
        fitted(strategy)
    finally:
        consistency.__version__ = before


def shuffles(strategy, *_):
    eight = np.ones((8, 1))
    tf.random.set_seed(None)
    data = tf.data.Dataset.from_tensor_slices((eight, eight)).shuffle(8).batch(4)
    fitted(strategy, data=[data])


def directories(strategy, index, folder):
    """The first is that of both, and has a checkpoint; the second is one worker's own."""
    for epochs, own in ((1, 0), (2, index)):
        keeping = [callbacks.ResumableCheckpoint(folder / f"run-{own}")]
        fitted(strategy, more=keeping, epochs=epochs)


def pieces_of_averages(strategy, *_):
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(optimizers.ScheduleFreeSGD(shard_state=True), "mse")
        model.optimizer.build(model.trainable_variables)


DIFFERENT = {
    "no seed": without_seed,
    "seeds": lambda strategy, index, _: fitted(strategy, seed=1 + index),
    "optimizers": lambda strategy, index, _: fitted(strategy, momentum=0.1 + index / 10),
    "versions": versions,
    "data": lambda strategy, index, _: fitted(strategy, data=[np.ones((8 + index, 1))] * 2),
    "shuffles": shuffles,
    "callbacks": lambda strategy, index, _: fitted(strategy, more=[callbacks.FaultGuard()] * index),
    "directories": directories,
    "pieces of averages": pieces_of_averages,
}


# -- files and clocks ------------------------------------------------------------------------------


def wide():
    return np.random.default_rng(0).normal(size=(64, 80)).astype("float32")


def read(strategy, index, folder):
    """Resumes from the file that the test has saved, and saves."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.saving.load_model(folder / "begin.keras")
    distribute.prepare(model)
    keeping = [keras.callbacks.ModelCheckpoint(folder / "end.keras")]
    model.fit(wide(), wide(), batch_size=16, shuffle=False, verbose=0, callbacks=keeping)
    return np.concatenate([w.ravel() for w in model.get_weights()]).tolist()


def window(strategy, index, folder):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        model.compile(optimizers.AdamW(0.01, gradient_accumulation_steps=3), "mse")
    distribute.prepare(model)
    keeping = [keras.callbacks.ModelCheckpoint(folder / "window.keras", save_freq=4)]
    model.fit(np.ones((64, 4)), np.ones((64, 4)), batch_size=16, verbose=0, callbacks=keeping)


def budgets(strategy, index, _):
    budget = callbacks.TimeBudget("1s" if index else "1h")
    return int(fitted(strategy, more=[budget], epochs=10**6).optimizer.iterations.numpy())


OTHERS = {
    "read": read,
    "window": window,
    "budgets": budgets,
    # afterwards, the workers can send each other nothing more
    "models": lambda strategy, index, _: fitted(strategy, width=1 + index),
}


def main(folder, workers, replicas):
    """Does the jobs; writes the result of each, or its error, and its warnings."""
    folder = Path(folder)
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"] if int(workers) > 1 else 0
    strategy = distribute.strategy(replicas=int(replicas))
    found = {}
    for name, job in jobs_of(int(workers), int(replicas)).items():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                found[name] = {"result": job(strategy, index, folder)}
            except ValueError as error:
                found[name] = {"error": str(error)}
        found[name]["warnings"] = [str(each.message) for each in told]
    (folder / f"{index}.json").write_text(json.dumps(found, default=repr))


if __name__ == "__main__":
    main(*sys.argv[1:])
