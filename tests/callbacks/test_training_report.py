"""The report page, parsed."""

import os
import re
import sys

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import (
    EnergyMonitor,
    FaultGuard,
    GradientMonitor,
    HyperparameterLogger,
    ResumableCheckpoint,
    StepEvaluator,
    TrainingReport,
    training_report,
)
from keras_gdx.report.charts import Line, figure, spans_magnitudes
from keras_gdx.report.markup import said, table
from keras_gdx.report.page import best
from tests.html_page import Page, read
from tests.programs import Program

pytest.importorskip("matplotlib")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "report.html"


class At(keras.callbacks.Callback):
    """Calls a function at the end of epochs, after the page was written."""

    last = True

    def __init__(self, act):
        super().__init__()
        self.act = act

    def on_epoch_end(self, epoch, logs=None):
        self.act(epoch)


# -- what it tells ---------------------------------------------------------------------------


def test_tells_what_the_run_was(problem, path):
    keras.utils.set_random_seed(1234)
    model = problem.model(
        optimizers.AdamW(schedules.Cosine(0.1, 8), weight_decay=0.02), metrics=["mae"]
    )
    history = problem.fit(model, [TrainingReport(path), HyperparameterLogger()], epochs=2)
    page = read(path)
    assert page.state == "finished"
    assert page.texts["title"] == [f"{model.name}: training report"]
    for row in (
        ["name", model.name],
        ["parameters", "4"],
        ["of these trainable", "4"],
        ["loss", "mse"],
        ["epochs", "2"],
        ["steps per epoch", "4"],
        ["batch size", "as the data comes"],
        ["seed", "1234"],
        ["callbacks", "HyperparameterLogger"],
        ["keras", keras.__version__],
        ["keras_gdx", keras_gdx.__version__],
        ["python", sys.version.split()[0]],
        ["class", "AdamW"],
        ["weight_decay", "0.02"],
    ):
        assert row in page.rows
    assert "Cosine(" in page.row("learning_rate")[1]
    assert {"beta_1 0.9", "clipnorm none"} <= {*page.row("by default")[1].split(", ")}
    titles = ["loss", "mae", "learning_rate"]
    assert [chart.partition(" by ")[0] for chart in page.charts] == titles
    assert f"validation: {said(history['val_loss'][0])} at first" in page.charts[0]
    lowest = int(np.argmin(history["val_mae"]))
    shown = [said(history["val_mae"][i]) for i in (lowest, -1)]
    assert page.row("val_mae") == ["val_mae", shown[0], str(lowest + 1), shown[1], "lower"]
    (chart,) = (chart for chart in page.charts if chart.startswith("learning_rate by update. "))
    assert f"0.1 at first, {said(float(schedules.Cosine(0.1, 8)(7)))} at last" in chart
    assert "highest 0.1 in update 0." in chart
    assert "Constant: weight_decay 0.02, beta_1 0.9." in page.texts["p"]


def test_tells_what_others_have_found(problem, path):
    data = (problem.x, problem.y)
    watch = GradientMonitor(data, every=2, parts=2)
    first, second = StepEvaluator(data, every=4), StepEvaluator(data, every=8)
    report = TrainingReport(path)
    problem.fit(problem.model(), [report, watch, first, second, EnergyMonitor(), FaultGuard()])
    page = read(path)
    names = [text for text in page.texts["h3"] if text != "Other logs"]
    assert names == ["GradientMonitor", "StepEvaluator", "StepEvaluator_2", "EnergyMonitor"]
    for look in watch.history:
        assert said(look["weight_norm"]) in page.row(str(look["step"]), said(look["gradient_norm"]))
    (chart,) = [c for c in page.charts if c.startswith("weight_norm, by layers by step")]
    norms = [look["layers"]["out"]["weight_norm"] for look in watch.history]
    assert f"{said(norms[0])} at first, {said(norms[-1])} at last" in chart
    assert page.row("accelerator")[1:3] == ["none", "unavailable"]
    assert page.rows.count(["8", said(second.history[0]["loss"])]) == 2  # `first` has it too


def test_events_are_a_table(problem, path):
    """A line through faults would be meaningless; nested values become columns."""

    class Events(keras.callbacks.Callback):
        findings = staticmethod(
            lambda: [{"kind": "spike", "step": 3, "loss": {"a": 7.0, "b": 8.0}}]
        )

    problem.fit(problem.model(), [TrainingReport(path), Events()])
    page = read(path)
    assert page.row("spike") == ["spike", "3", "7", "8"]
    assert page.row("kind") == ["kind", "step", "loss/a", "loss/b"]
    assert not [chart for chart in page.charts if " by step" in chart]


@pytest.mark.parametrize(
    ("x", "options", "size"),
    [
        ("arrays", {}, "32"),
        ("arrays", {"batch_size": 8}, "8"),
        ("dataset of even batches", {}, "5"),
        ("dataset", {}, "as the data comes"),
        ("PyDataset", {}, "as the data comes"),
    ],
)
def test_batch_size(x, options, size, problem, path):
    import tensorflow as tf

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return problem.x, problem.y

    arrays = (problem.x, problem.y)
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    given = {
        "arrays": arrays,
        "dataset of even batches": (dataset.batch(5, drop_remainder=True),),
        "dataset": (dataset.batch(5),),
        "PyDataset": (Batches(),),
    }[x]
    options |= {"shuffle": False, "verbose": 0, "callbacks": [TrainingReport(path)]}
    problem.model().fit(*given, **options)
    assert read(path).row("batch size") == ["batch size", size]


def test_one_epoch_and_validation_now_and_then(problem, path):
    problem.fit(problem.model(), [TrainingReport(path)], epochs=1)
    assert "1 of 1" in read(path).texts["dd"]
    history = problem.fit(problem.model(), [TrainingReport(path)], epochs=5, validation_freq=2)
    page = read(path)
    first, last = (said(value) for value in history["val_loss"])
    assert f"validation: {first} at first, {last} at last" in page.charts[0]
    assert page.row("epoch")[3:] == ["val_loss", "learning_rate", "momentum"]
    assert page.row("4")[3:] == [last, "0.5", "0"]
    assert page.row("5")[3:] == ["", "0.5", "0"]


def test_in_a_loop_of_ones_own(problem, path):
    model = problem.model()
    told = keras.callbacks.CallbackList([TrainingReport(path)], model=model, epochs=1, steps=1)
    told.on_train_begin()
    told.on_epoch_begin(0)
    told.on_epoch_end(0, model.train_on_batch(problem.x, problem.y, return_dict=True))
    told.on_train_end()
    assert read(path).row("batch size")[1] == "as the data comes"


# -- text is text ----------------------------------------------------------------------------


EVIL = """<script>alert('$x^{2$ & "\\frac')<script>"""


def test_names_are_text(problem, path):
    model = problem.model(run_eagerly=True)  # a graph would refuse the name
    model.name = EVIL

    class Finds(keras.callbacks.Callback):
        findings = staticmethod(
            lambda: [{"step": i, EVIL: 1.0, "layers": {EVIL: {"a": i}}} for i in (2, 4)]
        )

        def on_epoch_end(self, epoch, logs=None):
            logs |= {EVIL: 1.0, f"val_{EVIL}": 2.0 + epoch, "val_alone": 3.0 + epoch, "text": "no"}

    Finds.__name__ = EVIL
    problem.fit(model, [TrainingReport(path), Finds()])
    page = read(path)
    assert page.texts["h1"] == [EVIL]
    assert EVIL in page.texts["h3"]
    assert [chart for chart in page.charts if chart.startswith(f"{EVIL} by epoch. training: ")]
    assert [chart for chart in page.charts if chart.startswith("val_alone by epoch. 3 at first")]
    assert EVIL in page.row("epoch", "seconds")


def test_what_is_not_finite_breaks_no_chart(problem, path):
    values = [1.0, np.nan, np.inf, -np.inf, 0.5, np.float32(2.0)]

    class Writes(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs |= {"accuracy": values[epoch], "nothing_error": np.nan}

    problem.fit(problem.model(), [TrainingReport(path), Writes()], epochs=6)
    page = read(path)
    assert page.row("accuracy") == ["accuracy", "2", "6", "2", "higher"]
    assert "nothing_error by epoch. No finite number." in page.charts
    assert "Not finite at epoch 2, 3, 4." in page.texts["p"]
    assert "Not finite at epoch 1, 2, 3, 4, 5 and 1 more." in page.texts["p"]


@pytest.mark.parametrize("values", [[0.0], [1e-30, 1e30], [-1e300, 1e300], [7.0] * 3, [np.nan]])
def test_a_chart_of_any_numbers(values):
    for count in (1, 2, 9):
        lines = [Line(str(i), [*range(len(values))], values) for i in range(count)]
        text = figure("title", lines, "epoch", cuts=(0.5,))
        assert Page(text).charts
        assert not re.search(r'(?<!&)#[0-9a-f]{6}\b(?!")', text), "a colour that is not the page's"


def test_scales():
    assert spans_magnitudes([1e-3, 1.0])
    assert not spans_magnitudes([0.0, 1.0])
    assert not spans_magnitudes([0.1, 1.0])
    assert not spans_magnitudes([np.nan])


def test_the_best_epoch():
    assert best(Line("val_loss", [1, 2, 3], [2.0, np.nan, 1.0]))["in epoch"] == 3
    assert best(Line("accuracy", [2, 4], [0.5, 0.4])) == {
        "metric": "accuracy", "best": 0.5, "in epoch": 2, "last": 0.4, "better is": "higher"
    }  # fmt: skip
    assert best(Line("unheard_of", [1], [2.0])) is None
    assert best(Line("loss", [1], [np.nan])) is None


def test_long_tables_lose_nothing():
    page = Page(table("many", [{"step": i, "kind": f"row {i}"} for i in range(100)]))
    assert "90 rows between are left out here; the file has them below, folded." in page.texts["td"]
    assert sorted(int(row[0]) for row in page.rows if row[0].isdigit()) == [*range(100)]
    assert page.open == []


# -- when it is written ----------------------------------------------------------------------


def test_written_at_every_epoch(problem, path):
    states = []
    at = At(lambda epoch: states.append((read(path).state, read(path).texts["dd"][0])))
    problem.fit(problem.model(), [TrainingReport(path), at], epochs=2)
    assert states == [("running", "1 of 2"), ("running", "2 of 2")]
    assert read(path).state == "finished"
    assert os.listdir(path.parent) == ["report.html"]


def test_a_page_that_fails_leaves_the_old_one(problem, path, monkeypatch):
    problem.fit(problem.model(), [TrainingReport(path)])
    before = path.read_text()

    def fail(*_):
        raise RuntimeError("no page today")

    monkeypatch.setattr(training_report, "page", fail)
    with pytest.warns(UserWarning, match="RuntimeError: no page today"):
        history = problem.fit(problem.model(), [TrainingReport(path)])
    monkeypatch.undo()
    assert len(history["loss"]) == 2
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.warns(UserWarning, match="no page today"):
        problem.fit(problem.model(), [TrainingReport(path)])
    assert path.read_text() == before
    assert os.listdir(path.parent) == ["report.html"]


def test_stopped_and_interrupted(problem, path):
    model = problem.model()

    def stop(epoch):
        model.stop_training = True

    problem.fit(model, [TrainingReport(path), At(stop)], epochs=3)
    assert read(path).state == "stopped early"
    assert "1 of 3" in read(path).texts["dd"]

    def fail(epoch):
        raise KeyboardInterrupt("by <hand>\nsecond line")

    with pytest.raises(KeyboardInterrupt):
        problem.fit(model, [TrainingReport(path), At(fail)])
    assert read(path).state == "interrupted by KeyboardInterrupt: by <hand>"


@pytest.mark.parametrize("every", ["epoch", "3 steps"])
def test_goes_on_after_an_interruption(problem, path, tmp_path, every):
    def callbacks(act):
        report = TrainingReport(path)
        report._clock = iter(range(0, 10**6, 60)).__next__
        return [report, ResumableCheckpoint(tmp_path / "checkpoints", every=every), At(act)]

    def fail(epoch):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        problem.fit(problem.model(), callbacks(fail), epochs=3)
    problem.fit(problem.model(), callbacks(id), epochs=4)
    page = read(path)
    assert page.state == "finished"
    assert "4 of 4" in page.texts["dd"]
    assert [page.row(str(epoch))[0] for epoch in (3, 4)] == ["3", "4"]
    first, second = page.row("1", "1"), page.row("2", "2")
    assert first[4] == "interrupted"
    assert second[4] == "finished"
    assert second[5].endswith("; epochs: 3 → 4")  # the other change is the model's name
    again = read(path).texts["dd"]
    problem.fit(problem.model(), callbacks(id), epochs=4)  # the run is finished already
    assert read(path).texts["dd"] == again
    assert read(path).state == "finished"


def test_a_fresh_run_is_a_fresh_page(problem, path):
    report = TrainingReport(path)
    problem.fit(problem.model(), [report], epochs=3)
    problem.fit(problem.model(), [report], epochs=1)
    assert "1 of 1" in read(path).texts["dd"]
    assert len(report.memory.parts) == 1


# -- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["", 3, None, b"page.html", ["page.html"], "."])
def test_bad_paths(bad):
    with pytest.raises(ValueError, match="Argument `path` must be the name of a file"):
        TrainingReport(bad)


def test_what_cannot_be_written_is_said_at_the_start(problem, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="The report cannot be written: File exists"):
        problem.fit(problem.model(), [TrainingReport(tmp_path / "file" / "page.html")])
    report = TrainingReport(tmp_path / "later")
    (tmp_path / "later").mkdir()
    with pytest.raises(OSError, match="The report cannot be written: Is a directory"):
        problem.fit(problem.model(), [report])


def test_matplotlib_is_needed_when_training_begins(problem, path, monkeypatch):
    report = TrainingReport(path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_gdx\[report\]'"):
        problem.fit(problem.model(), [report])


def test_the_package_does_without_matplotlib():
    code = (
        "import sys\n"
        "for name in ['matplotlib', *sys.modules]:\n"  # Keras has imported some of it
        "    if name.partition('.')[0] == 'matplotlib': sys.modules[name] = None\n"
        "import keras_gdx.callbacks"
    )
    program = Program("-c", code)
    assert program.wait() == 0, program.errors()


# -- explanations ----------------------------------------------------------------------------


def test_shows_what_the_trained_model_looks_at(problem, path):
    weights = []

    def explain(model):
        weights.append(model.get_weights())
        x = np.ones((2, model.input_shape[1]), "float32")
        return {"Rows": keras_gdx.explain(model, x)}

    model = problem.model(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    problem.fit(model, [TrainingReport(path, explain=explain)], epochs=2)
    page = read(path)
    assert len(weights) == 1
    for seen, evaluated in zip(weights[0], model.get_weights(), strict=True):
        np.testing.assert_array_equal(seen, evaluated)  # the averages, not the trained weights
    titles = [text.partition(":")[0] for text in page.images]
    assert titles == ["Rows, example 0", "Rows, example 1"]
    found = keras_gdx.explain(model, np.ones((1, model.input_shape[1]), "float32")).values[0]
    largest = int(np.abs(found).argmax())
    assert f"{said(float(found[largest]))} at {largest}" in page.images[0]


def test_an_explanation_that_fails_does_not_end_the_run(problem, path):
    model = problem.model(optimizers.SGD(0.1))
    with pytest.warns(UserWarning, match="has no explanations, .* ZeroDivisionError"):
        problem.fit(model, [TrainingReport(path, explain=lambda _: 1 / 0)], epochs=1)
    assert read(path).state == "finished"
    with pytest.raises(ValueError, match="`explain`"):
        TrainingReport(path, explain=3)


# -- charts ----------------------------------------------------------------------------------


def test_the_rate_of_each_update(problem, path, tmp_path):
    """Also with a schedule of Keras, which counts micro-batches, and after an interruption."""
    decay = keras.optimizers.schedules.ExponentialDecay(0.5, 4, 0.5)
    made = {
        "ours": lambda: optimizers.SGD(decay, gradient_accumulation_steps=2),
        "theirs": lambda: keras.optimizers.SGD(decay, gradient_accumulation_steps=2),
        "wrapped": lambda: optimizers.Lookahead(optimizers.SGD(decay)),
    }
    for name, make in made.items():
        for epochs in (2, 3):
            report = TrainingReport(path)
            resume = ResumableCheckpoint(tmp_path / name)
            problem.fit(problem.model(make()), [report, resume], epochs=epochs)
        per_epoch, factor = (4, 1) if name == "wrapped" else (2, 2 if name == "theirs" else 1)
        told = [row["rates"]["learning_rate"] for row in report.memory.epochs]
        assert [t for row in told for t in row["update"]] == [*range(3 * per_epoch)]
        expected = [float(decay(t * factor)) for t in range(3 * per_epoch)]
        assert [rate for row in told for rate in row["rate"]] == pytest.approx(expected)
        last = said(told[-1]["rate"][-1])
        assert f"learning_rate by update. 0.5 at first, {last} at last" in " ".join(
            read(path).charts
        )


def test_many_epochs_have_few_points(problem):
    report = TrainingReport("never.html")
    report.set_params({"epochs": 1000})
    assert report._points == 2
    report.set_params({"epochs": 20})
    assert report._points == 20


def test_constants_are_no_charts(problem, path):
    still = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(mae=0.25))
    problem.fit(problem.model(), [TrainingReport(path, title="Trial 7"), still])
    page = read(path)
    assert [chart.partition(" by ")[0] for chart in page.charts] == ["loss"]
    assert "Constant: mae 0.25." in page.texts["p"]
    assert page.texts["h1"] == ["Trial 7"]
    assert page.texts["title"] == ["Trial 7: training report"]
    with pytest.raises(ValueError, match="`title` must be a string or None"):
        TrainingReport(path, title=7)
