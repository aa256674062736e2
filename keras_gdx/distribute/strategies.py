"""The strategy that fits the machine."""

import json
import os

import tensorflow as tf

from keras_gdx.config import check, check_choice, check_number

__all__ = ["strategy"]

KINDS = ("auto", "one", "mirrored", "workers", "tpu")


def strategy(kind="auto", replicas=None, timeout=300.0):
    """The `tf.distribute` strategy for what there is: devices, a TPU, a cluster.

    Call it before anything else that uses TensorFlow.

    Args:
        kind: `"auto"`: workers if the variable `TF_CONFIG` names several, or a TPU, or all
            GPUs of this machine, or its one device. Or one of `"one"`, `"mirrored"`,
            `"workers"` and `"tpu"`, and an error where that is not to be had.
        replicas: Integer >= 1: how many replicas on this machine. Without GPUs the processor
            is cut into so many devices, which makes nothing faster and is for trying out.
        timeout: Number > 0: seconds to wait for workers that do not come.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: If an argument is out of range, there are fewer devices, `TF_CONFIG` is
            wrong, or it names parameter servers, with which Keras 3 cannot train.
        TimeoutError: If workers do not come.

    Example:
        >>> import keras_gdx
        >>> strategy = keras_gdx.distribute.strategy("one")
        >>> strategy.num_replicas_in_sync
        1
    """
    check_choice("kind", kind, KINDS)
    valid = replicas is None or (isinstance(replicas, int) and replicas >= 1)
    check(valid, "replicas", replicas, "an integer >= 1, or None")
    check_number("timeout", timeout, 0, open_low=True)
    workers = workers_of(os.environ.get("TF_CONFIG"))
    if kind == "auto":
        kind = "workers" if len(workers) > 1 else "tpu" if _has_tpu() else "mirrored"
    if kind == "workers":
        from keras_gdx.distribute.workers import join

        check(len(workers) > 1, "kind", kind, "something else where TF_CONFIG names no workers")
        return join(workers, replicas, timeout)
    if kind == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        return tf.distribute.TPUStrategy(resolver)
    devices = [] if kind == "one" else devices_of(replicas)
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.get_strategy()


def workers_of(text):
    """The addresses of the workers that `TF_CONFIG` names, the chief first.

    Example:
        >>> workers_of('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}')
        ['a:1', 'b:1']
    """
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        workers = [*cluster.get("chief", []), *cluster.get("worker", [])]
        servers = cluster.get("ps", [])
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"The variable TF_CONFIG is not what TensorFlow takes: {text}") from error
    if servers:
        raise ValueError(
            "TF_CONFIG names parameter servers. Keras 3 cannot train with them: make all of them "
            "workers."
        )
    return workers


def devices_of(replicas):
    """The names of so many devices of this machine; all GPUs if `None`."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        count = replicas or len(gpus)
        check(count <= len(gpus), "replicas", replicas, f"at most {len(gpus)}, the GPUs there are")
        return [f"GPU:{i}" for i in range(count)]
    count = replicas or 1
    cut_processor(count)
    return [f"CPU:{i}" for i in range(count)]


def cut_processor(count):
    """Makes so many logical devices of the processor, if there are fewer."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    known = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(known) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise ValueError(
            f"Argument `replicas` cannot be {count}: TensorFlow runs already, with "
            f"{len(known)} device(s). Call `strategy` before anything else."
        ) from error


def _has_tpu():
    return bool(os.environ.get("TPU_NAME")) or bool(tf.config.list_physical_devices("TPU"))
