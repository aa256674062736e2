"""Real processes that train together."""

import json

import keras
import numpy as np
import pytest

from keras_gdx import distribute
from tests.distribute.conftest import SECONDS
from tests.distribute.jobs import OF_TWO, assert_same, run
from tests.distribute.processes import free_ports
from tests.distribute.session import FITS, OF_FOUR, wide
from tests.programs import Program

pytestmark = [
    pytest.mark.timeout(SECONDS),
    pytest.mark.xdist_group("cluster"),
]


@pytest.mark.parametrize(
    ("job", "replicas"), [*((job, 1) for job in (*FITS, *OF_TWO)), *((job, 2) for job in OF_FOUR)]
)
def test_two_workers_equal_one_device(job, replicas, session, mirrored):
    expected = run(job, mirrored if job in OF_TWO else None)
    for report in session(2, replicas)[0]:
        assert_same(report[job]["result"], expected)


REFUSED = {
    "no seed": "All workers need the same seed",
    "seeds": "The workers differ in their seed",
    "optimizers": "The workers differ in their optimizer",
    "versions": "The workers differ in their version",
    "data": "The workers differ in their arguments of fit",
    "shuffles": "shuffles without a seed",
    "callbacks": "The workers differ in their callbacks",
    "directories": "no complete checkpoint in common",
    "pieces of averages": "`shard_state` must be False on several workers",
    "models": "The workers differ in their model",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_train_together_is_refused_on_all_workers(case, session):
    for report in session(2, 1)[0]:
        assert REFUSED[case] in report[case]["error"]


def nobody_comes(index):
    """The value of `TF_CONFIG` where the other worker does not exist."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return json.dumps({
        "cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}
    })  # fmt: skip


def test_a_chief_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", nobody_comes(0))
    with pytest.raises(TimeoutError, match="came within 1 s; this is worker 0"):
        distribute.strategy(timeout=1)


def test_another_worker_does_not_wait_for_ever():
    lonely = "from keras_gdx import distribute\ndistribute.strategy(timeout=3)"
    program = Program("-c", lonely, TF_CONFIG=nobody_comes(1))
    assert program.wait(60) == 1
    assert "came within 3 s; this is worker 1" in program.errors()


def test_a_model_is_read_into_pieces_and_saved_without_what_others_have(session, beginning):
    """One worker alone cannot write the complete state; it does not wait for the other."""
    reports, folder = session(2, 1)
    x = wide()
    beginning.fit(x, x, batch_size=16, shuffle=False, verbose=0)
    expected = np.concatenate([w.ravel() for w in beginning.get_weights()])
    for report in reports:
        np.testing.assert_allclose(report["read"]["result"], expected, atol=2e-3)  # 8-bit state
    (told,) = [x for x in reports[0]["read"]["warnings"] if "are sharded over" in x]
    assert told.startswith("12 tensors of AdamW are sharded over several workers")
    with pytest.warns(UserWarning, match="momentum \\(not saved\\)"):
        saved = keras.saving.load_model(folder / "end.keras")
    found = np.concatenate([w.ravel() for w in saved.get_weights()])
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert int(saved.optimizer.iterations) == 8


def test_a_window_that_is_open_on_several_workers_is_not_in_a_file(session):
    reports, folder = session(2, 1)
    told = " ".join(reports[0]["window"]["warnings"])
    assert "2 tensors of AdamW are sharded over several workers" in told
    saved = keras.saving.load_model(folder / "window.keras")
    assert int(saved.optimizer.iterations) == 1  # the window of the fourth batch starts again
    assert int(saved.optimizer.state.count) == 0


def test_the_first_to_run_out_of_time_stops_all(session):
    first, second = (report["budgets"]["result"] for report in session(2, 1)[0])
    assert first == second > 0
