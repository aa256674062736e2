"""Training runs whose numbers must be the same on every backend of Keras.

`python -m tests.backends.cases` compares them with `tensorflow.npz` beside this file, with `--core`
only a few of every kind; on TensorFlow with `--record` it writes that file.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_gdx
from keras_gdx import (
    callbacks,
    constraints,
    modifiers,
    optimizers,
    registry,
    regularizers,
    schedules,
)
from keras_gdx.config import declared_arguments
from tests.reference import settings

RECORDED = Path(__file__).with_name("tensorflow.npz")
BACKEND = keras.backend.backend()
RULES = [
    name
    for name, entry in registry.REGISTRY.items()
    if entry.kind == "optimizer" and name != "kron"  # needs TensorFlow
]
AdamW = optimizers.AdamW

random = np.random.default_rng(0)
X = random.normal(size=(56, 8)).astype("float32")
X[:, 7] = random.integers(0, 5, 56)
Y = np.tanh(X[:, :3].sum(1, keepdims=True))


def make(regularizer=None, constraint=None, activity=None):
    """A model with known weights."""
    inputs = keras.Input((8,))
    table = keras.layers.Embedding(5, 3, name="table")(inputs[:, 7:])
    own = {"kernel_regularizer": regularizer, "kernel_constraint": constraint}
    x = keras.layers.Dense(6, "tanh", name="body", **own)(inputs[:, :7])
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.Concatenate()([x, keras.layers.Flatten()(table)])
    x = keras.layers.Dense(4, "tanh", name="neck", activity_regularizer=activity)(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(x), name="net")
    random = np.random.default_rng(1)
    for v in model.weights:
        v.assign(0.3 * random.normal(size=v.shape) + (v.name == "gamma"))
    return model


def fit(optimizer, watch=(), model=None, x=X, epochs=2, **options):
    """The weights and the losses of a run."""
    model = model or make()
    model.compile(optimizer, "mse", **options)
    kept = {"batch_size": 8, "shuffle": False, "verbose": 0}
    losses = model.fit(x, Y, epochs=epochs, callbacks=[*watch], **kept).history["loss"]
    return np.concatenate([flat(model), losses])


def flat(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


def accumulating(rule):
    """The rule with windows of three batches; the last window of an epoch stays open."""
    cls = registry.REGISTRY[rule].cls
    if "sync_period" in declared_arguments(cls):
        return cls(optimizers.Adam(0.01, gradient_accumulation_steps=3), sync_period=3)
    if cls is optimizers.ScheduleFree:
        return cls(optimizers.Adam(0.01, beta_1=0.0, gradient_accumulation_steps=3))
    return cls(**settings(rule), gradient_accumulation_steps=3)


def evaluated(optimizer):
    """Evaluation and prediction use the evaluation weights; training continues unaffected."""
    model = make()
    first = fit(optimizer, model=model)
    seen = [model.evaluate(X, Y, verbose=0)], model.predict(X, verbose=0).ravel()
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    return np.concatenate([first, *seen, flat(model)])


def saved(optimizer):
    """A run that resumes from a file."""
    model = make()
    fit(optimizer, model=model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        loaded = keras.models.load_model(f"{folder}/model.keras")
    loaded.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    return flat(loaded)


def looped(optimizer):
    """A custom training loop."""
    model, random = make(), np.random.default_rng(2)
    variables = model.trainable_variables
    for _ in range(7):
        gradients = [random.normal(size=v.shape).astype("float32") for v in variables]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    optimizer.flush()
    return flat(model)


def with_nan(**options):
    """A run with a batch that is not finite."""
    x = X.copy()
    x[20, :7] = np.nan
    return fit(x=x, **options)


class Changing(keras.callbacks.Callback):
    """Sets hyper-parameters in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            self.model.optimizer.learning_rate = 0.02
            self.model.optimizer.beta_1 = 0.5


def penalized(regularizer):
    model = make()
    regularizers.apply(model, regularizer)
    return fit(AdamW(0.01), model=model)


def sampled():
    """Keras' schedules inside ours."""
    own = keras.optimizers.schedules
    return np.concatenate(
        [
            (each + schedules.Constant(1.0)).sample(12)
            for each in (
                own.CosineDecay(0.0, 8, warmup_target=0.1, warmup_steps=3),
                own.PiecewiseConstantDecay([3, 5], [0.1, 0.2, 0.3]),
            )
        ]
    )


def in_16_bits(**options):
    random = np.random.default_rng(2)
    w = keras.Variable(random.normal(size=(5, 4)), dtype="bfloat16")
    optimizer = AdamW(0.01, **options)
    for _ in range(20):
        optimizer.apply([keras.ops.cast(random.normal(size=(5, 4)), "bfloat16")], [w])
    return keras.ops.convert_to_numpy(keras.ops.cast(w, "float32")).ravel()


OPTIONS = {
    "skip": {"skip_nonfinite": True},
    "averages": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    "clipnorm": {"clipnorm": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.1, "gradient_accumulation_steps": 2},
    "clipvalue": {"clipvalue": 0.01, "fused": False},
    "int8": {"state_dtype": "int8", "no_decay": "auto"},
    "bfloat16": {"state_dtype": "bfloat16", "lr_multipliers": {"body": 0.1}},
    "before": {"before": [modifiers.Centralize(), modifiers.AdaptiveClip(), modifiers.Grokfast()]},
    "after": {"after": [modifiers.Cautious(), modifiers.TrustRatio(), modifiers.UpdateClip()]},
    "schedules": {"beta_1": schedules.Linear(0.9, 10, 0.5), "loss_scale_factor": 64.0},
}
WATCHED = {
    "plateau": lambda: callbacks.PlateauController(
        "loss", patience=1, min_delta=0.5, rollback=True, every=2
    ),
    "fault guard": lambda: callbacks.FaultGuard(every=2),
    "evaluator": lambda: callbacks.StepEvaluator((X, Y), every=3),
    "averager": lambda: callbacks.WeightAverager("swa", start=1),
    "ensemble": lambda: callbacks.SnapshotEnsemble(every=1),
    "finder": lambda: callbacks.LearningRateFinder(steps=8),
    "changing": Changing,
    "by epoch": lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
}
PENALTIES = [
    regularizers.L1L2(0.01, 0.01),
    regularizers.GroupLasso(0.01),
    regularizers.SRIP(0.01),
    regularizers.SoftOrthogonal(0.01, mode="rows"),
]
CASES = {
    **{
        f"rule {name}": lambda name=name: fit(registry.REGISTRY[name].cls(**settings(name)))
        for name in RULES
    },
    **{f"windows {name}": lambda name=name: fit(accumulating(name)) for name in RULES},
    **{f"option {n}": lambda options=o: fit(AdamW(0.01, **options)) for n, o in OPTIONS.items()},
    **{f"callback {n}": lambda make=m: fit(AdamW(0.01), [make()]) for n, m in WATCHED.items()},
    **{f"{r!r}": lambda r=r: penalized(r) for r in PENALTIES},
    "activity": lambda: fit(AdamW(0.01), model=make(activity=regularizers.DeCov(0.1))),
    "batches": lambda: fit(
        AdamW(0.01, gradient_accumulation_steps=1), [callbacks.BatchSizeSchedule({1: 2})]
    ),
    "outer steps, alone": lambda: fit(
        optimizers.LocalSteps(
            optimizers.SGD(0.05, gradient_accumulation_steps=3),
            outer=optimizers.SGD(0.7, momentum=0.9),
            sync_period=4,
        ),
        model=make(constraint=constraints.SoftThreshold(1e-3)),
        epochs=3,
    ),
    "loss scaling": lambda: fit(optimizers.LossScaleOptimizer(AdamW(0.01))),
    "run": lambda: fit(AdamW(schedules.create("cosine", 0.01), gradient_accumulation_steps=2)),
    "warm-up": lambda: fit(AdamW(schedules.Warmup(schedules.Cosine(0.01, 12), 2))),
    "eager": lambda: fit(AdamW(0.01, gradient_accumulation_steps=3), run_eagerly=True),
    "evaluate averages": lambda: evaluated(AdamW(0.01, use_ema=True, ema_momentum=0.9)),
    "evaluate schedule-free": lambda: evaluated(optimizers.ScheduleFreeAdamW(0.01)),
    "save": lambda: saved(AdamW(0.01, use_ema=True, gradient_accumulation_steps=3)),
    "save lookahead": lambda: saved(optimizers.Lookahead(AdamW(0.01), sync_period=3)),
    "loop": lambda: looped(AdamW(0.01, gradient_accumulation_steps=3, skip_nonfinite=True)),
    "loop schedule-free": lambda: looped(optimizers.ScheduleFreeSGD(0.1)),
    "nan skipped": lambda: with_nan(
        optimizer=AdamW(0.01, skip_nonfinite=True, gradient_accumulation_steps=2)
    )[:-2],
    "nan guarded": lambda: with_nan(optimizer=AdamW(0.01), watch=[callbacks.FaultGuard(every=2)]),
    "schedules of Keras": sampled,
    "advice": lambda: np.array([keras_gdx.recommend(make(), loss="mse")["learning_rate"]]),
    "explanation": lambda: (
        keras_gdx.explain(make(), X, Y, method="permutation", loss="mse", repeats=3, seed=0).values
    ),
    "16 bits": in_16_bits,
    "16 bits, kahan": lambda: in_16_bits(precision="kahan"),
}
if BACKEND != "jax":
    scheduled = regularizers.Scheduled(regularizers.L1(0.01), schedules.Linear(0.0, 8, 1.0))
    CASES["Scheduled"] = lambda: penalized(scheduled)

CORE = (  # compile, fit, save and go on, callbacks, loops: one of each kind
    "rule adamw", "rule muon", "rule prodigy", "windows sgd", "option averages", "option int8",
    "option after", "callback evaluator", "callback fault guard", "callback finder", "activity",
    "evaluate schedule-free", "save", "loop", "run", "advice", "explanation",
)  # fmt: skip

REFUSED = {  # on every backend but TensorFlow
    "`precision`": lambda: AdamW(0.01, precision="stochastic"),
    "`sparse`": lambda: AdamW(0.01, sparse="lazy"),
    "`shard_state`": lambda: AdamW(0.01, shard_state=True),
    "`reduce_dtype`": lambda: AdamW(0.01, reduce_dtype="bfloat16"),
    "Kron": optimizers.Kron,
    "GradientNoise": modifiers.GradientNoise,
    "SAM": lambda: keras_gdx.SAM(make()),
    "LookSAM": lambda: keras_gdx.LookSAM(make()),
    "fit_full_batch": lambda: keras_gdx.fit_full_batch(make(), X, Y),
    "method": lambda: keras_gdx.explain(make(), X[:4]),
    "GradientPenalty": lambda: regularizers.GradientPenalty(0.1),
    "JacobianPenalty": lambda: regularizers.JacobianPenalty(0.1),
    "ResumableCheckpoint": lambda: fit("sgd", [callbacks.ResumableCheckpoint("never")]),
    "Unfreezing": lambda: fit("sgd", [callbacks.Unfreezing({0: "head"})]),
    "MagnitudePruning": lambda: fit("sgd", [callbacks.MagnitudePruning(0.5, end=4)]),
    "DynamicSurgery": lambda: fit("sgd", [callbacks.DynamicSurgery(end=4)]),
    "GradientMonitor": lambda: fit("sgd", [callbacks.GradientMonitor((X, Y), every=2)]),
    "SharpnessMonitor": lambda: fit("sgd", [callbacks.SharpnessMonitor((X, Y), every=2)]),
    "keras_gdx.distribute": lambda: keras_gdx.distribute.strategy("auto"),
    "keras_gdx.export": lambda: keras_gdx.export(make(), "never"),
}
if BACKEND == "jax":
    REFUSED["Scheduled"] = lambda: regularizers.Scheduled(
        regularizers.L1(0.01), schedules.Constant(1.0)
    )


def wrong(recorded, names=tuple(CASES)):
    """Cases that differ from the recording or are not refused, one line each."""
    for name in names:
        try:
            gap = np.abs(CASES[name]() - recorded[name]).max()
        except Exception as error:
            yield f"{name}: {type(error).__name__}: {error}"
        else:
            if not gap < 1e-4:
                yield f"{name}: differs by {gap:.1e}"
    for name, case in REFUSED.items() if BACKEND != "tensorflow" else ():
        try:
            case()
        except (ValueError, ImportError) as error:
            if name not in str(error) or "TensorFlow" not in str(error):
                yield f"{name}: {error}"
        else:
            yield f"{name}: is not refused"


if __name__ == "__main__":
    if "--record" in sys.argv:
        assert BACKEND == "tensorflow"
        np.savez_compressed(RECORDED, **{n: case().astype("float32") for n, case in CASES.items()})
    else:
        found = [*wrong(np.load(RECORDED), CORE if "--core" in sys.argv else tuple(CASES))]
        print(*found, sep="\n")
        sys.exit(bool(found))
