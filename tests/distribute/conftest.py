"""Clusters that several tests share."""

import json
from functools import cache

import keras
import pytest

from keras_gdx import optimizers
from tests.distribute.processes import succeed
from tests.distribute.session import wide

SECONDS = 600


@pytest.fixture(scope="session")
def beginning():
    """A model that was trained on one device, as `session.read` resumes it."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((80,)), *(keras.layers.Dense(80) for _ in range(3))])
    model.compile(optimizers.AdamW(0.01, state_dtype="int8", shard_state=True), "mse")
    model.fit(wide(), wide(), batch_size=16, verbose=0)
    return model


@pytest.fixture(scope="session")
def session(tmp_path_factory, beginning):
    """A function that returns the reports of a cluster's workers, and the folder of their files."""

    @cache
    def run(workers, replicas):
        folder = tmp_path_factory.mktemp(f"workers-{workers}-{replicas}")
        beginning.save(folder / "begin.keras")
        words = ["-m", "tests.distribute.session", str(folder), str(workers), str(replicas)]
        succeed(lambda index: words, workers, SECONDS)
        return [json.loads((folder / f"{i}.json").read_text()) for i in range(workers)], folder

    return run
