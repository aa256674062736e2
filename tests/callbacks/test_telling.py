"""What callbacks tell people: lines, bars, records."""

import io
import json
import sys

import keras
import pytest

from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import AuditLog, RichProgress
from keras_gdx.callbacks.rich_progress import clock


def test_lines_tell_what_is_left(problem, capsys):
    ticks = iter([0.0, 61.0, 100.0, 200.0, 300.0, 302.0])
    progress = RichProgress(["loss", "unheard of"])
    progress._clock = lambda: next(ticks)
    history = problem.fit(problem.model(), [progress], epochs=3)
    lines = capsys.readouterr().out.splitlines()
    ends = ["2:02 left", "1:20 left", "done in 2:43"]  # 61 s; 161 s for two; 163 s
    assert lines == [
        f"epoch {i}/3  loss {loss:.4g}  {end}"
        for i, (loss, end) in enumerate(zip(history["loss"], ends, strict=True), 1)
    ]


def test_bars_on_a_terminal(problem, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = RichProgress()
    problem.fit(problem.model(), [progress], epochs=2)
    shown = terminal.getvalue()
    assert "epoch 2/2" in shown
    assert "4/4" in shown
    assert "on_train_batch_end" not in vars(progress)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61, "1:01"), (7322, "2:02:02")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_record_says_all(problem, tmp_path):
    path = tmp_path / "folder" / "run.jsonl"
    rate = schedules.Cosine(0.1, 8)
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
        pytest.approx(0.05), pytest.approx(0, abs=1e-8)
    ]  # fmt: skip
    assert begin["fingerprint"] != end["fingerprint"]
    problem.fit(model, [AuditLog(path)], epochs=1)
    assert AuditLog.verify(path) == 7
    assert json.loads(path.read_text().splitlines()[4])["fingerprint"] == end["fingerprint"]


@pytest.mark.parametrize("how", ["changed", "left out", "exchanged", "torn"])
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
    else:
        lines[2] = lines[2][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"line [34]"):
        AuditLog.verify(path)
    with pytest.raises(ValueError, match="was changed"):
        problem.fit(problem.model(), [AuditLog(path)])


def test_bad_input():
    with pytest.raises(ValueError, match="path"):
        AuditLog("")
    with pytest.raises(ValueError, match="names"):
        RichProgress("loss")
