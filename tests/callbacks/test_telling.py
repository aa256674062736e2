"""What callbacks print and write: lines, progress bars, records."""

import datetime
import hashlib
import io
import itertools
import json
import math
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import (
    AuditLog,
    EnergyMonitor,
    FaultGuard,
    GradientMonitor,
    HyperparameterLogger,
    ResumableCheckpoint,
    RichProgress,
    StepEvaluator,
    TensorBoardScalars,
    TrainingReport,
)
from keras_gdx.report.clock import clock
from tests.events import scalars


def test_lines_tell_what_is_left(problem, capsys):
    ticks = iter([0.0, 61.0, 100.0, 200.0, 300.0, 302.0])
    progress = RichProgress(["loss", "unheard of"])
    progress._clock = lambda: next(ticks)
    history = problem.fit(problem.model(), [progress], epochs=3)
    lines = capsys.readouterr().out.splitlines()
    ends = ["2:02 left", "1:20 left", "done in 2:43"]  # after 61 s; 161 s for two epochs; 163 s
    assert lines == [
        f"epoch {i}/3  loss {loss:.4g}  {end}"
        for i, (loss, end) in enumerate(zip(history["loss"], ends, strict=True), 1)
    ]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_bars_on_a_terminal(problem, monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    progress = RichProgress(["loss"])
    history = problem.fit(problem.model(), [progress], epochs=2)
    shown = screen.getvalue()
    assert "epoch 2/2" in shown
    assert "4/4" in shown
    assert shown.count(f"loss {history['loss'][1]:.4g}") >= 2  # in the bar, and in its line
    assert "on_train_batch_end" not in vars(progress)


@pytest.mark.parametrize("verbose", ["auto", 1, 2, 0])
def test_lines_are_all_that_is_printed(verbose, problem, capsys):
    """Keras' own bar is silent, also in a `CallbackList` that has one."""
    problem.fit(problem.model(), [RichProgress()], epochs=2, verbose=verbose)
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    model = problem.model()
    whole = keras.callbacks.CallbackList(
        [RichProgress()], True, True, model=model, epochs=1, steps=4, verbose=1
    )
    problem.fit(model, whole, epochs=1, verbose=verbose)
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == ["epoch 1/1"]
    model.evaluate(problem.x, problem.y, verbose=2)
    assert "loss" in capsys.readouterr().out


def test_a_bar_in_a_notebook(problem, monkeypatch):
    """One output, which each step replaces; no widget."""
    shown = []

    def display(page, display_id):
        shown.append(page)
        return SimpleNamespace(update=shown.append)

    module = SimpleNamespace(HTML=str, display=display)
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel="one"), display=module)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    progress = RichProgress(["loss"])
    progress._clock = itertools.count().__next__
    history = problem.fit(problem.model(), [progress], epochs=2)
    lines = [f"epoch {i}/2  loss {x:.4g}" for i, x in enumerate(history["loss"], 1)]
    assert 'value="3" max="4" style="' in shown[4]
    assert "</progress> epoch 1/2  batch 3/4  loss " in shown[4]
    assert shown[-1].startswith(f'<pre style="margin: 0">{lines[0]}')
    assert f"\n{lines[1]}" in shown[-1]
    assert "progress" not in shown[-1]


def test_the_bar_is_closed_when_training_fails(problem, monkeypatch):
    def fail(batch, logs=None):
        raise KeyboardInterrupt

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    failing = keras.callbacks.LambdaCallback(on_train_batch_end=fail)
    with pytest.raises(KeyboardInterrupt):
        problem.fit(problem.model(), [RichProgress(), failing])
    assert screen.getvalue().count("\x1b[?25h") == 1  # the cursor is visible again


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61, "1:01"), (7322, "2:02:02")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_record_says_all(problem, tmp_path):
    path = tmp_path / "folder" / "run.jsonl"
    rate = schedules.Cosine(0.1, 8, alpha=0.1)
    model = problem.model(optimizers.AdamW(rate, weight_decay=0.01))
    history = problem.fit(model, [AuditLog(path, note="first")], epochs=2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    begin, *epochs, end = lines
    assert begin["note"] == "first"
    assert begin["versions"]["keras"] == keras.__version__
    again = keras.saving.deserialize_keras_object(begin["optimizer"])
    assert again.weight_decay == 0.01
    assert [each["logs"]["loss"] for each in epochs] == history["loss"]
    assert [each["next"]["learning_rate"] for each in epochs] == [
        pytest.approx(0.055), pytest.approx(0.01)
    ]  # fmt: skip
    assert begin["fingerprint"] != end["fingerprint"]
    problem.fit(model, [AuditLog(path)], epochs=1)
    assert AuditLog.verify(path) == 7
    assert json.loads(path.read_text().splitlines()[4])["fingerprint"] == end["fingerprint"]


@pytest.mark.parametrize("how", ["changed", "left out", "exchanged", "torn", "nested"])
def test_tampering_shows(how, problem, tmp_path):
    path = tmp_path / "run.jsonl"
    problem.fit(problem.model(), [AuditLog(path)], epochs=3)
    lines = path.read_text().splitlines()
    if how == "changed":
        lines[2] = lines[2].replace('"epoch": 2', '"epoch": 3')
    elif how == "left out":
        del lines[2]
    elif how == "exchanged":
        lines[2], lines[3] = lines[3], lines[2]
    elif how == "nested":
        lines[2] = "[" * 100_000  # deeper than Python's parser can go
    else:
        lines[2] = lines[2][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"line [34]"):
        AuditLog.verify(path)
    with pytest.raises(ValueError, match="was changed"):
        problem.fit(problem.model(), [AuditLog(path)])


def test_goes_on_after_a_crash_at_any_byte(problem, tmp_path):
    path = tmp_path / "run.jsonl"
    model = problem.model()
    problem.fit(model, [AuditLog(path)], epochs=1)
    whole = path.read_bytes()
    begin, epoch, last = whole.splitlines(keepends=True)
    for cut in range(len(last)):
        path.write_bytes(begin + epoch + last[:cut])
        if cut:
            with pytest.raises(ValueError, match="line 3: unfinished"):
                AuditLog.verify(path)
        audit = AuditLog(path)
        audit.set_model(model)
        audit.set_params({"epochs": 1})
        audit.on_train_begin()
        found = path.read_bytes()
        assert found.startswith(begin + epoch)
        events = [json.loads(line) for line in found.splitlines()[2:]]
        assert [each["event"] for each in events] == ["unfinished"] * bool(cut) + ["begin"]
        assert AuditLog.verify(path) == 3 + bool(cut)
        if cut:
            assert events[0]["sha256"] == hashlib.sha256(last[:cut]).hexdigest()


def test_bad_input():
    with pytest.raises(ValueError, match="path"):
        AuditLog("")
    with pytest.raises(ValueError, match="names"):
        RichProgress("loss")


# -- TensorBoard -----------------------------------------------------------------------------


def test_scalars_of_logs_and_looks(problem, tmp_path):
    """Each value has its own step, also if these are not in order."""
    data = (problem.x, problem.y)
    watch = GradientMonitor(data, every=3, parts=2)
    evaluator, second = StepEvaluator(data, every=4), StepEvaluator(data, every=8)
    telling = [TensorBoardScalars(tmp_path), HyperparameterLogger(), watch, evaluator, second]
    history = problem.fit(problem.model(), telling, epochs=2)
    found = scalars(tmp_path)
    for name, values in history.items():
        kind = "validation" if name.startswith("val_") else "train"
        told = found.pop(f"{kind}:epoch_{name.removeprefix('val_')}")
        assert [value for _, value in told] == pytest.approx(values, rel=1e-6)
        assert [step for step, _ in told] == [0, 1]
    assert {name.partition("/")[0] for name in found} == {
        "train:GradientMonitor", "train:StepEvaluator", "train:StepEvaluator_2"
    }  # fmt: skip
    norms = [(look["step"], look["layers"]["out"]["weight_norm"]) for look in watch.history]
    assert [step for step, _ in norms] == [3, 6]
    assert found["train:GradientMonitor/layers/out/weight_norm"] == [
        (step, pytest.approx(norm)) for step, norm in norms
    ]
    losses = [(each["step"], pytest.approx(each["loss"])) for each in evaluator.history]
    assert found["train:StepEvaluator/loss"] == losses
    assert [step for step, _ in found["train:StepEvaluator_2/loss"]] == [8]


def test_looks_are_written_when_they_are_made(problem, tmp_path):
    steps = []

    def read(batch, logs=None):
        looks = scalars(tmp_path).get("train:StepEvaluator/loss", [])
        steps.append([step for step, _ in looks])

    class After(keras.callbacks.Callback):
        last = True
        on_train_batch_end = staticmethod(read)

    evaluator = StepEvaluator((problem.x, problem.y), every=2)
    problem.fit(problem.model(), [TensorBoardScalars(tmp_path), After(), evaluator], epochs=1)
    assert steps == [[], [2], [2], [2, 4]]


def test_scalars_go_on_after_an_interruption(problem, tmp_path):
    def callbacks():
        evaluator = StepEvaluator((problem.x, problem.y), every=2)
        return [TensorBoardScalars(tmp_path / "a"), ResumableCheckpoint(tmp_path / "b"), evaluator]

    problem.fit(problem.model(), callbacks(), epochs=1)
    problem.fit(problem.model(), callbacks(), epochs=2)
    found = scalars(tmp_path / "a")
    assert sorted(step for step, _ in found["train:epoch_loss"]) == [0, 1]
    assert sorted(step for step, _ in found["train:StepEvaluator/loss"]) == [2, 4, 6, 8]


def test_scalars_are_written_while_others_do_not_record(problem, tmp_path):
    with tf.summary.record_if(False):
        problem.fit(problem.model(), [TensorBoardScalars(tmp_path)], epochs=1)
    assert "train:epoch_loss" in scalars(tmp_path)


def test_files_are_closed_when_training_fails(problem, tmp_path):
    def fail(epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    callback = TensorBoardScalars(tmp_path)
    failing = keras.callbacks.LambdaCallback(on_epoch_end=fail)
    with pytest.raises(KeyboardInterrupt):
        problem.fit(problem.model(), [callback, failing])
    assert callback._files == {}
    assert [step for step, _ in scalars(tmp_path)["train:epoch_loss"]] == [0]


def test_who_tells_comes_last(problem, tmp_path):
    """Also in a user's `CallbackList`, whose order is restored afterwards."""
    audit = AuditLog(tmp_path / "run.jsonl")
    callbacks = [audit, HyperparameterLogger()]
    model = problem.model()
    whole = keras.callbacks.CallbackList(callbacks, True, model=model, epochs=1)
    problem.fit(model, whole, epochs=1)
    assert whole.callbacks[:2] == callbacks
    epoch = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[1])
    assert epoch["logs"]["learning_rate"] == 0.5


# -- odd logs, and loops by hand ----------------------------------------------------------------

ODD = {
    "text": "1.0",
    "none": None,
    "array": np.array([1.0, 2.0]),
    "tensor": tf.ones(2),
    "date": datetime.date(2024, 2, 3),
    "nan": math.nan,
    "inf": tf.constant(math.inf),
    "complex": 1j,
    "[/red]\n": np.float32(0.5),
}


def test_odd_logs_end_no_run(problem, tmp_path, capsys):
    """Numbers are numbers, also those that are not finite; others text, or left out."""
    odd = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(ODD))
    report = TrainingReport(str(tmp_path / "report.html"))
    audit = AuditLog(tmp_path / "run.jsonl")
    problem.fit(
        problem.model(), [TensorBoardScalars(tmp_path), audit, RichProgress([*ODD]), report, odd], 1
    )
    told = {name: dict(values)[0] for name, values in scalars(tmp_path).items()}
    assert {*told} >= {"train:epoch_nan", "train:epoch_inf", "train:epoch_[/red]\n"}
    assert not {*told} & {f"train:epoch_{name}" for name in ("text", "none", "array", "date")}
    line = (tmp_path / "run.jsonl").read_text().splitlines()[1]
    written = json.loads(line, parse_constant=pytest.fail)["logs"]
    assert written["none"] is None
    assert written["[/red]\n"] == 0.5
    assert [written[name] for name in ("text", "nan", "complex")] == ["1.0", "nan", "1j"]
    assert written["date"] == "datetime.date(2024, 2, 3)"
    assert "text 1.0  none None  array [1. 2.]" in capsys.readouterr().out
    logs = report.memory.epochs[0]["logs"]
    assert math.isnan(logs["nan"]) and "text" not in logs  # noqa: PT018


@pytest.mark.parametrize(
    ("make", "needs_fit"),
    [
        (lambda data, folder: RichProgress(), False),
        (lambda data, folder: TrainingReport(str(folder / "report.html")), False),
        (lambda data, folder: AuditLog(folder / "run.jsonl"), False),
        (lambda data, folder: FaultGuard(every="2 steps"), False),
        (lambda data, folder: GradientMonitor(data, every="2 steps", parts=2), False),
        (lambda data, folder: EnergyMonitor(), False),
        (lambda data, folder: ResumableCheckpoint(folder), True),
        (lambda data, folder: StepEvaluator(data, every="1 epoch"), True),
    ],
    ids=["progress", "report", "audit", "guard", "monitor", "energy", "checkpoint", "epochs"],
)
def test_a_list_by_hand_has_no_length(make, needs_fit, problem, tmp_path):
    """Such a callback works, or says what it needs; no other error."""
    model = problem.model(run_eagerly=True)
    listed = keras.callbacks.CallbackList([make((problem.x, problem.y), tmp_path)], model=model)
    if needs_fit:
        with pytest.raises(ValueError, match="`fit`"):
            listed.on_train_begin()
        return
    listed.on_train_begin()
    for epoch in range(2):
        listed.on_epoch_begin(epoch)
        for batch in range(2):
            listed.on_train_batch_begin(batch)
            logs = model.train_on_batch(problem.x, problem.y, return_dict=True)
            listed.on_train_batch_end(batch, logs)
        listed.on_epoch_end(epoch, dict(logs))
    listed.on_train_end()
