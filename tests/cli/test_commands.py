"""The command `keras-gdx`: answers, exit codes, and what it says about mistakes."""

import json
import sys
from pathlib import Path

import pytest

import keras_gdx
from keras_gdx.cli.main import main
from tests.programs import Program

HERE = Path(__file__).parent
MODEL, TASK = f"{HERE / 'train.py'}:model", f"{HERE / 'train.py'}:task"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "train", raising=False)


def answer(capsys, *arguments, code=0):
    """The data that a command answers; it also prints something for readers."""
    assert main([*arguments]) == code
    assert capsys.readouterr().out.strip()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_catalogue(capsys):
    found = answer(capsys, "list", "adam*", "--kind", "optimizer")
    assert [row["name"] for row in found] == keras_gdx.list("adam*")
    lion = answer(capsys, "info", "lion")
    assert lion["arguments"]["learning_rate"] == 1e-4
    assert lion["bytes_per_parameter"] == 4.0
    assert {row["rule"] for row in answer(capsys, "presets", "adamw")} == {"adamw"}
    assert main(["list", "nothing*"]) == 1


def test_memory(capsys):
    options = ("--rule", "adamw", "--option", "state_dtype=bfloat16", "--batch-size", "4")
    (found,) = answer(capsys, "memory", MODEL, *options)
    weights = 8 * 16 + 16 + 16 + 1
    assert (found["weights"], found["gradients"]) == (4 * weights, 4 * weights)
    assert found["state"] == pytest.approx(4 * weights, abs=64)  # two slots of two bytes
    assert len(answer(capsys, "memory", MODEL)) == len(keras_gdx.list(kind="optimizer"))


def test_learning_rate_finder(capsys, tmp_path):
    found = answer(capsys, "lr-find", TASK, "--steps", "30", "--plot", str(tmp_path / "a.svg"))
    assert 1e-7 <= found["minimum"] <= 10
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_recommend(capsys):
    found = answer(capsys, "recommend", MODEL, "--batch-size", "64")
    assert {"setting": "optimizer", "confidence": "medium"}.items() <= found[0].items()
    assert found[0]["value"] == {"name": "muon"}


def test_migrate(capsys, tmp_path):
    script = tmp_path / "old.py"
    script.write_text("import keras\noptimizer = keras.optimizers.Ftrl(0.1, amount=3)\n")
    (found,) = answer(capsys, "migrate", str(script))
    assert (found["file"], found["line"]) == (str(script), 2)
    assert found["old"] == "keras.optimizers.Ftrl(0.1, amount=3)"
    assert found["new"] == "keras_gdx.optimizers.Ftrl(0.1)"
    assert found["lost"] == ["amount"]
    assert script.read_text().endswith("amount=3)\n")
    script.write_text("print(1)")
    assert answer(capsys, "migrate", str(script), code=1) == []


def test_compare_and_report(capsys, tmp_path):
    runs, page = str(tmp_path / "runs"), tmp_path / "page.html"
    options = ("--resume", runs, "--workers", "0", "--save", str(tmp_path / "a.json"))
    found = answer(capsys, "compare", f"{HERE / 'train.py'}:comparison", *options)
    assert found["best"] == "good"
    assert "The advice for good, learning_rate 0.05, was" in found["verdict"]
    assert {row["advised"] for row in found["advice"]} == {"learning_rate 0.05"}
    assert answer(capsys, "compare", "--join", runs, "--workers", "0") == found
    for source in (runs, str(tmp_path / "a.json")):
        again = answer(capsys, "report", source, "--output", str(page))
        assert again | {"page": None} == found | {"page": None}
        assert "</html>" in page.read_text(encoding="utf-8")
        page.unlink()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["info", "adm"], 2, "Nearest: adam"),
        (["memory", "train"], 2, "module:function"),
        (["memory", "train:"], 2, "module:function"),
        (["memory", "no_such_module:x"], 2, "there is no module no_such_module"),
        (["memory", "no_such.py:x"], 2, "there is no file no_such.py"),
        (["memory", MODEL[:-5] + "modle"], 2, "but model, task, number, broken"),
        (["memory", MODEL[:-5] + "number"], 2, "must return a built Keras model"),
        (["memory", MODEL[:-5] + "broken"], 3, "RuntimeError: mine"),
        (["memory", MODEL, "--option", "int8"], 2, "NAME=VALUE"),
        (["memory", MODEL, "--rule", "adamw", "--option", "beta_1=2"], 2, "`beta_1`"),
        (["lr-find", MODEL], 2, "must return a compiled model and a pair"),
        (["compare"], 2, "either module:function"),
        (["compare", MODEL, "--join", "runs"], 2, "either module:function"),
        (["compare", "--join", "no_such_folder"], 2, "there is no comparison"),
        (["compare", MODEL[:-5] + "number"], 2, "must return a dictionary"),
        (["compare", MODEL[:-5] + "other"], 2, "unexpected keyword argument 'epochs'"),
        (["report", "no_such_file.json"], 2, "there is no comparison"),
        (["migrate", "no_such.py"], 2, "no_such.py cannot be read"),
        (["migrate", str(HERE)], 2, "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_mistakes(capsys, arguments, code, said):
    assert main(arguments) == code
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_wrong_words_end_with_2():
    for arguments in ([], ["lst"], ["memory"], ["list", "--kind", "rule"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_the_doctor_trains_two_replicas():
    doctor = Program("-m", "keras_gdx", "doctor", "--json")
    assert doctor.wait() == 0, doctor.errors()
    found = json.loads(doctor.output())
    assert found["versions"]["keras_gdx"] == keras_gdx.__version__
    assert found["two_replicas"]["ok"]
    assert found["two_replicas"]["difference"] <= 1e-6
    assert found["keras_defects"]
