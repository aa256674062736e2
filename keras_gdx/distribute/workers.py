"""Several processes that train together."""

import json
import os
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import (
    coordination_config_pb2 as coordination,
)  # its package has changed its name with releases
from tensorflow.python.eager.context import context  # sets how long workers are waited for

HEARTBEAT = 10.0  # seconds without a sign of life after which a worker is lost


def join(workers, replicas, timeout):
    """Joins the other workers; returns their strategy.

    Args:
        workers: Their addresses.
        replicas: How many replicas this worker has; `None` for all its GPUs, or one.
        timeout: Seconds to wait for them.

    Raises:
        TimeoutError: If they do not all come.
        ValueError: If TensorFlow runs already.
    """
    cluster = json.loads(os.environ["TF_CONFIG"])
    task = cluster.get("task", {})
    jobs = [
        coordination.CoordinatedJob(name=job, num_tasks=len(cluster["cluster"][job]))
        for job in ("chief", "worker")
        if job in cluster["cluster"]
    ]
    leader = "chief" if "chief" in cluster["cluster"] else "worker"
    context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{leader}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(timeout * 1000),
        heartbeat_timeout_in_ms=int(HEARTBEAT * 1000),
        coordinated_jobs=jobs,
    )
    try:
        with _local_devices(replicas):
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        if "program startup" in str(error):
            raise ValueError(
                "Workers cannot be joined: TensorFlow runs already. Call `strategy` before "
                "anything else that uses it, variables and random numbers too."
            ) from error
        me = f"{task.get('type')} {task.get('index')}"
        raise TimeoutError(
            f"Not all {len(workers)} workers ({', '.join(workers)}) came within {timeout:g} s; "
            f"this is {me}. Look at the logs of the others, and start all again. TensorFlow says: "
            f"{str(error).splitlines()[0]}"
        ) from error


@contextmanager
def _local_devices(replicas):
    """Inside this context a worker without GPUs has so many devices."""
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
