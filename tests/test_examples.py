"""The examples as a user runs them: each in a separate process and folder."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tensorflow_datasets")

from keras_gdx.datasets import Mnist5k

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.skipif(Mnist5k.source() is None, reason=Mnist5k.INSTALL),
    pytest.mark.xdist_group("processes"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.fixture
def run(folder):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, ROOT / "examples" / "fit_images.py", "--data-dir", "data", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True,
            text=True,
        )

    return run


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


def test_resume_ends_as_if_it_had_never_been_killed(folder):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "resume.py", "--epochs", "2", "--kill", "2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "the weights are the same, bit for bit"
    assert "killed 2 of 2" in done.stdout
    assert "going on after" in done.stdout


def test_workers_end_the_same_if_one_is_killed(folder):
    ends = []
    for options in ([], ["--kill-one"]):
        name = "killed" if options else "whole"
        few = ["--data-dir", "data", "--epochs", "1", "--limit", "2400", "--folder", name]
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / "fit_distributed.py", *few, *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert ("was ended by SIGKILL" in done.stdout) == bool(options)
        ends.append(done.stdout.splitlines()[-3:])
    assert ends[0] == ends[1]
    assert ends[0][-1].startswith("[worker 0] fingerprint of the weights: ")


def test_finetune_is_better_than_from_nothing(folder):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "finetune.py", "--data-dir", "data"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "UserWarning" not in done.stderr
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"new digits, 50 images: from nothing ([\d.]+), fine-tuned ([\d.]+)", last)
    assert float(found[2]) > float(found[1]) > 0.5


@pytest.mark.slow
def test_full_batch_is_better_than_adam(folder):
    few = ["--points", "1024", "--steps", "5000"]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "full_batch_pinn.py", *few],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "UserWarning" not in done.stderr
    found = re.fullmatch(r"the loss is (\d+) times lower", done.stdout.splitlines()[-1])
    assert int(found[1]) > 10
    picture = folder / "runs" / "full_batch_pinn" / "burgers.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_fit_embeddings_reaches_its_target(folder):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "fit_embeddings.py", "--check"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.fullmatch(r"final error 0\.\d{4}", done.stdout.splitlines()[-1])
