"""Several callbacks in one `fit`: the weights that are left, evaluated and saved agree.

Every registered callback runs alone. Those that change the run are then paired with each other and
with all the others together, in both orders; Keras' own callbacks too. The rule has evaluation
weights of its own. No pair needs an entry here: with any callbacks, the model holds at the end of
an epoch, after `fit` and in files what some validation measured (or what it began with, if a sweep
was undone), and pruned weights are zero wherever the log says so.
"""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers
from keras_gdx.config import declared_arguments
from keras_gdx.registry import REGISTRY
from tests.callbacks.test_callback_contract import Example

OURS = {entry.name: entry.cls for entry in REGISTRY.values() if entry.kind == "callback"}
SHARPER = {  # where the example of the docstring does not act in a run as short as this
    "magnitudepruning": {"sparsity": 0.75, "end": 5, "every": 2},
    "plateaucontroller": {"mode": "max", "patience": 1, "rollback": True},
    "faultguard": {"every": 3},
    "weightaverager": {"start": 0},
}
KERAS = {
    "EarlyStopping": lambda folder: keras.callbacks.EarlyStopping(
        "val_loss", mode="max", patience=9, restore_best_weights=True
    ),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        folder / "best.weights.h5", save_best_only=True, save_weights_only=True
    ),
    "ReduceLROnPlateau": lambda folder: keras.callbacks.ReduceLROnPlateau(mode="max", patience=1),
    "LearningRateScheduler": lambda folder: keras.callbacks.LearningRateScheduler(
        lambda epoch: 0.1 / (epoch + 1)
    ),
    "BackupAndRestore": lambda folder: keras.callbacks.BackupAndRestore(folder / "backup"),
    "CSVLogger": lambda folder: keras.callbacks.CSVLogger(folder / "log.csv"),
    "TerminateOnNaN": lambda folder: keras.callbacks.TerminateOnNaN(),
}
ALL = [*OURS, *KERAS]
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.stack([X.sum(1), X[:, 0] - X[:, 1], X[:, 2]], 1).astype("float32")
DATA = tf.data.Dataset.from_tensor_slices((X, Y))


def model_of(**options):
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(4, name="body"), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizers.ScheduleFreeSGD(0.1, **options), "mse", run_eagerly=True)
    return model


def loss_of(weights):
    """The loss by hand."""
    body, body_bias, head, head_bias = weights
    return float(np.mean(((X @ body + body_bias) @ head + head_bias - Y) ** 2))


def known(value, values):
    return any(value == pytest.approx(x, rel=1e-4, abs=1e-7) for x in values)


def make(name, problem, folder):
    if name in KERAS:
        return KERAS[name](folder)
    cls = OURS[name]
    example = Example(cls, problem).callback
    arguments = {each: getattr(example, each) for each in declared_arguments(cls)}
    arguments |= SHARPER.get(name, {})
    for each, value in arguments.items():
        if each.endswith("data"):
            arguments[each] = (X, Y)
        elif isinstance(value, str) and value.startswith("/"):  # a file or a folder
            arguments[each] = str(folder / f"{name}-{each}")
    return cls(**arguments)


class Witness(keras.callbacks.Callback):
    """Compares the model at the end of each epoch with what was validated."""

    def on_train_begin(self, logs=None):
        self.losses, self.rates, self.begin = [], [], loss_of(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["val_loss"])
        self.rates.append(float(self.model.optimizer.learning_rate))
        assert known(loss_of(self.model.get_weights()), [*self.losses, self.begin]), "shown"


def run(names, problem, folder):
    """Trains, and checks what must hold with any callbacks; returns what the run was like."""
    folder = folder / "-".join(each[:4] for each in names)
    folder.mkdir(parents=True, exist_ok=True)
    listed = [make(name, problem, folder) for name in names]
    model = model_of(gradient_accumulation_steps=2 if "batchsizeschedule" in names else None)
    witness, undone = Witness(), "learningratefinder" in names
    logs = model.fit(
        DATA.batch(8), validation_data=DATA.batch(16), callbacks=[*listed, witness], epochs=3,
        verbose=0,
    ).history  # fmt: skip
    left = model.get_weights()
    assert known(loss_of(left), [witness.begin] if undone else witness.losses), "left"
    assert model.test_on_batch(X, Y) == pytest.approx(loss_of(left), rel=1e-4), "evaluated"
    if "EarlyStopping" in names and not undone:
        assert known(loss_of(left), [max(witness.losses)]), "restored"
    if "ModelCheckpoint" in names:
        saved = model_of()
        saved.load_weights(folder / "best.weights.h5")
        assert known(loss_of(saved.get_weights()), [min(witness.losses)]), "saved"
    for each in listed:
        for member in getattr(each, "members", ()):
            assert known(loss_of(member), witness.losses), "members"
    if "sparsity" in logs and not undone:
        zeros = np.concatenate([(w == 0).ravel() for w in (left[0], left[2])])
        assert zeros.mean() == pytest.approx(logs["sparsity"][-1]), "sparsity"
    return witness.losses, witness.rates, loss_of(left)


@pytest.fixture(scope="module")
def movers(problem, tmp_path_factory):
    """The callbacks that change a run which has no other one."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plain = run((), problem, folder)
        return [name for name in ALL if run((name,), problem, folder) != plain]


def test_each_pair_agrees(movers, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = [name for name in ALL if name not in movers]
    assert len(movers) > 8
    assert len(others) > 15
    lists = [*itertools.permutations(movers, 2)]
    lists += [each for name in movers for each in ((name, *others), (*others, name))]
    wrong = {}
    for place, names in enumerate(lists):
        try:
            run(names, problem, tmp_path / str(place))
        except Exception as error:
            wrong[names[:2]] = f"{type(error).__name__}: {error}"
    assert not wrong
