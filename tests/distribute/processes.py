"""Real processes as the workers of one cluster, on this machine."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
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


class Worker(subprocess.Popen):
    """A Python process whose stderr can be read after it has ended."""

    def __init__(self, arguments, environment):
        # Not a pipe: a writer would block when it is full.
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open until it has been read
        super().__init__(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=self.file,
        )

    def told(self):
        self.file.seek(0)
        return self.file.read()


def start(program, count=2, environment=lambda index: {}):
    """Starts `program`, a function from index to Python's arguments, on that many workers."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    running = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        variables = {"TF_CONFIG": config, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        running.append(Worker(program(index), variables | environment(index)))
    return running


def finish(running, seconds=240):
    """Waits for workers; returns stderr and exit code of each."""
    deadline = time.monotonic() + seconds
    try:
        codes = [process.wait(deadline - time.monotonic()) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.told(), code) for process, code in zip(running, codes, strict=True)]


def workers(program, count=2, seconds=240, environment=lambda index: {}):
    """Runs `program` on that many workers; returns stderr and exit code of each."""
    return finish(start(program, count, environment), seconds)


def succeed(program, count=2, seconds=240, environment=lambda index: {}):
    """Runs `program` on that many workers, which must all succeed; returns their stderr."""
    ended = workers(program, count, seconds, environment)
    told = "\n".join(
        f"worker {i} ended with {code}:\n{e[-3000:]}" for i, (e, code) in enumerate(ended)
    )
    assert all(code == 0 for _, code in ended), told
    return [errors for errors, _ in ended]
