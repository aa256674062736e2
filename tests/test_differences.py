"""Every statement of docs/differences.md is true, and no difference is missing."""

import inspect
import io
import re
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gdx import callbacks, optimizers, registry, regularizers, schedules
from keras_gdx.callbacks._lib.say import say
from keras_gdx.config import VARIADIC, declared_arguments

PAGE = Path(__file__).resolve().parents[1] / "docs" / "differences.md"
KERAS = {
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "callback": keras.callbacks,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
}
OURS = {n: e for n, e in registry.REGISTRY.items() if e.cls.__module__.startswith("keras_gdx.")}
RULES = {name: entry.cls for name, entry in OURS.items() if entry.kind == "optimizer"}
COUNTERPARTS = {
    "Cosine": "CosineDecay",
    "CosineRestarts": "CosineDecayRestarts",
    "Exponential": "ExponentialDecay",
    "MultiStep": "PiecewiseConstantDecay",
    "Polynomial": "PolynomialDecay",
    "SoftOrthogonal": "OrthogonalRegularizer",
}


def table(name):
    """The rows of the table after the comment `<!-- name -->`, as lists of cells."""
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")[2]
    lines = text.partition("<!-- end -->")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def codes(cell):
    return re.findall(r"`([^`]*)`", cell)


# -- arguments and defaults ------------------------------------------------------------------


def pairs():
    """Our classes with the Keras classes of the same name or purpose."""
    for entry in OURS.values():
        keras_own = vars(KERAS[entry.kind]).items() if entry.kind in KERAS else ()
        classes = {name.lower(): cls for name, cls in keras_own if inspect.isclass(cls)}
        name = entry.cls.__name__
        found = classes.get(COUNTERPARTS.get(name, name).lower())
        if found is not None:
            yield entry.cls, found
    yield optimizers.LossScaleOptimizer, keras.optimizers.LossScaleOptimizer


def arguments(cls):
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {p.name: p.default for p in parameters if p.kind not in VARIADIC}


def text(default):
    if default is inspect.Parameter.empty:
        return "required"
    return default if isinstance(default, str) else repr(default)


def differing():
    """For each argument that differs, both defaults; ours is `None` if there is none."""
    found = {}
    for ours, theirs in pairs():
        own = declared_arguments(ours) if hasattr(ours, "configured") else arguments(ours)
        for name, default in arguments(theirs).items():
            if issubclass(ours, schedules.Schedule) and name == "name":
                continue
            if name not in own or own[name] not in (default, text(default)):
                here = text(own[name]) if name in own else None
                found[ours.__name__, name] = text(default), here
    return found


def test_arguments_and_defaults():
    told = {}
    *rows, every = table("defaults")
    for ours, names, theirs, here, _ in rows:
        defaults = codes(theirs) or [theirs]
        defaults *= len(codes(names)) if defaults == ["required"] else 1
        for name, default in zip(codes(names), defaults, strict=True):
            told[codes(ours)[0], name] = default, here
        for other in codes(ours)[1:]:
            assert {x.__name__: y.__name__ for x, y in pairs()}[codes(ours)[0]] == other
    found = differing()
    assert told.keys() == found.keys()
    for key, (theirs, ours) in found.items():
        assert told[key][0] == theirs, key
        assert ours is None or told[key][1] == f"`{ours}`", key
    assert every[:2] == ["every schedule", "`name`"]


# -- results ---------------------------------------------------------------------------------

CHECKS = {}


def row(text):
    """Marks the row of a table that a test checks."""

    def add(check):
        CHECKS[text] = check
        return check

    return add


def test_every_row_has_a_test():
    assert list(CHECKS) == [cells[0] for cells in table("rows")]


@pytest.mark.parametrize("text", [cells[0] for cells in table("rows")])
def test_row(text):
    CHECKS[text]()


UPDATES = 12
RANDOM = np.random.default_rng(0)
START = RANDOM.normal(size=(4, 3)).astype("float32")
GRADIENTS = RANDOM.normal(size=(UPDATES, 4, 3)).astype("float32")


def run(optimizer, start=START, gradients=GRADIENTS, evaluate=False, name="w"):
    """The weights after some updates."""
    w = keras.Variable(start, name=name)
    optimizer.build([w])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [w])
    if not evaluate:
        return w.numpy()
    with optimizer.evaluation_weights():
        return w.numpy()


def same(ours, theirs, rtol=0, atol=2e-6):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def different(ours, theirs, by=1e-3):
    assert np.abs(ours - theirs).max() > by


theirs = keras.optimizers


@row("arguments after the learning rate")
def by_name():
    for rule in RULES.values():
        _, *rest = inspect.signature(rule).parameters.values()
        assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in rest), rule
    assert theirs.SGD(0.1, 0.9).momentum == 0.9
    assert list(arguments(theirs.Adam))[1] == "beta_1"
    assert list(arguments(theirs.AdamW))[1] == "weight_decay"


@row("`epsilon` of `Adam` and `AdamW`")
def epsilon():
    schedule = schedules.KerasEpsilon
    for name in ("Adam", "AdamW"):
        ours, other = getattr(optimizers, name), getattr(theirs, name)
        decay = {"weight_decay": 0.01} if name == "AdamW" else {}
        expected = run(other(0.1, epsilon=0.1, **decay))
        different(run(ours(0.1, epsilon=0.1, **decay)), expected, by=0.1)
        same(run(ours(0.1, epsilon=schedule(0.1), **decay)), expected, atol=1e-5)
    factors = [float(schedule(1.0)(t - 1)) for t in (1, 10, 1000)]
    np.testing.assert_allclose(factors, [32, 10, 1.3], rtol=0.05)
    tiny = np.full((100, 4, 3), 1e-3, "float32")
    for updates, share in ((1, 3e-3), (100, 3e-4)):  # the step of a constant gradient
        moved = [
            run(x(1.0), gradients=tiny[:updates], start=START * 0)
            - run(x(1.0), gradients=tiny[: updates - 1], start=START * 0)
            for x in (optimizers.Adam, theirs.Adam)
        ]
        np.testing.assert_allclose((moved[0] / moved[1] - 1).max(), share, rtol=0.15)


@row("`epsilon` of `Adamax`")
def epsilon_of_adamax():
    for cls, inside in ((optimizers.Adamax, 0.5), (theirs.Adamax, 0.0)):
        m = v = 0.0
        w = START.astype("float64")
        for t, g in enumerate(GRADIENTS.astype("float64"), 1):
            m, v = 0.9 * m + 0.1 * g, np.maximum(0.999 * v, np.abs(g) + inside)
            w = w - 0.1 / (1 - 0.9**t) * m / (v + 0.5 - inside)
        same(run(cls(0.1, epsilon=0.5)), w, atol=1e-5)


@row("`amsgrad`")
def amsgrad():
    other = run(theirs.Adam(0.1, amsgrad=True, epsilon=1e-12))
    different(run(optimizers.Adam(0.1, amsgrad=True, epsilon=1e-12)), other)
    m = v = largest = 0.0
    w = START.astype("float64")
    for t, g in enumerate(GRADIENTS.astype("float64"), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        largest = np.maximum(largest, v)
        w = w - 0.1 * (m / (1 - 0.9**t)) / np.sqrt(largest / (1 - 0.999**t))
    same(w, other, atol=1e-4)


@row("`momentum` of `SGD` under a schedule")
def momentum():
    rate = schedules.Linear(0.1, 20)
    different(run(optimizers.SGD(rate, momentum=0.9)), run(theirs.SGD(rate, momentum=0.9)))
    for options in ({"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}):
        same(run(optimizers.SGD(0.1, **options)), run(theirs.SGD(0.1, **options)))


@row("`weight_decay` of `LAMB`")
def lamb_decay():
    options = {"epsilon": 1e-7}
    same(run(optimizers.LAMB(0.01, **options)), run(theirs.Lamb(0.01, **options)))
    options["weight_decay"] = 0.1
    different(run(optimizers.LAMB(0.01, **options)), run(theirs.Lamb(0.01, **options)))
    options = {"weight_decay": 0.1}
    same(run(optimizers.Lion(0.01, **options)), run(theirs.Lion(0.01, **options)))


WHOLE = {"min_dim_size_to_factor": 1}


@row("rates of `Adafactor`")
def adafactor_rates():
    rate = schedules.RelativeStep(0.5)  # the square root reaches it at the fourth update
    other = run(theirs.Adafactor(0.5))
    same(run(optimizers.Adafactor(rate, **WHOLE)), other)
    same(run(theirs.Adafactor(0.5, relative_step=False)), other)
    different(run(optimizers.Adafactor(0.5, **WHOLE)), other)


@row("`Adafactor` with small matrices")
def adafactor_matrices():
    rate = schedules.RelativeStep(0.05)
    different(run(optimizers.Adafactor(rate)), run(theirs.Adafactor(0.05)))
    vector = {"start": START[0], "gradients": GRADIENTS[:, 0]}
    same(run(optimizers.Adafactor(rate), **vector), run(theirs.Adafactor(0.05), **vector))


@row("`weight_decay` of `Adafactor`")
def adafactor_decay():
    rate, options = schedules.RelativeStep(0.05), {"weight_decay": 0.1}
    once = {"gradients": GRADIENTS[:1]}
    ours = run(optimizers.Adafactor(rate, **options, **WHOLE), **once)
    other = run(theirs.Adafactor(0.05, **options), **once)
    different(ours, other, by=1e-5)
    scale = np.sqrt((START**2).mean())
    step = START - run(optimizers.Adafactor(rate, **WHOLE), **once)
    same(ours, START * (1 - 0.05 * 0.1) - step)
    same(other, START * (1 - 0.05 * 0.1) - step * (1 - 0.05 * 0.1))
    assert scale > 1e-3


@row("steps of `Muon`")
def muon_steps():
    alone = {"weight_decay": 0.0}
    for adjust, rms in (("match_rms_adamw", 0.2), (None, None)):
        ours = run(optimizers.Muon(0.01, adjust=adjust))
        same(ours, run(theirs.Muon(0.01, rms_rate=rms, **alone)))
    ours = run(optimizers.Muon(0.01), START.T, GRADIENTS.transpose(0, 2, 1))
    plain = run(optimizers.Muon(0.01, adjust=None), START.T, GRADIENTS.transpose(0, 2, 1))
    same(ours - START.T, (plain - START.T) * np.sqrt(4 / 3), atol=1e-5)
    decay = {"weight_decay": 0.1}
    other = run(theirs.Muon(0.01, **decay))
    same(run(optimizers.Muon(0.01, adjust="match_rms_adamw", **decay)), other)


@row("`Muon`, what is no matrix")
def muon_rest():
    vector = {"start": START[0], "gradients": GRADIENTS[:, 0]}
    options = {"weight_decay": 0.01, "epsilon": 1e-8}
    same(run(optimizers.Muon(0.02), **vector), run(theirs.AdamW(0.003, **options), **vector))
    other = run(theirs.Muon(0.01), **vector)
    same(run(theirs.AdamW(0.01, weight_decay=0.004), **vector), other, atol=1e-5)
    fallback = optimizers.AdamW(0.01, weight_decay=0.004, epsilon=1e-7)
    same(run(optimizers.Muon(0.01, fallback=fallback), **vector), other, atol=1e-4)


@row("`warmup_steps` of `ScheduleFreeAdamW`")
def schedule_free():
    ours = run(optimizers.ScheduleFreeAdamW(0.01), evaluate=True)
    same(ours, run(theirs.ScheduleFreeAdamW(0.01)))
    warm = {"warmup_steps": 5}
    ours = run(optimizers.ScheduleFreeAdamW(0.01, **warm), evaluate=True)
    other = run(theirs.ScheduleFreeAdamW(0.01, **warm))
    different(ours, other)
    even = optimizers.ScheduleFreeAdamW(0.01, **warm, weight_lr_power=0.0)
    same(run(even, evaluate=True), other)


@row("`weight_decay` of `ScheduleFreeAdamW`")
def decay_of_schedule_free():
    ours, other = optimizers.ScheduleFreeAdamW, theirs.ScheduleFreeAdamW
    given = {"beta_2": 0.999, "epsilon": 1e-8, "warmup_steps": 0}
    same(run(ours(0.1, **given), evaluate=True), run(other(0.1, **given)), atol=1e-5)
    decaying = run(ours(0.1, weight_decay=0.5, **given), evaluate=True)
    different(decaying, run(other(0.1, weight_decay=0.5, **given)))
    z = x = y = START.astype("float64")
    v = 0.0
    for t, g in enumerate(GRADIENTS.astype("float64"), 1):
        v = 0.999 * v + 0.001 * g * g
        z = z - 0.1 * (g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + 0.5 * y)
        x = x + (z - x) / t
        y = 0.1 * z + 0.9 * x
    same(decaying, x, atol=1e-5)


@row("`use_ema` of `ScheduleFreeAdamW`")
def schedule_free_averages():
    assert theirs.ScheduleFreeAdamW(use_ema=True).use_ema
    with pytest.raises(ValueError, match="weights are averaged already"):
        optimizers.ScheduleFreeAdamW(use_ema=True)


@row("`weight_decay=None` and `0`")
def no_decay():
    with pytest.raises(ValueError, match="weight_decay"):
        theirs.AdamW(0.1, weight_decay=None)
    plain = run(optimizers.Adam(0.1))
    for none in (None, 0, 0.0):
        same(run(optimizers.AdamW(0.1, weight_decay=none)), plain, atol=0)
    zero, none = (optimizers.AdamW(0.1, weight_decay=x) for x in (0, None))
    for optimizer in (zero, none):
        run(optimizer)
    zero.weight_decay = 0.1
    with pytest.raises(ValueError, match="weight_decay"):
        none.weight_decay = 0.1


@row("`gradient_accumulation_steps=1`")
def windows_of_one():
    with pytest.raises(ValueError, match="integer >= 2"):
        theirs.SGD(0.1, gradient_accumulation_steps=1)
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=1)
    same(run(optimizer), run(theirs.SGD(0.1)))
    optimizer.gradient_accumulation_steps = 2
    four = {"gradient_accumulation_steps": 4}
    same(run(optimizers.SGD(0.1, **four)), run(theirs.SGD(0.1, **four)))


@row("a learning rate below 0, `beta_1=1`")
def ranges():
    theirs.SGD(-1.0)
    theirs.Adam(0.1, beta_1=1.0)
    with pytest.raises(ValueError, match="learning_rate"):
        optimizers.SGD(-1.0)
    with pytest.raises(ValueError, match="beta_1"):
        optimizers.Adam(0.1, beta_1=1.0)


@row("schedules for other numbers than the rate")
def other_schedules():
    schedule = schedules.Constant(0.9)
    with pytest.raises((ValueError, TypeError)):
        theirs.SGD(0.1, momentum=schedule)
    same(run(optimizers.SGD(0.1, momentum=schedule)), run(theirs.SGD(0.1, momentum=0.9)))


@row("callables")
def callables():
    same(run(optimizers.SGD(lambda: 0.1)), run(theirs.SGD(lambda: 0.1)))
    for family in (optimizers, theirs):
        with pytest.raises((ValueError, TypeError)):
            family.SGD(0.1, momentum=lambda: 0.9)


@row("setting `learning_rate` where there is a schedule")
def settable():
    rate = schedules.Linear(0.1, 10)
    with pytest.raises(TypeError):
        theirs.SGD(rate).learning_rate = 0.2
    optimizer = optimizers.SGD(rate)
    optimizer.learning_rate = 0.2
    run(optimizer, gradients=GRADIENTS[:5])
    assert float(optimizer.learning_rate) == pytest.approx(0.1)


def values_of(schedule, n=16):
    return [float(schedule(t)) for t in range(n)]


@row("`boundaries` of `PiecewiseConstantDecay`")
def boundaries():
    other = values_of(theirs.schedules.PiecewiseConstantDecay([3, 7], [1.0, 0.5, 0.25]))
    assert other[3:5] == [1.0, 0.5]
    assert list(schedules.MultiStep(1.0, [4, 8], 0.5).sample(16)) == other
    pieces = [(4, 1.0), (4, 0.5), (1, 0.25)]
    assert list(schedules.Sequential(pieces).sample(16)) == other
    assert list(schedules.MultiStep(1.0, [3], 0.5).sample(5)[2:4]) == [1.0, 0.5]


@row("`m_mul` and `alpha` of `CosineRestarts`")
def restarts():
    other = theirs.schedules.CosineDecayRestarts
    for options in ({"m_mul": 0.5}, {"alpha": 0.1}, {"t_mul": 1.0}):
        ours = schedules.CosineRestarts(1.0, 3, **options).sample(16)
        same(ours, values_of(other(1.0, 3, **options)))
    both = {"m_mul": 0.5, "alpha": 0.1}
    second = 3  # the first update of the second wave
    assert float(other(1.0, 3, **both)(second)) == pytest.approx(0.9 * 0.5 + 0.1)
    assert float(schedules.CosineRestarts(1.0, 3, **both)(second)) == pytest.approx(0.5)


@row("warm-up of `CosineDecay`")
def warmups():
    other = theirs.schedules.CosineDecay(0.0, 8, warmup_target=0.1, warmup_steps=3)
    same(schedules.Warmup(schedules.Cosine(0.1, 8), 3).sample(16), values_of(other))
    for name, args in (("Exponential", (1.0, 3, 0.5)), ("Polynomial", (1.0, 5, 0.1, 2.0))):
        other = getattr(theirs.schedules, f"{name}Decay")(*args)
        same(getattr(schedules, name)(*args).sample(16), values_of(other))


@row("`SoftOrthogonal`")
def orthogonal():
    w = keras.ops.convert_to_tensor(START)
    for mode, axis in (("rows", 1), ("columns", 0)):
        ours = regularizers.SoftOrthogonal(1.0, mode=mode)
        other = keras.regularizers.OrthogonalRegularizer(1.0, mode=mode)
        same(float(other(2 * w)), float(other(w)))
        different(float(ours(2 * w)), float(ours(w)))
        unit = START / np.linalg.norm(START, axis=axis, keepdims=True)
        gram = unit @ unit.T if mode == "rows" else unit.T @ unit
        off = gram - np.diag(np.diag(gram))
        count = len(gram) * (len(gram) - 1)
        same(float(other(w)), np.abs(off).sum() / 2 / (count / 2))
        same(float(ours(unit)), (off**2).sum(), atol=1e-5)


@row("`L1`, `L2`, `L1L2` of weights in 16 bits")
def sixteen_bits():
    w = keras.ops.full((300, 300), 0.1, "bfloat16")
    each = float(w[0, 0])
    for name, args, term in (
        ("L1", (0.5,), 0.5 * each),
        ("L2", (0.5,), 0.5 * each**2),
        ("L1L2", (0.5, 0.5), 0.5 * each + 0.5 * each**2),
    ):
        ours, other = (getattr(x, name)(*args) for x in (regularizers, keras.regularizers))
        assert float(ours(w)) == pytest.approx(90_000 * term, rel=1e-5)
        assert float(other(w)) != pytest.approx(90_000 * term, rel=1e-4)
        same(float(ours(START)), float(other(START)))


@row("`ReduceLROnPlateau` without its metric")
def without_metric():
    for family, expected in ((keras.callbacks, None), (callbacks, ValueError)):
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        plateau = family.ReduceLROnPlateau("val_loss")
        plateau.set_model(model)
        plateau.on_train_begin()
        plateau.on_epoch_begin(0)
        if expected is None:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                plateau.on_epoch_end(0, {"loss": 1.0})
            assert any("val_loss" in str(each.message) for each in told)
        else:
            with pytest.raises(expected, match="val_loss"):
                plateau.on_epoch_end(0, {"loss": 1.0})


@row("`verbose=1` of callbacks")
def verbose():
    heard = []
    for switch in (keras.utils.disable_interactive_logging, keras.utils.enable_interactive_logging):
        switch()
        with redirect_stdout(io.StringIO()) as screen:
            say("changed")
        heard.append(screen.getvalue())
    assert heard == ["", "changed\n"]
    folder = Path(callbacks.__file__).parent
    printing = {x.name for x in folder.rglob("*.py") if re.search(r"\bprint\(", code(x))}
    assert printing == {"progress.py", "say.py"}  # the former is asked to print


def code(path):
    """A file without its examples."""
    return re.sub(r"^ *(>>>|\.\.\.).*", "", path.read_text(encoding="utf-8"), flags=re.M)


# -- names -----------------------------------------------------------------------------------


def meant(word):
    try:
        module = type(keras.optimizers.get(word)).__module__
    except ValueError:
        return "nothing"
    return "ours" if module.startswith("keras_gdx.") else "Keras'"


SAME_STEPS = [
    theirs.SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    theirs.Adam(0.1, beta_1=0.8, beta_2=0.9, epsilon=0.1),
    theirs.AdamW(0.1, epsilon=0.01, weight_decay=0.2, clipnorm=0.5),
    theirs.Adagrad(0.1, initial_accumulator_value=0.3, epsilon=0.1),
    theirs.Adadelta(1.0, rho=0.8, epsilon=0.01, use_ema=True, ema_momentum=0.8),
    theirs.RMSprop(0.1, rho=0.8, momentum=0.5, epsilon=0.1, centered=True),
    theirs.RMSprop(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), epsilon=0.1),
    theirs.Ftrl(0.1, l1_regularization_strength=0.1, l2_regularization_strength=0.2, beta=0.3),
    theirs.Lion(0.1, beta_1=0.8, beta_2=0.9, weight_decay=0.1, global_clipnorm=0.5),
    theirs.Lamb(0.1, beta_1=0.8, epsilon=0.1),
]


@pytest.mark.parametrize("optimizer", SAME_STEPS, ids=lambda each: each.name)
def test_what_is_read_from_keras_takes_the_same_steps(optimizer):
    ours = optimizers.Optimizer.from_keras(optimizer)
    assert type(ours) is RULES[type(optimizer).__name__.lower()]
    # Keras computes `1 - beta_2**t` in float32, with an error of 1e-4 at the first step.
    same(run(ours), run(optimizer), atol=1e-5)
    keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ours))


def excluding():
    optimizer = theirs.AdamW(0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (theirs.Nadam(), "one of Keras'"),
        (theirs.Muon(), "one of Keras'"),
        (optimizers.SGD(0.1), "one of Keras'"),
        (theirs.Adam(amsgrad=True), "amsgrad"),
        (theirs.Lamb(weight_decay=0.1), "weight_decay"),
        (theirs.Ftrl(l2_shrinkage_regularization_strength=0.1), "L2"),
        (theirs.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9), 0.9), "old rates"),
        (theirs.SGD(0.1, use_ema=True, gradient_accumulation_steps=2), "count batches"),
        (excluding(), "call it again"),
    ],
    ids=range(9),
)
def test_what_would_take_other_steps_is_not_read(optimizer, reason):
    with pytest.raises(ValueError, match=reason):
        optimizers.Optimizer.from_keras(optimizer)


def test_a_rule_reads_its_own_counterpart_only():
    assert type(optimizers.Adam.from_keras(theirs.AdamW(0.1))) is optimizers.AdamW  # an Adam too
    with pytest.raises(ValueError, match=r"must be Keras' Lion\. Received: optimizer='SGD'"):
        optimizers.Lion.from_keras(theirs.SGD(0.1))


def test_names():
    told = {word: says.partition(":")[0] for words, says in table("names") for word in codes(words)}
    assert told == {name: meant(name) for name in RULES}
    for name, rule in RULES.items():
        assert meant(rule.__name__) == told[name]
        for word in (f"keras_gdx>{name}", f"keras_gdx>{rule.__name__}"):
            assert type(keras.optimizers.get(word)) is rule
        assert type(registry.get(name)) is rule
    for word in ("GroupLasso", "keras_gdx>GroupLasso"):
        with pytest.raises(ValueError, match="Could not interpret"):
            keras.regularizers.get(word)
