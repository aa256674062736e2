"""Workers on this machine, watched, and started again if one is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from keras_gdx.config import check, check_integer, check_number
from keras_gdx.distribute import guard

__all__ = ["launch"]

TRY_AGAIN = 75  # EX_TEMPFAIL, what ResumableCheckpoint leaves with
GUARD = Path(guard.__file__)


def launch(command, workers=2, restarts=3, grace=10.0):
    """Runs a command as several workers of one cluster, on this machine.

    Each has `TF_CONFIG`, with free ports of `127.0.0.1`, so that
    `keras_gdx.distribute.strategy("auto")` joins them. What they print comes with `[worker 0]`
    before each line. A worker that is lost cannot be taken back: if one ends with anything
    but 0, the others are told to end by `SIGTERM`, killed if they do not within `grace`
    seconds, and all are started again. With `ResumableCheckpoint` they go on where they were.
    `SIGTERM` and `SIGINT` to this process are handed on to all, and nothing is started again.
    If this process dies in any way, the workers end, and all that they have started.

    `python -m keras_gdx.distribute --workers 2 train.py` does this from a shell.

    Args:
        command: List of program and arguments.
        workers: Integer >= 1: how many.
        restarts: Integer >= 0: how often all of them may be started again.
        grace: Number >= 0: seconds in which a worker can end by itself.

    Returns:
        The exit code: 0, or that of the worker that failed first in the last attempt, 128 and
        the number of the signal if that has ended it. After a signal to this process 75 ("try
        again") if a worker has left with that, and 128 and its number otherwise.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import sys
        >>> from keras_gdx.distribute.cluster import launch
        >>> launch([sys.executable, "-c", "import os; print(os.environ['TF_CONFIG'][:10])"], 1)
        [worker 0] {"cluster"
        0

    Verified against: real processes, killed, deaf and orphaned
    """
    valid = isinstance(command, (list, tuple)) and command and all(map(_is_text, command))
    check(valid, "command", command, "a list of a program and its arguments")
    check_integer("workers", workers, 1)
    check_integer("restarts", restarts, 0)
    check_number("grace", grace, 0)
    with _signals() as received:
        for attempt in range(restarts + 1):
            with Cluster(command, workers, grace) as cluster:
                lost = cluster.wait(received)
                if received:
                    codes = cluster.stop(received[0])
                    _say(f"stopped by {signal.Signals(received[0]).name}")
                    return TRY_AGAIN if TRY_AGAIN in codes else 128 + received[0]
                if lost is None:
                    return 0
                code = cluster.running[lost].returncode
                _say(f"worker {lost} {_how(code)}; stopping the others")
                cluster.stop(signal.SIGTERM)
            if attempt < restarts:
                _say(f"starting all again, {attempt + 1} of {restarts} times")
    return code


class Cluster:
    """One attempt: workers that were started together.

    Args:
        command: What each runs.
        count: How many.
        grace: Seconds in which they can end by themselves.
    """

    def __init__(self, command, count, grace):
        self._addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self._command = [sys.executable, str(GUARD), str(grace), *map(str, command)]
        self.running: list = []
        self._readers: list = []

    def __enter__(self):
        for index in range(len(self._addresses)):
            process = self._start(index)
            self.running.append(process)
            reader = threading.Thread(target=_pass_on, args=(index, process.stdout), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.stdin.close()  # whatever has happened, its guard ends it now
        for process, reader in zip(self.running, self._readers, strict=True):
            process.wait()
            reader.join()
            process.stdout.close()

    def _start(self, index):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": self._addresses}, "task": task})
        return subprocess.Popen(
            self._command,
            env=os.environ | {"TF_CONFIG": config, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=guard.block,
        )

    def wait(self, received):
        """The first worker that fails; `None` when all have ended well, or there is a signal."""
        while not received:
            codes = [process.poll() for process in self.running]
            for index, code in enumerate(codes):
                if code:
                    return index
            if None not in codes:
                return None
            time.sleep(0.02)
        return None

    def stop(self, number):
        """Hands a signal on and waits; returns all exit codes."""
        for process in self.running:
            process.send_signal(number)
        return [process.wait() for process in self.running]


def free_ports(count):
    """So many ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _signals():
    """In this context, a list of the signals that have come for the workers."""
    received: list = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in guard.HANDED_ON
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(index, lines):
    for line in lines:
        _say(line.decode(errors="replace").rstrip(), f"worker {index}")


def _say(text, who="cluster"):
    # with its end in one piece: others print too
    print(f"[{who}] {text}\n", end="", flush=True)


def _how(code):
    """How a worker ended, in words.

    Example:
        >>> _how(137), _how(1)
        ('was ended by SIGKILL', 'ended with code 1')
    """
    if code == TRY_AGAIN:
        return "has saved and asks to be started again (75)"
    known = {number.value for number in signal.Signals}
    if code - 128 in known:
        return f"was ended by {signal.Signals(code - 128).name}"
    return f"ended with code {code}"


def _is_text(value):
    return isinstance(value, (str, Path))
