"""What a training run is made of, and the hypothesis strategy that draws it."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from keras_gdx.arguments import accepts, alternatives, is_number, may_change
from keras_gdx.config import argument_types, declared_arguments
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.registry import REGISTRY

BATCHES = 3  # per epoch
RULES = sorted(name for name, entry in REGISTRY.items() if entry.kind == "optimizer")
WRAPPERS = [name for name in RULES if "inner" in declared_arguments(REGISTRY[name].cls)]
AROUND = (*WRAPPERS, "partition")  # have another rule inside
INNER = ("adam", "sgd", "adamw", "lion", "muon")
ALONE = ("localsteps",)  # takes other steps on replicas, by definition
SCHEDULES = ("cosine", "linear", "wsd", "onecycle", "rex")
MODIFIERS = {
    side: sorted(
        name for name, entry in REGISTRY.items() if side in getattr(entry.cls, "sides", ())
    )
    for side in ("before", "after")
}
REGULARIZERS = sorted(
    name for name, entry in REGISTRY.items() if entry.kind == "regularizer" and name != "scheduled"
)
OF_OUTPUTS = ("decov", "entropypenalty")
MODELS = (
    "dense", "wide", "embedding", "convolution", "shared", "nested", "recurrent", "outputs",
    "normalized", "dropout", "frozen", "late",
)  # fmt: skip
RANDOM = ("dropout",)  # draws other masks on replicas, and XLA has other random numbers
DATA = ("arrays", "tf.data", "PyDataset", "generator")
DTYPES = ("float32", "float64", "mixed_bfloat16", "mixed_float16", "bfloat16")
CALLBACKS = (
    "HyperparameterLogger", "PlateauController", "WeightAverager", "StepEvaluator",
    "MagnitudePruning", "DynamicSurgery", "SnapshotEnsemble", "FaultGuard", "BatchSizeSchedule",
    "Unfreezing", "AuditLog", "RegularizationMonitor", "GradientMonitor", "SharpnessMonitor",
    "ReduceLROnPlateau", "keras.EarlyStopping", "keras.ModelCheckpoint",
    "keras.ReduceLROnPlateau", "keras.LearningRateScheduler", "keras.CSVLogger",
    "keras.SwapEMAWeights", "keras.TerminateOnNaN",
)  # fmt: skip
OPTIONS = {
    "weight_decay": (0.1,),
    "no_decay": ("auto", ["kernel"]),
    "lr_multipliers": ({"bias": 0.5, "kernel": 2.0},),
    "before": [[name] for name in MODIFIERS["before"]],
    "after": [[name] for name in MODIFIERS["after"]],
    "state_dtype": ("bfloat16", "float16", "float32", "int8"),
    "shard_state": (True,),
    "reduce_dtype": ("bfloat16",),
    "precision": ("kahan",),
    "sparse": ("lazy",),
    "fused": (True, False),
    "skip_nonfinite": (True,),
    "clipnorm": (0.5,),
    "global_clipnorm": (0.5,),
    "clipvalue": (0.1,),
    "use_ema": (True,),
    "ema_momentum": (0.5,),
    "ema_overwrite_frequency": (2,),
    "loss_scale_factor": (8.0,),
    "gradient_accumulation_steps": (1, 2, 4),
}


@dataclass(frozen=True)
class Configuration:
    """One training run, of names and numbers only. The defaults are the simplest run.

    Attributes:
        rule: Short name of the optimizer; a wrapper wraps `inner`, which is the default of a
            partition.
        arguments: The rule's own arguments; `{"schedule": name, "from": number}` is a schedule.
        options: Options of `Optimizer`, those of the inner one for a wrapper; modifiers by name.
        rate: Learning rate, a number or a schedule.
        data: How `fit` receives the examples.
        rows: Examples of an epoch, in batches of 8.
        mode: `"graph"`, `"xla"` or `"eager"`.
        interrupted_after: Executions until the interruption; 0 for none.
    """

    rule: str = "sgd"
    inner: str = "adam"
    arguments: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    rate: Any = 0.0625
    regularizer: str | None = None
    model: str = "dense"
    dtype: str = "float32"
    data: str = "arrays"
    named: bool = False
    weighted: bool = False
    validated: bool = False
    shuffled: bool = False
    rows: int = 24
    steps_per_execution: int = 1
    mode: str = "graph"
    replicas: int = 1
    callbacks: tuple[str, ...] = ()
    interrupted_after: int = 0

    def __str__(self) -> str:
        given = [(f.name, getattr(self, f.name)) for f in fields(self)]
        simplest = Configuration()
        different = [f"{n}={x!r}" for n, x in given if x != getattr(simplest, n)]
        return f"Configuration({', '.join(different)})"


def scheduled(number):
    """A number, or a schedule that begins with it or reaches it."""
    names = st.sampled_from(SCHEDULES)
    return st.just(number) | names.map(lambda name: {"schedule": name, "from": number})


def value_of(hint, default):
    """Values near the default of an argument, by its declared type; `None` if it has no such."""
    found: list[Any] = []
    for base, limits in alternatives(hint):
        if base is bool:
            found += [not default]
        elif get_origin(base) is Literal:
            found += get_args(base)
        elif base in (int, float):
            near = default if is_number(default) and default else limits.get("ge", 0) or 0.5
            found += [near + 1] if base is int else [near / 2, near * 0.9]
    found = [x for x in found if x != default and accepts(hint, x)]
    if not found:
        return None
    values = st.sampled_from(found)
    if may_change(hint) and all(map(is_number, found)):
        return values | values.flatmap(lambda x: st.just({"schedule": "linear", "from": x}))
    return values


def some_of(values, most):
    """A dictionary of at most `most` of the names, each with one of its values."""
    names = st.lists(st.sampled_from(sorted(values)), unique=True, max_size=most)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({n: values[n] for n in chosen}))


def arguments_of(rule):
    """Some of the rule's own arguments, other than their defaults."""
    cls = REGISTRY[rule].cls
    types, shared = argument_types(cls), declared_arguments(Optimizer)
    own = {n: x for n, x in declared_arguments(cls).items() if n not in shared}
    values = {n: value_of(types[n], x) for n, x in own.items()}
    values = {n: x for n, x in values.items() if x is not None}
    return some_of(values, 2) if values else st.just({})


@st.composite
def configurations(draw) -> Configuration:
    """Draws a configuration; those that differ by definition on replicas have one replica."""

    def choose(*values):
        return draw(st.sampled_from(values))

    rule = choose(*RULES)
    model, regularizer = choose(*MODELS), choose(None, None, None, *REGULARIZERS)
    mode = choose("graph", "eager") if model in RANDOM else choose("graph", "xla", "eager")
    data = choose(*DATA)
    # Keras reads a generator beyond an epoch that its executions do not divide.
    executions = choose(1, BATCHES) if data == "generator" else choose(1, 2, BATCHES)
    alone = rule in ALONE or model in RANDOM or regularizer in OF_OUTPUTS
    options = draw(some_of({n: st.sampled_from(values) for n, values in OPTIONS.items()}, 4))
    names = [n for n in CALLBACKS if n != "keras.SwapEMAWeights" or "use_ema" in options]
    listed = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    return Configuration(
        rule=rule,
        inner=choose(*INNER) if rule in AROUND else "adam",
        arguments=draw(arguments_of(rule)),
        options=options,
        rate=draw(scheduled(0.0625)),
        regularizer=regularizer,
        model=model,
        dtype=choose("float32", "float32", *DTYPES),
        data=data,
        named=draw(st.booleans()),
        weighted=draw(st.booleans()),
        validated=draw(st.booleans()),
        shuffled=draw(st.booleans()),
        rows=choose(24, 20, 17),
        steps_per_execution=executions,
        mode=mode,
        replicas=1 if alone or mode == "eager" else choose(1, 1, 2),
        callbacks=tuple(listed),
        interrupted_after=choose(0, 0, 0, 1, 2, 3, 4, 5),
    )
