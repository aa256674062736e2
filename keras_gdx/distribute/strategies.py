"""Chooses a `tf.distribute` strategy for the available hardware."""

import json
import os
from functools import cache
from typing import Literal

import tensorflow as tf

from keras_gdx.arguments import PositiveFloat, PositiveInt, check, check_type

__all__ = ["strategy"]

Kind = Literal["auto", "one", "mirrored", "workers", "tpu"]


def strategy(
    kind: Kind = "auto", replicas: PositiveInt | None = None, timeout: PositiveFloat = 300.0
) -> tf.distribute.Strategy:
    """Returns a `tf.distribute` strategy for the available devices, TPU or cluster.

    Call it before anything else that uses TensorFlow.

    Args:
        kind: `"auto"` uses, in this order: several workers if the environment variable
            `TF_CONFIG` lists them, a TPU, all GPUs of this machine, its only device. Or one of
            `"one"`, `"mirrored"`, `"workers"` and `"tpu"`.
        replicas: Integer >= 1: number of replicas on this machine. Without GPUs the CPU is
            split into that many logical devices, which is for testing and not faster.
        timeout: Number > 0: seconds to wait for the other workers.

    Returns:
        A `tf.distribute.Strategy`. For the same devices it is the same one, because TensorFlow
        fails where a process has two.

    Raises:
        ValueError: If an argument is out of range, there are fewer devices than `replicas`,
            or `TF_CONFIG` is invalid or lists parameter servers, which Keras 3 does not support.
        TimeoutError: If not all workers arrive in time.

    Example:
        >>> import keras_gdx
        >>> strategy = keras_gdx.distribute.strategy("one")
        >>> strategy.num_replicas_in_sync
        1
    """
    check_type("kind", kind, Kind)
    check_type("replicas", replicas, PositiveInt | None)
    check_type("timeout", timeout, PositiveFloat)
    workers = workers_of(os.environ.get("TF_CONFIG"))
    if kind == "auto":
        kind = "workers" if len(workers) > 1 else "tpu" if _has_tpu() else "mirrored"
    if kind == "workers":
        from keras_gdx.distribute.workers import join

        check(len(workers) > 1, "kind", kind, "another kind, because TF_CONFIG names no workers")
        return join(workers, replicas, timeout)
    if kind == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        return tf.distribute.TPUStrategy(resolver)
    devices = [] if kind == "one" else devices_of(replicas)
    if len(devices) > 1:
        return _mirrored(tuple(devices))
    return tf.distribute.get_strategy()


@cache  # the collectives of two strategies on the same devices would have the same numbers
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(devices)


def workers_of(text: str | None) -> list[str]:
    """The addresses of the workers in `TF_CONFIG`, the chief first.

    Example:
        >>> workers_of('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}')
        ['a:1', 'b:1']
    """
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        workers = [*cluster.get("chief", []), *cluster.get("worker", [])]
        servers = cluster.get("ps", [])
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"The environment variable TF_CONFIG is invalid: {text}") from error
    if servers:
        raise ValueError(
            "TF_CONFIG names parameter servers. Keras 3 does not support them: configure all "
            "tasks as workers."
        )
    return workers


def devices_of(replicas: int | None) -> list[str]:
    """The names of `replicas` devices of this machine; if `None`, all GPUs or the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        count = replicas or len(gpus)
        check(count <= len(gpus), "replicas", replicas, f"at most {len(gpus)}, the number of GPUs")
        return [f"GPU:{i}" for i in range(count)]
    count = replicas or 1
    cut_processor(count)
    return [f"CPU:{i}" for i in range(count)]


def cut_processor(count: int) -> None:
    """Splits the CPU into `count` logical devices, if there are fewer."""
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
            f"Argument `replicas` cannot be {count}: TensorFlow is already initialized, with "
            f"{len(known)} device(s). Call `strategy` before anything else that uses TensorFlow."
        ) from error


def _has_tpu() -> bool:
    return bool(os.environ.get("TPU_NAME")) or bool(tf.config.list_physical_devices("TPU"))
