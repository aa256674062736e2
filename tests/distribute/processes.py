"""Real processes as the workers of one cluster, on this machine."""

import json
import socket
import time

from tests.programs import Program


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(program, count=2):
    """Starts `program`, a function from index to Python's arguments, on that many workers."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    running = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        running.append(Program(*program(index), TF_CONFIG=config))
    return running


def finish(running, seconds=240):
    """Waits for workers; returns stderr and exit code of each."""
    deadline = time.monotonic() + seconds
    try:
        codes = [process.wait(deadline - time.monotonic()) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.errors(), code) for process, code in zip(running, codes, strict=True)]


def workers(program, count=2, seconds=240):
    """Runs `program` on that many workers; returns stderr and exit code of each."""
    return finish(start(program, count), seconds)


def succeed(program, count=2, seconds=240):
    """Runs `program` on that many workers, which must all succeed; returns their stderr."""
    ended = workers(program, count, seconds)
    told = "\n".join(
        f"worker {i} ended with {code}:\n{e[-3000:]}" for i, (e, code) in enumerate(ended)
    )
    assert all(code == 0 for _, code in ended), told
    return [errors for errors, _ in ended]
