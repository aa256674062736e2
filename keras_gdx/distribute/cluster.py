"""Starts workers on this machine, watches them, and restarts all if one is lost."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from keras_gdx.arguments import NonNegativeFloat, NonNegativeInt, PositiveInt, check, check_type
from keras_gdx.distribute import guard
from keras_gdx.distribute.output import Output, pass_on

__all__ = ["launch"]

TRY_AGAIN = 75  # EX_TEMPFAIL, the exit code of ResumableCheckpoint
GUARD = Path(guard.__file__)


def launch(
    command: Sequence[str | Path],
    workers: PositiveInt = 2,
    restarts: NonNegativeInt = 3,
    grace: NonNegativeFloat = 10.0,
) -> int:
    """Runs a command as several workers of one cluster, on this machine.

    Each worker gets a `TF_CONFIG` with free ports of `127.0.0.1`, so that
    `keras_gdx.distribute.strategy("auto")` joins them. Each line of their output is prefixed with
    `[worker 0]` and so on; progress bars are shown as they move. A lost worker cannot rejoin: if
    one exits with a code other than 0, the others get `SIGTERM`, are killed if they do not end
    within `grace` seconds, and all are restarted. With `ResumableCheckpoint` they resume from the
    last checkpoint. `SIGTERM` and `SIGINT` to this process are forwarded to all workers, and
    nothing is restarted. The same happens, with `SIGTERM`, if the output cannot be written any
    more, as in `... | head`. If this process dies for any reason, the workers and their child
    processes end, except those that a worker has put into a session of their own.

    From a shell, use `python -m keras_gdx.distribute --workers 2 train.py`.

    Args:
        command: List of the program and its arguments.
        workers: Integer >= 1: number of workers.
        restarts: Integer >= 0: maximum number of restarts of all workers.
        grace: Number >= 0: seconds that a worker has to end after `SIGTERM`.

    Returns:
        The exit code: 0, or that of the worker that failed first in the last attempt (128 plus
        the signal's number if a signal ended it). After a signal to this process: 75 ("try
        again") if any worker exited with 75, otherwise 128 plus the signal's number, which is
        that of `SIGPIPE` if the output could not be written.

    Raises:
        ValueError: If an argument is out of range.
        OSError: On Windows, which lacks POSIX signals and sessions.

    Example:
        >>> import sys
        >>> from keras_gdx.distribute.cluster import launch
        >>> launch([sys.executable, "-c", "import os; print(os.environ['TF_CONFIG'][:10])"], 1)
        [worker 0] {"cluster"
        0

    Verified against: real processes, killed, ignoring signals, and orphaned
    """
    valid = isinstance(command, (list, tuple)) and command and all(map(_is_text, command))
    check(valid, "command", command, "a list of a program and its arguments")
    check_type("workers", workers, PositiveInt)
    check_type("restarts", restarts, NonNegativeInt)
    check_type("grace", grace, NonNegativeFloat)
    if os.name == "nt":
        raise OSError(
            "Workers are started with POSIX signals and sessions, which Windows lacks. Start each "
            "worker yourself, with its TF_CONFIG in the environment."
        )
    with _signals() as received:
        output = Output(received)
        say = functools.partial(output.line, "cluster")
        for attempt in range(restarts + 1):
            with Cluster(command, workers, grace, output) as cluster:
                lost = cluster.wait(received)
                if received:
                    unheard = received[0] == signal.SIGPIPE
                    codes = cluster.stop(signal.SIGTERM if unheard else received[0])
                    say(f"stopped by {signal.Signals(received[0]).name}")
                    return TRY_AGAIN if TRY_AGAIN in codes else 128 + received[0]
                if lost is None:
                    return 0
                code = cluster.running[lost].returncode
                say(f"worker {lost} {_how(code)}; stopping the others")
                cluster.stop(signal.SIGTERM)
            if attempt < restarts:
                say(f"starting all again, {attempt + 1} of {restarts} times")
    return code


class Cluster:
    """One attempt: workers that were started together.

    Args:
        command: List of the program and its arguments.
        count: Number of workers.
        grace: Seconds that they have to end after `SIGTERM`.
        output: Where what they print goes.
    """

    def __init__(self, command: Sequence[str | Path], count: int, grace: float, output: Output):
        self._addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self._command = [sys.executable, str(GUARD), str(grace), *map(str, command)]
        self.running: list[Any] = []
        self._readers: list[threading.Thread] = []
        self._output = output

    def __enter__(self) -> Self:
        for index in range(len(self._addresses)):
            process = self._start(index)
            self.running.append(process)
            arguments = process, f"worker {index}", self._output
            reader = threading.Thread(target=pass_on, args=arguments, daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            process.stdin.close()  # makes the guard end the worker
        for process, reader in zip(self.running, self._readers, strict=True):
            process.wait()
            reader.join()
            process.stdout.close()

    def _start(self, index: int) -> subprocess.Popen[bytes]:
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

    def wait(self, received: list[int]) -> int | None:
        """The index of the first worker that fails; `None` if all succeed or a signal arrives."""
        while not received:
            codes = [process.poll() for process in self.running]
            for index, code in enumerate(codes):
                if code:
                    return index
            if None not in codes:
                return None
            time.sleep(0.02)
        return None

    def stop(self, number: int) -> list[int]:
        """Sends a signal to all workers and waits; returns their exit codes."""
        for process in self.running:
            process.send_signal(number)
        return [process.wait() for process in self.running]


def free_ports(count: int) -> list[int]:
    """`count` free ports of this machine."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Context that yields a list of the signals received for the workers."""
    received: list[int] = []
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


def _how(code: int) -> str:
    """Describes an exit code.

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


def _is_text(value: object) -> bool:
    return isinstance(value, (str, Path))
