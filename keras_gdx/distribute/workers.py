"""Multi-worker training: several processes that train together."""

import functools
import json
import os
import socket
import time
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import (
    coordination_config_pb2 as coordination,
)  # imported here because the name of its own package differs between releases
from tensorflow.python.eager.context import context  # sets the timeouts
from tensorflow.python.ops import collective_ops  # broadcasts initial values of variables

CARRIERS = {  # dtypes sent instead of those that TensorFlow cannot send
    tf.bfloat16: tf.float32,
    tf.int8: tf.int32,
    tf.uint8: tf.int32,
}
HEARTBEAT = 30.0  # seconds without a heartbeat after which a worker is lost; busy machines stall


def join(workers, replicas, timeout):
    """Joins the other workers; returns the common strategy.

    Args:
        workers: Addresses of all workers.
        replicas: Number of replicas of this worker; `None` for one per GPU, or one.
        timeout: Seconds to wait for the other workers.

    Raises:
        TimeoutError: If not all workers arrive in time.
        ValueError: If TensorFlow is already initialized.
    """
    cluster = json.loads(os.environ["TF_CONFIG"])
    task = cluster.get("task", {})
    jobs = [
        coordination.CoordinatedJob(name=job, num_tasks=len(cluster["cluster"][job]))
        for job in ("chief", "worker")
        if job in cluster["cluster"]
    ]
    leader = "chief" if "chief" in cluster["cluster"] else "worker"
    me = f"{task.get('type')} {task.get('index')}"
    if me == f"{leader} 0":
        _await_others(workers, me, timeout)
    context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(timeout * 1000),
        heartbeat_timeout_in_ms=int(HEARTBEAT * 1000),
        coordinated_jobs=jobs,
    )
    _send_all_dtypes()
    try:
        with _local_devices(replicas):
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        if "program startup" in str(error):
            raise ValueError(
                "The workers cannot be connected, because TensorFlow is already initialized. "
                "Call `strategy` before anything else that uses TensorFlow, including variables "
                "and random numbers."
            ) from error
        raise TimeoutError(_missing(workers, me, timeout)) from error


def _missing(workers, me, timeout):
    return (
        f"Not all {len(workers)} workers ({', '.join(workers)}) came within {timeout:g} s; this is "
        f"{me}. Look at the logs of the others, and start all again."
    )


def _await_others(workers, me, timeout):
    """Waits until the other workers listen; TensorFlow's leader would wait for them forever."""
    deadline = time.monotonic() + timeout
    for address in workers[1:]:
        host, _, port = address.rpartition(":")
        while True:
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(_missing(workers, me, timeout)) from error
                time.sleep(0.1)


def _send_all_dtypes():
    """Patches TensorFlow to broadcast initial values of any dtype; idempotent."""
    if hasattr(collective_ops.broadcast_send, "__wrapped__"):
        return
    send, receive = collective_ops.broadcast_send, collective_ops.broadcast_recv

    @functools.wraps(send)
    def sending(tensor, shape, dtype, *rest):
        carrier = CARRIERS.get(dtype, dtype)
        with _same_variables(shape):
            return send(tf.cast(tensor, carrier), shape, carrier, *rest)

    @functools.wraps(receive)
    def receiving(shape, dtype, *rest):
        with _same_variables(shape):
            return tf.cast(receive(shape, CARRIERS.get(dtype, dtype), *rest), dtype)

    collective_ops.broadcast_send = sending
    collective_ops.broadcast_recv = receiving


@contextmanager
def _same_variables(shape):
    """Context that explains why the initial value of a variable cannot be sent."""
    try:
        yield
    except tf.errors.OpError as error:
        raise ValueError(
            "The workers differ in their model, or one of them has exited: the initial value of "
            f"a variable of shape {tuple(shape)} has no counterpart on another worker. All must "
            "run the same program; see their logs."
        ) from error


@contextmanager
def _local_devices(replicas):
    """Context in which a worker without GPUs has `replicas` devices."""
    if not replicas or tf.config.list_physical_devices("GPU"):
        yield
        return
    from keras_gdx.distribute.strategies import cut_processor

    cut_processor(replicas)
    extended = tf.distribute.MultiWorkerMirroredStrategy.__init__.__globals__[
        "CollectiveAllReduceExtended"
    ]
    original = extended._initialize_local_devices

    def devices(self, resolver, worker_device):
        return tuple(f"{worker_device}/device:CPU:{i}" for i in range(replicas)), "CPU"

    extended._initialize_local_devices = devices
    try:
        yield
    finally:
        extended._initialize_local_devices = original
