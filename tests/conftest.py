"""Two logical CPUs, so that every test with replicas runs on any machine."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.eager import context

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_collection_finish():
    """What has been imported stays: otherwise each full garbage collection looks through it."""
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def tidy():
    """TensorFlow keeps all functions and programs it has run until it is told to clear them."""
    yield
    if keras.backend.backend() == "tensorflow":
        context.context().clear_kernel_cache()


@pytest.fixture(scope="session")
def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
