"""What is read in a script, and how arguments are filled in."""

import pytest

from keras_gdx.migration.script import changes

IMPORTS = "import keras\nimport tensorflow as tf\nimport tensorflow_addons as tfa\n"


def new(call):
    (change,) = changes(IMPORTS + call)
    return change.new.replace("keras_gdx.", ""), [*change.lost]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("tfa.optimizers.RectifiedAdam()", "optimizers.RAdam(0.001, epsilon=1e-07)"),
        ("tfa.optimizers.RectifiedAdam(lr=R)", "optimizers.RAdam(R, epsilon=1e-07)"),
        ("tfa.optimizers.COCOB(100)", "optimizers.COCOB(alpha=100)"),  # given: not left out
        ("tfa.optimizers.COCOB(name='bet')", "optimizers.COCOB(name='bet')"),
        (
            "tfa.optimizers.LAMB(exclude_from_weight_decay=['bias'], clipnorm=1.0)",
            "optimizers.LAMB(0.001, no_decay=['bias'], no_adaptation=['bias'], clipnorm=1.0)",
        ),
        (
            "tfa.optimizers.SGDW(WD, RATE)",
            "optimizers.SGD(RATE, weight_decay=WD / RATE)",
        ),
        (
            "tfa.optimizers.AdaBelief(1.0, total_steps=100, rectify=False)",
            "optimizers.AdaBelief(schedules.Warmup(schedules.Linear(1.0, 90, 0.0), 9, 1.0 / 10), "
            "epsilon=1e-14, threshold=None)",
        ),
        (
            "tfa.optimizers.ProximalAdagrad(1.0, l1_regularization_strength=L1)",
            "optimizers.Adagrad(1.0, epsilon=0.0, "
            "proximal=constraints.SoftThreshold(L1) if L1 else None)",
        ),
        (
            "tfa.optimizers.AdaBelief(R, total_steps=min_lr, min_lr=0.5)",  # theirs and a variable
            "optimizers.AdaBelief(schedules.Warmup(schedules.Linear(R, min_lr - round(min_lr * "
            "0.1), 0.5), round(min_lr * 0.1) - 1, R / round(min_lr * 0.1)) if min_lr else R, "
            "epsilon=1e-14, threshold=5.0)",
        ),
        (
            "tfa.optimizers.MovingAverage(tf.keras.optimizers.legacy.SGD(0.1), 0.9)",
            "optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)",
        ),
        (
            "tf.optimizers.SGD(tf.keras.optimizers.schedules.CosineDecay(0.1, 9))",
            "optimizers.SGD(schedules.Cosine(0.1, 9))",
        ),
    ],
)
def test_arguments_are_filled_in(call, expected):
    assert new(call) == (expected, [])


@pytest.mark.parametrize(
    ("call", "lost"),
    [
        ("tfa.optimizers.Yogi(activation='tanh', l1_regularization_strength=0.1)",
         ["activation", "l1_regularization_strength"]),
        ("tfa.optimizers.Yogi(activation='sign')", []),  # its default
        ("tfa.optimizers.RectifiedAdam(0.1, decay=1e-4)", ["decay"]),
        ("tfa.optimizers.Lookahead(tfa.optimizers.Yogi(activation='tanh'))", ["activation"]),
    ],
)  # fmt: skip
def test_lost_arguments_are_named(call, lost):
    assert new(call)[1] == lost


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("keras.optimizers.Adam(**settings)", "unpacked"),
        ("keras.optimizers.Adam(*settings)", "unpacked"),
        ("tfa.optimizers.AdamW()", "missing a required argument: 'weight_decay'"),
        (
            "tfa.optimizers.MovingAverage(optimizer)",
            "write `use_ema=True, ema_momentum=0.99` where",
        ),
        ("tfa.optimizers.KerasLegacyOptimizer('name')", "keras.optimizers.Optimizer"),
        ("class Mine(tfa.optimizers.AdamW): pass", "multiplied by the rate here"),
        ("metric = tfa.metrics.RSquare()", "Look for it in `keras.metrics`."),
        ("tfa.losses.TripletSemiHardLoss", "does not run on Keras 3"),
    ],
)
def test_what_cannot_be_filled_in_is_told(call, said):
    (change,) = changes(IMPORTS + call)
    assert change.new is None
    assert said in change.note


def test_the_script_is_not_run():
    """An attribute of a literal would be code of the script."""
    assert new("tfa.optimizers.Yogi(activation=().missing)")[1] == ["activation"]
    strength = "l1_regularization_strength=().missing"
    written, _ = new(f"tfa.optimizers.ProximalAdagrad(0.1, {strength})")
    assert "proximal=constraints.SoftThreshold(().missing) if ().missing else None" in written


def test_imports_are_followed():
    script = """
from tensorflow import keras as k
from tensorflow_addons.optimizers import AdamW as Decaying, LAMB
from keras.optimizers import schedules

first = Decaying(0.1, 0.2)
rest = [
    LAMB(),
    k.optimizers.SGD(),
    schedules.ExponentialDecay(0.1, 3, 0.5),
    k.layers.Dense(3, kernel_regularizer=k.regularizers.L2(0.1)),
    k.callbacks.EarlyStopping(),
]
"""
    found = changes(script)
    assert [(each.line, each.old.partition("(")[0]) for each in found] == [
        (6, "Decaying"),
        (8, "LAMB"),
        (9, "k.optimizers.SGD"),
        (10, "schedules.ExponentialDecay"),
    ]


def test_names_that_are_not_imported_mean_something_else():
    assert not changes(
        "keras = object()\nkeras.optimizers.SGD()\nfrom .optimizers import SGD\nSGD()"
    )
