"""Real processes that are workers of one cluster, on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(program, count=2, environment=lambda index: {}):
    """Starts `program`, a function from index to arguments of Python, on so many workers."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    running = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        variables = {"TF_CONFIG": config, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        running.append(
            subprocess.Popen(
                [sys.executable, *program(index)],
                cwd=ROOT,
                env=os.environ | variables | environment(index),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return running


def finish(running, seconds=240):
    """Waits for workers; returns errors and exit code of each."""
    try:
        return [(p.communicate(timeout=seconds)[1], p.returncode) for p in running]
    finally:
        for process in running:
            process.kill()


def workers(program, count=2, seconds=240, environment=lambda index: {}):
    """Runs `program` on so many workers; returns errors and exit code of each."""
    return finish(start(program, count, environment), seconds)
