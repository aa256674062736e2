"""The examples as a user runs them: each in a separate process and folder."""

import csv
import html
import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tensorflow_datasets")

from keras_gdx.datasets import Mnist5k
from tests.matrix import before_a_release
from tests.programs import ROOT, Program

WITHOUT_FLAGS = {"XLA_FLAGS": ""}  # those of `conftest.py`, which users do not set
pytestmark = pytest.mark.skipif(Mnist5k.source() is None, reason=Mnist5k.INSTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def start(folder):
    path = os.pathsep.join([str(ROOT), *sys.path])

    def start(name, *arguments):
        alone = {"folder": folder, "PYTHONPATH": path, **WITHOUT_FLAGS}
        program = Program(ROOT / "examples" / name, *arguments, **alone)
        code = program.wait(600)
        return subprocess.CompletedProcess(name, code, program.output(), program.errors())

    return start


@pytest.fixture
def run(start):
    return lambda *arguments: start("fit_images.py", "--data-dir", "data", *arguments)


def final_accuracy(done):
    return float(re.fullmatch(r"final accuracy ([01]\.\d{4})", done.stdout.splitlines()[-1])[1])


def test_fit_images_writes_what_it_says(run, folder):
    done = run("--epochs", "2", "--limit", "640", "--check", "--target", "0.2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "data: mnist5k, 640 images to train with, 1000 held out, fingerprint 100fde528062"
    )
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert "\r" not in done.stdout
    assert final_accuracy(done) >= 0.2
    out = folder / "runs" / "fit_images"
    assert (out / "model.keras").is_file()
    assert (out / "saved_model" / "saved_model.pb").is_file()
    assert (out / "history.png").read_bytes().startswith(b"\x89PNG")
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in rows] == [pytest.approx(0.0111, rel=0.1), 0.0]


def test_fit_images_takes_all_its_options_at_once(run):
    done = run(
        *("--optimizer", "adamw", "--learning-rate", "1e-3", "--weight-decay", "0.1"),
        *("--schedule", "wsd", "--warmup", "0.2", "--regularizer", "group_lasso"),
        *("--strength", "1e-5", "--plateau", "--epochs", "1", "--batch-size", "32"),
        *("--accumulate", "2", "--clip", "1", "--seed", "3", "--limit", "320", "--fold", "1"),
        *("--out", "all", "--check", "--target", "1.01"),
    )
    assert done.returncode == 1, done.stderr
    assert "fold 1 of 5, 320 images to train with, 800 held out" in done.stdout
    assert done.stderr.endswith("The accuracy is under the target of 1.01.\n")
    assert final_accuracy(done) <= 1


def test_fit_images_compares_with_an_optimizer_of_keras(run):
    done = run("--optimizer", "keras:adam", "--epochs", "1", "--limit", "320", "--out", "adam")
    assert done.returncode == 0, done.stderr
    assert "moved by keras:adam" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--optimizer", "muno"), "Nearest: muon"),
        (("--dataset", "mnist"), "'auto', 'mnist5k', 'fashion_mnist', 'tfds:NAME'"),
    ],
)
def test_fit_images_says_in_one_line_what_is_wrong(run, arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("name", "epochs"), [("resume.py", 2), ("own_loop.py", 1)])
def test_resume_ends_as_if_it_had_never_been_killed(name, epochs, start):
    done = start(name, "--epochs", epochs, "--kill", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "the weights are the same, bit for bit"
    assert "killed 1 of 1" in done.stdout
    assert "going on after" in done.stdout


def fingerprint(done):
    """The first worker says it at its end; then the other one may complain that it has left."""
    (found,) = re.findall(r"fingerprint of the weights: (\w{16})$", done.stdout, re.M)
    return found


def test_workers_go_on_if_one_is_killed(start):
    few = ["--data-dir", "data", "--epochs", "1", "--limit", "2400", "--folder", "killed"]
    done = start("fit_distributed.py", *few, "--kill-one")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "was ended by SIGKILL" in done.stdout
    assert fingerprint(done)


@before_a_release
def test_workers_end_the_same_if_one_is_killed(start):
    """`test_resuming_workers` tests it with smaller programs each time."""
    ends = []
    for options in ([], ["--kill-one"]):
        few = ["--data-dir", "data", "--epochs", "2", "--folder", f"same{len(options)}"]
        done = start("fit_distributed.py", *few, *options)
        assert done.returncode == 0, done.stdout[-2000:]
        assert ("was ended by SIGKILL" in done.stdout) == bool(options)
        ends.append(fingerprint(done))
    assert ends[0] == ends[1]


def test_finetune_is_better_than_from_nothing(start):
    few = ["--first-epochs", "1", "--epochs", "24"]
    done = start("finetune.py", "--data-dir", "data", *few)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "UserWarning" not in done.stderr
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"new digits, 50 images: from nothing ([\d.]+), fine-tuned ([\d.]+)", last)
    assert float(found[2]) > float(found[1]) > 0.5


def test_a_served_model_is_trained_further_without_keras(start):
    done = start("serve.py", "--data-dir", "data", "--epochs", "1", "--check")
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"SavedModel, .*: accuracy (0\.\d{4})", done.stdout)
    assert float(found[1]) > float(found[0]) > 0.5


def test_fit_text_learns_and_writes(start, tmp_path):
    """That a text which repeats itself is continued."""
    (tmp_path / "text").write_text("0123456789" * 200)
    few = ["--steps", "60", "--characters", "20", "--prompt", "01234"]
    done = start("fit_text.py", "--file", tmp_path / "text", *few, "--check")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "0123456789012345678901234" in done.stdout.splitlines()
    assert re.fullmatch(r"final loss 0\.\d{4}", done.stdout.splitlines()[-1])


def test_fit_tabular_predicts_cars_that_it_has_not_seen(start):
    done = start("fit_tabular.py", "--rows", "100", "--check", "--folds", "2")
    assert done.returncode == 0, done.stderr[-2000:]
    *errors, ratio = re.findall(r"(\d\.\d{3})", done.stdout)
    assert len(errors) == 4
    assert max(map(float, errors)) < 6.5  # the deviation is 7.8
    assert float(ratio) < 0.98


def test_compare_optimizers_says_what_it_found(start, folder):
    few = ["--steps", "10", "--trials", "1", "--seeds", "2", "--max-seeds", "2", "--workers", "0"]
    done = start("compare_optimizers.py", *few)
    assert done.returncode == 0, done.stderr[-2000:]
    verdict = done.stdout.splitlines()[-1].removeprefix("verdict: ").partition(",")[0]
    out = folder / "runs" / "compare"
    assert verdict in html.unescape((out / "compare.html").read_text())
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


@before_a_release
def test_fit_text_reaches_its_target(start):
    done = start("fit_text.py", "--check")
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_notebook_runs_from_top_to_bottom(folder, monkeypatch):
    nbclient, nbformat = map(pytest.importorskip, ("nbclient", "nbformat"))
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(ROOT / "examples" / "first_steps.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells), "commit it without"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    for name, value in WITHOUT_FLAGS.items():
        monkeypatch.setenv(name, value)
    where = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    data = [output.get("data", {}) for cell in cells for output in cell.outputs]
    assert sum("image/png" in kinds for kinds in data) == 2  # rates, and the schedule
    bar, report = [kinds["text/html"] for kinds in data if "text/html" in kinds]
    assert "epoch 5/5" in bar
    assert "first_steps.html" in report
    assert (folder / "first_steps.html").is_file()


def test_full_batch_is_better_than_adam(start, folder):
    few = ["--points", "256", "--steps", "500", "--iterations", "200"]
    done = start("full_batch_pinn.py", *few)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "UserWarning" not in done.stderr
    found = re.fullmatch(r"the loss is (\d+) times lower", done.stdout.splitlines()[-1])
    assert int(found[1]) > 100
    picture = folder / "runs" / "full_batch_pinn" / "burgers.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_fit_embeddings_learns(start):
    few = ["--ratings", "600000", "--epochs", "2", "--batch-size", "2048"]
    done = start("fit_embeddings.py", *few)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.fullmatch(r"final error (0\.\d{4})", done.stdout.splitlines()[-1])
    assert float(found[1]) < 0.86  # the deviation is 0.91


@before_a_release
def test_fit_embeddings_reaches_its_target(start):
    done = start("fit_embeddings.py", "--check")
    assert done.returncode == 0, done.stderr[-2000:]
