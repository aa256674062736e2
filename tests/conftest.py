"""Two logical CPUs, so that every test with replicas runs on any machine."""

import gc
import os
import random
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

from tests.matrix import WHOLE_MATRIX

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.eager import context
    from tensorflow.python.framework import ops

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

    # The end of an iterator may wait for the thread that tunes it, which may sleep for a minute.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    tf.data.Dataset._apply_debug_options = lambda dataset: dataset.with_options(untuned)

    # Each test sets seeds. TensorFlow would then prepare all programs anew, because some may have
    # drawn random numbers.
    def set_seed(self, seed):
        self._seed, self._rng = seed, random.Random(seed)

    context.Context._set_global_seed = set_seed

    # What is traced here runs for milliseconds, so that to prepare it takes longer than to run it:
    # the Python stack of each operation is not noted for messages, TensorFlow does not rewrite its
    # graphs, and XLA optimizes little (not at all would round differently). TensorFlow reads these
    # flags when it compiles for the first time. A release is tested without all of this.
    if not WHOLE_MATRIX:
        ops._create_c_op = partial(ops._create_c_op, extract_traceback=False)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        flags = ["--xla_backend_optimization_level=1", "--xla_cpu_parallel_codegen_split_count=1"]
        if tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 21):  # others refuse to start
            flags.append("--xla_cpu_use_fusion_emitters=false")
        os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])


# Modules that take long: what the engine promises in all combinations, interruptions, files of
# other programs, processes. `-m "not slow"` leaves them out. It keeps the equations and recordings
# of every rule, and all that is tested of the rules of each kind in `contract/test_every_rule.py`.
SLOW = {
    "callbacks": "amounts averages_and_ensembles counting fault_guard looking stages "
    "training_report",
    "cli": "commands",
    "comparison": "running trials",
    "contract": "compilation counting evaluation kinds_of_variables local_steps loops "
    "matrix_rules missing_gradients partition precision replicas resume shards sparse ways",
    "datasets": "datasets",
    "defects": "fit_on_replicas interruptions",
    "distribute": "cluster contract prepare resuming_workers workers",
    "explanation": "explain",
    "fit": "adapters own_loop several_optimizers unbuilt_models",
    "full_batch": "fit_full_batch",
    "modifiers": "whole_model",
    "recommendation": "recommend",
    "regularizers": "apply regularizer_values step_penalties",
    "resume": "directory forged_checkpoints keras_callbacks kills positions py_datasets resizing",
    "sam": "looksam sam",
    "saving": "export export_kinds",
    "tests": "contributing examples fuzz one_loop presets",
}

# The longest modules begin first, and a module whose tests may run in any process comes last, so
# that all processes end at about the same time.
EARLY = "test_contract test_workers test_examples test_prepare test_pairs test_resuming_workers"
LATE = "test_every_rule"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: (item.path.stem not in EARLY.split(), item.path.stem == LATE))
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW.get(item.path.parent.name, "").split():
            item.add_marker("slow")
        if not item.get_closest_marker("xdist_group"):  # a process makes what a module shares once
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish():
    """What has been imported stays: otherwise each full garbage collection looks through it."""
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def tidy(request):
    """What is left after a module stays: a full collection, as in `clear_session`, skips it."""
    yield
    for shared in vars(request.module).values():
        if hasattr(shared, "cache_clear"):
            shared.cache_clear()
    if keras.backend.backend() == "tensorflow":
        context.context().clear_kernel_cache()  # of all functions and programs that it has run
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
