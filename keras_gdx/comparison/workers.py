"""Processes that make the runs of a comparison, each many in a row."""

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from keras_gdx.comparison.journal import read_settings
from keras_gdx.comparison.plan import Task
from keras_gdx.comparison.run import Run
from keras_gdx.comparison.settings import Settings
from keras_gdx.comparison.trial import Trainer, unmeasured

LOOK = 0.2  # seconds between two looks at what other programs have done
RUNS = 25  # of one process: TensorFlow does not give back all memory of programs it has compiled
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class Here:
    """Makes the runs in this process, one at a time."""

    def __init__(self, settings: Settings):
        self._trainer = Trainer(settings)
        self._run: Run | None = None

    @property
    def is_free(self) -> bool:
        """Whether another task may start."""
        return self._run is None

    def start(self, task: Task) -> None:
        """Makes a run."""
        self._run = self._trainer.run(task)

    def finished(self) -> list[Run]:
        """The runs that have ended since the last call; waits a little if there are none."""
        if self._run is None:
            time.sleep(LOOK)
            return []
        run, self._run = self._run, None
        return [run]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        """There is nothing to end."""


class Pool:
    """Processes that make runs. One that crashes or hangs is replaced.

    Args:
        settings: The settings of the comparison.
        folder: Where these can be read.
        count: Integer >= 1, the number of processes.
        timeout: Seconds after which a run is ended, or `None`.
    """

    def __init__(self, settings: Settings, folder: str, count: int, timeout: float | None):
        self._settings = settings
        self._folder = folder
        self._count = count
        self._timeout = timeout
        self._workers: list[Worker] = []

    @property
    def is_free(self) -> bool:
        """Whether another task may start."""
        return len(self._workers) < self._count or any(w.task is None for w in self._workers)

    def start(self, task: Task) -> None:
        """Gives a task to a process that has none, or to a new one."""
        idle = next((w for w in self._workers if w.task is None), None)
        if idle is None:
            idle = Worker(self._folder, max(1, (os.cpu_count() or 1) // self._count))
            self._workers.append(idle)
        idle.give(task)

    def finished(self) -> list[Run]:
        """The runs that have ended since the last call; waits a little if there are none.

        Raises:
            ValueError: If a process finds that the settings cannot be used.
            RuntimeError: If a process ends before it can work.
        """
        busy = [w for w in self._workers if w.task]
        self._workers = [w for w in self._workers if w.task or w.process.is_alive()]
        wait([x for w in busy for x in (w.connection, w.process.sentinel)], LOOK)
        runs = [run for worker in busy if (run := self._listen(worker))]
        for worker in [w for w in self._workers if not w.task and w.runs >= RUNS]:
            worker.end()
            self._workers.remove(worker)
        return runs

    def _listen(self, worker: "Worker") -> Run | None:
        with suppress(EOFError, ConnectionError):
            if worker.connection.poll():
                return worker.receive()
        task = worker.task
        if task is None:
            return None
        if not worker.process.is_alive():
            self._workers.remove(worker)
            return unmeasured(self._settings, task, "crashed", worker.last_words())
        if self._timeout and worker.busy_for > self._timeout:
            worker.end()
            self._workers.remove(worker)
            message = f"not finished after {self._timeout:g} s"
            return unmeasured(self._settings, task, "timed out", message)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        for worker in self._workers:
            worker.end()


class Worker:
    """A process that makes one run after the other, and ends with its parent.

    Args:
        folder: Where the settings of the comparison can be read.
        threads: The number of threads for an operation.
    """

    def __init__(self, folder: str, threads: int):
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, folder, threads))
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.runs = 0
        self._is_ready = False
        self._since = time.monotonic()

    def give(self, task: Task) -> None:
        """Sends a task."""
        self.task, self._since = task, time.monotonic()
        self.connection.send(task)

    def receive(self) -> Run | None:
        """A run, unless the process says that it is ready.

        Raises:
            ValueError: If it says that it cannot work with the settings.
        """
        said = self.connection.recv()
        if isinstance(said, Run):
            self.task, self.runs = None, self.runs + 1
            return said
        if said is not None:
            raise ValueError(f"The comparison cannot begin: {said}")
        self._is_ready, self._since = True, time.monotonic()
        return None

    @property
    def busy_for(self) -> float:
        """Seconds since it began its task, not counting the start of the process."""
        return time.monotonic() - self._since if self._is_ready else 0.0

    def last_words(self) -> str:
        """How the process ended.

        Raises:
            RuntimeError: If it could not begin.
        """
        self.process.join()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if not self._is_ready:
            raise RuntimeError(
                f"A process of the comparison ended with {how} before it could work. A program "
                'that calls `compare` needs `if __name__ == "__main__":` around that; workers=0 '
                "runs everything in this process."
            )
        return f"the process ended with {how}"

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, folder: str, threads: int) -> None:
    """What a process does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the parent takes care
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that every run compiles
    for name in THREADS:
        os.environ.setdefault(name, str(threads))
    try:
        trainer = Trainer(read_settings(folder))
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        return
    gc.freeze()  # each run collects garbage first: not in what has been imported
    connection.send(None)
    with suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            connection.send(trainer.run(connection.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
