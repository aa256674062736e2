"""Trains a configuration twice, as drawn and in the plainest way, and compares the results."""

import faulthandler
import gc
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

import keras_gdx
from keras_gdx import callbacks, distribute, regularizers, schedules
from keras_gdx.config import declared_arguments
from keras_gdx.registry import REGISTRY
from tests.resume.interruption import Interrupted, Interruption
from tools.fuzz.draw import BATCHES, OF_OUTPUTS, Configuration

PACKAGE = Path(keras_gdx.__file__).parent
SECONDS = 300  # for one combination, after which the program ends and shows where it was
EPOCHS, BATCH = 2, 8
# Keras weights the batches of these by their static size, which is known in eager mode only.
OF_KERAS = ("head_loss", "other_loss")


class Result(NamedTuple):
    """What must be equal, by name."""

    weights: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    logs: dict[str, np.ndarray]
    start: dict[str, np.ndarray]


# -- models -----------------------------------------------------------------------------------


class Late(keras.Model):
    """A model whose layers are built by the first batch."""

    def __init__(self, activity=None):
        super().__init__(name="late")
        self.body = keras.layers.Dense(6, "tanh", activity_regularizer=activity, name="body")
        self.head = keras.layers.Dense(1, name="head")

    def call(self, x):
        return self.head(self.body(x["x"] if isinstance(x, dict) else x))


def dense(units=6, **options):
    """The layer that most models have."""
    return keras.layers.Dense(units, "tanh", **{"name": "body"} | options)


HIDDEN = {
    "dense": lambda x, **o: dense(**o)(x),
    "wide": lambda x, **o: dense(name="body", **o)(dense(72, name="wide")(dense(64, name="in")(x))),
    "embedding": lambda x, **o: dense(**o)(
        keras.layers.Flatten()(keras.layers.Embedding(600, 8)(x))
    ),
    "convolution": lambda x, **o: dense(**o)(
        keras.layers.Flatten()(
            keras.layers.DepthwiseConv2D(2, activation="tanh")(
                keras.layers.Conv2D(3, 2, activation="tanh")(x)
            )
        )
    ),
    "recurrent": lambda x, **o: dense(**o)(
        keras.layers.GRU(4, recurrent_initializer="glorot_uniform")(x)
    ),
    "outputs": lambda x, **o: dense(**o)(x),
    "normalized": lambda x, **o: keras.layers.LayerNormalization()(
        dense(**o)(
            keras.layers.BatchNormalization(synchronized=True)(
                keras.layers.Dense(6, use_bias=False)(x)
            )
        )
    ),
    "dropout": lambda x, **o: keras.layers.Dropout(0.3, seed=5)(dense(**o)(x)),
}
SHAPES = {"embedding": (3,), "convolution": (4, 4, 2), "recurrent": (3, 4)}


def model_of(c: Configuration) -> keras.Model:
    """The model, not compiled."""
    activity = regularizer_of(c) if c.regularizer in OF_OUTPUTS else None
    if c.model == "late":
        return Late(activity)
    options = {"activity_regularizer": activity}
    kind = "int32" if c.model == "embedding" else None
    x = keras.Input(SHAPES.get(c.model, (4,)), name="x", dtype=kind)
    if c.model == "shared":
        layer = dense(4, **options)
        hidden = layer(layer(x))
    elif c.model in ("nested", "frozen"):
        first = keras.Sequential([keras.Input((4,)), dense(5, name="first")], name="inside")
        first.trainable = c.model == "nested"
        hidden = dense(**options)(first(x))
    else:
        hidden = HIDDEN[c.model](x, **options)
    head = keras.layers.Dense(1, name="head")(hidden)
    if c.model == "outputs":
        other = keras.layers.Dense(2, name="other")(hidden)
        return keras.Model(x, {"head": head, "other": other})
    return keras.Model(x, head)


# -- data -------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    """The batches of arrays."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def arrays_of(c: Configuration) -> tuple:
    """Inputs, targets and, if weighted, weights. Halves of a batch differ, so replicas do too."""
    rng = np.random.default_rng(7)
    scale = np.where(np.arange(c.rows) % BATCH < BATCH // 2, 0.5, 1.5)
    shape = (c.rows, *SHAPES.get(c.model, (4,)))
    x = rng.normal(size=shape) * scale.reshape(-1, *[1] * (len(shape) - 1))
    if c.model == "embedding":
        x = rng.integers(0, 9, size=shape)
    x = x.astype("int32" if c.model == "embedding" else "float32")
    y = rng.normal(size=(c.rows, 1)).astype("float32")
    if c.model == "outputs":
        y = {"head": y, "other": rng.normal(size=(c.rows, 2)).astype("float32")}
    weights = rng.uniform(0.2, 2, size=c.rows).astype("float32")
    if c.model == "outputs":
        weights = {"head": weights, "other": weights[::-1].copy()}
    return ({"x": x} if c.named else x, y, *([weights] if c.weighted else []))


def data_of(c: Configuration, arrays: tuple) -> dict[str, Any]:
    """The arguments with which `fit` receives the arrays."""
    if c.data == "arrays":
        names = ("x", "y", "sample_weight")
        return dict(zip(names, arrays, strict=False)) | {"batch_size": BATCH, "shuffle": c.shuffled}
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    if c.shuffled:
        dataset = dataset.shuffle(8, seed=3)
    if c.data == "tf.data":
        return {"x": dataset.batch(BATCH)}
    parts = [slice(i, i + BATCH) for i in range(0, c.rows, BATCH)]
    batches = [tf.nest.map_structure(lambda a, p=part: a[p], arrays) for part in parts]
    if c.data == "PyDataset":
        return {"x": Batches(batches), "shuffle": c.shuffled}
    return {
        "x": (batch for _ in range(EPOCHS + 1) for batch in batches),
        "steps_per_epoch": BATCHES,
    }


# -- optimizers and callbacks -------------------------------------------------------------------


def made(value: Any) -> Any:
    """The value of an argument: a schedule instead of its name."""
    if isinstance(value, dict) and "schedule" in value:
        return schedules.create(value["schedule"], value["from"], total_steps=8, warmup=2)
    return value


def optimizer_of(c: Configuration) -> keras.optimizers.Optimizer:
    """The optimizer."""
    options = {name: made(value) for name, value in c.options.items()}
    for side in {"before", "after"} & options.keys():
        options[side] = [REGISTRY[name].cls() for name in options[side]]
    arguments = {name: made(value) for name, value in c.arguments.items()}
    cls = REGISTRY[c.rule].cls
    if "inner" in declared_arguments(cls):
        return cls(REGISTRY[c.inner].cls(made(c.rate), **options), **arguments)
    if c.rule == "partition":
        rules = {"bias": REGISTRY["adagrad"].cls(made(c.rate))}
        return keras_gdx.create(c.inner, learning_rate=made(c.rate), rules=rules, **options)
    return cls(made(c.rate), **options | arguments)


def callback_of(name: str, folder: Path, arrays: tuple) -> keras.callbacks.Callback:
    """A callback that acts within two epochs of three batches."""
    data = arrays[:2]
    given: dict[str, dict[str, Any]] = {
        "HyperparameterLogger": {"every": "1 step"},
        "PlateauController": {"monitor": "loss", "mode": "max", "patience": 0},
        "WeightAverager": {"kind": "ema", "decay": 0.5, "every": "1 step"},
        "StepEvaluator": {"validation_data": data, "every": "2 steps"},
        "MagnitudePruning": {"sparsity": 0.5, "end": 4, "every": 2},
        "DynamicSurgery": {"end": 4, "every": 2},
        "SnapshotEnsemble": {"every": "1 epoch"},
        "FaultGuard": {"every": "2 steps"},
        "BatchSizeSchedule": {"milestones": {1: 2}},
        "Unfreezing": {"stages": {0: "head", 1: "body"}},
        "AuditLog": {"path": str(folder / "audit.jsonl")},
        "GradientMonitor": {"data": data, "every": "2 steps", "parts": 2},
        "SharpnessMonitor": {"data": data, "every": "2 steps", "iterations": 2},
        "ReduceLROnPlateau": {"monitor": "loss", "mode": "max", "patience": 1},
        "keras.EarlyStopping": {"monitor": "loss", "mode": "max", "restore_best_weights": True},
        "keras.ModelCheckpoint": {
            "filepath": str(folder / "best.weights.h5"),
            "save_weights_only": True,
        },
        "keras.ReduceLROnPlateau": {"monitor": "loss", "mode": "max", "patience": 1},
        "keras.LearningRateScheduler": {"schedule": lambda epoch, rate: rate / 2},
        "keras.CSVLogger": {"filename": str(folder / "log.csv")},
    }
    module = keras.callbacks if name.startswith("keras.") else callbacks
    return getattr(module, name.removeprefix("keras."))(**given.get(name, {}))


# -- runs ---------------------------------------------------------------------------------------


def plain(c: Configuration) -> Configuration:
    """The slow way to the same result: one step at a time, in eager mode, on one device.

    Callbacks act at the end of an execution, so with callbacks executions stay as long.
    """
    executions = c.steps_per_execution if c.callbacks else 1
    options = c.options | {"fused": False}
    return replace(c, mode="eager", replicas=1, steps_per_execution=executions, options=options)


def run(c: Configuration, interrupted: bool = True, nudge: float = 0.0) -> Result:
    """Trains, with the interruption or without; `nudge` is a relative change of the targets."""
    with tempfile.TemporaryDirectory() as folder:
        if c.interrupted_after and interrupted:
            try:
                with fresh(c.dtype):
                    return fit(c, Path(folder), Interruption(c.interrupted_after))
            except Interrupted:
                pass
        with fresh(c.dtype):
            return fit(c, Path(folder), nudge=nudge)


@cache
def strategy_of(replicas: int) -> tf.distribute.Strategy:
    """One strategy for all runs: TensorFlow confuses the collectives of two in one process."""
    devices = [f"CPU:{i}" for i in range(replicas)]
    return tf.distribute.MirroredStrategy(devices) if replicas > 1 else tf.distribute.get_strategy()


def fit(
    c: Configuration, folder: Path, *more: keras.callbacks.Callback, nudge: float = 0.0
) -> Result:
    """One `fit`, from the checkpoint in the folder if there is one."""
    keras.utils.set_random_seed(1)
    x, y, *weights = arrays_of(c)
    arrays = x, tf.nest.map_structure(lambda part: nudged(part, nudge), y), *weights
    with strategy_of(c.replicas).scope():
        model = model_of(c)
        model.compile(
            optimizer_of(c),
            "mse",
            run_eagerly=c.mode == "eager",
            jit_compile=c.mode == "xla",
            steps_per_execution=c.steps_per_execution,
        )
    distribute.prepare(model)
    if c.regularizer and c.regularizer not in OF_OUTPUTS:
        if not model.built:
            model.build(tf.nest.map_structure(np.shape, arrays[0]))
        regularizers.apply(model, regularizer_of(c))
    start = {v.path: v.numpy() for v in model.weights}
    listed = [callback_of(name, folder, arrays) for name in c.callbacks]
    if c.interrupted_after:
        listed.append(callbacks.ResumableCheckpoint(str(folder / "run"), every="1 step"))
    validation = {"validation_data": arrays, "validation_batch_size": BATCH} if c.validated else {}
    options = data_of(c, arrays) | validation
    history = model.fit(**options, epochs=EPOCHS, verbose=0, callbacks=[*listed, *more])
    return Result(
        {v.path: v.numpy() for v in model.weights},
        state_of(model.optimizer),
        {n: np.array(x, float) for n, x in history.history.items() if not n.endswith(OF_KERAS)},
        start,
    )


def nudged(x: np.ndarray, nudge: float) -> np.ndarray:
    """The numbers, each changed a little."""
    return x * (1 + nudge * np.random.default_rng(0).uniform(-1, 1, x.shape)).astype(x.dtype)


def regularizer_of(c: Configuration) -> keras.regularizers.Regularizer:
    """The regularizer, without random projections, which differ on replicas."""
    cls = REGISTRY[c.regularizer].cls
    given = {"projections": None, "p": 1.5, "factor": 0.05}
    return cls(**{name: given[name] for name in declared_arguments(cls) if name in given})


def state_of(optimizer: Any, name: str = "") -> dict[str, np.ndarray]:
    """The state in the form of files: by path and slot, not packed; also of inner optimizers."""
    store: dict[str, Any] = {}
    optimizer.save_own_variables(store)
    found = {f"{name}{key}": np.asarray(value) for key, value in store.items()}
    parts = [*getattr(optimizer, "parts", ()), "inner", "inner_optimizer", "outer"]
    for part in parts:
        inside = getattr(optimizer, part, None)
        if isinstance(inside, keras.optimizers.Optimizer):
            found |= state_of(inside, f"{name}{part}/")
    numbers = {key: value for key, value in found.items() if value.dtype.kind in "fiu"}
    # The part of a weight that rounding lost differs as soon as one bit of a step does.
    return {key: x for key, x in numbers.items() if not key.endswith("|compensation")}


@contextmanager
def fresh(dtype: str) -> Iterator[None]:
    """Nothing is left of other runs, and nothing is left afterwards.

    Data sets do not read ahead: TensorFlow locks up if Python drops one while a thread of it runs
    Python, as for generators.
    """
    before = keras.config.dtype_policy()
    keras.config.set_floatx("float64" if dtype == "float64" else "float32")
    keras.config.set_dtype_policy(dtype)
    try:
        ahead = patch.object(tf.data.Dataset, "prefetch", lambda data, *args, **kwargs: data)
        with warnings.catch_warnings(), ahead:
            warnings.simplefilter("ignore")
            yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(before)
        keras.backend.clear_session(free_memory=False)


# -- comparison -----------------------------------------------------------------------------------

LOW = {"mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "int8"}
# Relative to the change of a variable. Another order of operations rounds by 1e-7 in float32,
# which six updates amplify, most of all the iteration of Muon and signs of gradients near zero:
# to 8e-5 at most in 300 combinations. Where single steps have 8 bits, such signs are common, and
# only what is quite different is found. Muon orthogonalizes in float32, whatever the weights are.
LIMITS = {"float64": 1e-4, "float32": 1e-3, "low": 1.0}


def distances(c: Configuration) -> dict[str, float]:
    """How far the two ways are apart, relative to what training has changed, by name."""
    return between(run(c), run(plain(c), interrupted=False))


def between(found: Result, expected: Result) -> dict[str, float]:
    """How far two runs are apart, relative to what the second one has changed, by name."""
    far = {}
    for kind in ("weights", "state", "logs"):
        ours, theirs = getattr(found, kind), getattr(expected, kind)
        if ours.keys() != theirs.keys():
            odd = sorted(ours.keys() ^ theirs.keys())
            raise AssertionError(f"{kind}: only one of the two ways has {', '.join(odd)}")
        for name, value in ours.items():
            begin = expected.start.get(name, 0.0) if kind == "weights" else 0.0
            far[f"{kind} {name}"] = distance(value, theirs[name], begin)
    return far


def distance(a: Any, b: Any, start: Any = 0.0) -> float:
    """The norm of the difference, relative to that of the change."""
    a, b, start = (np.asarray(x, "float64") for x in (a, b, start))
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return np.inf
    where = np.isfinite(b)
    change = np.linalg.norm((b - start)[where])
    return float(np.linalg.norm((a - b)[where]) / max(change, 1e-6 * np.sqrt(max(b.size, 1))))


def compare(c: Configuration) -> None:
    """Raises an error if the two ways differ by more than rounding."""
    far = distances(c)
    limit = limit_of(c)
    wrong = {name: value for name, value in far.items() if not value <= limit}
    if wrong and c.dtype == "float32" and limit == LIMITS["float32"]:
        limit = max(limit, amplified_rounding(c))
        wrong = {name: value for name, value in wrong.items() if not value <= limit}
    if wrong:
        worst = sorted(wrong, key=wrong.__getitem__, reverse=True)[:4]
        named = ", ".join(f"{name} by {wrong[name]:.1e}" for name in worst)
        raise AssertionError(f"{len(wrong)} of {len(far)} differ by more than {limit}: {named}")


def amplified_rounding(c: Configuration) -> float:
    """The distance that rounding explains: a hundred times what a change of the targets makes.

    The targets change as much as rounding changes a number. Rules that divide by the size of a part
    of the gradient make steps of its rounding errors where it is zero.
    """
    simple = plain(c)
    eps = float(np.finfo("float32").eps)
    expected = run(simple, False)
    nudged = [run(simple, False, nudge) for nudge in (eps, 2 * eps)]
    return 100 * max(max(between(each, expected).values()) for each in nudged)


def limit_of(c: Configuration) -> float:
    """The largest distance that rounding explains."""
    low = {c.dtype, *map(str, c.options.values())} & LOW
    return LIMITS["low" if low else c.dtype]


def outcome(c: Configuration) -> str:
    """`"passed"`, `"refused: argument"` or `"failed: reason"`."""
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
    try:
        compare(c)
    except ValueError as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        argument = re.search(r"`([\w.]+)`|Received: (\w+)=", str(error))
        if argument and Path(where).is_relative_to(PACKAGE):
            return f"refused: {argument[1] or argument[2]}"
        return f"failed: {_told(error)}"
    except Exception as error:
        return f"failed: {_told(error)}"
    finally:
        faulthandler.cancel_dump_traceback_later()
        context.context().clear_kernel_cache()
        gc.collect()
    return "passed"


def _told(error: Exception) -> str:
    text = str(error)
    places = traceback.extract_tb(error.__traceback__)[::-1]
    where = " < ".join(f"{Path(p.filename).name}:{p.lineno}" for p in places[:3])
    told = text if len(text) < 900 else f"{text[:200]} ... {text[-600:]}"
    return f"{type(error).__name__}: {told}\n  at {where}"
