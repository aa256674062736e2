"""Writes in a background thread, so that training need not wait for the disk."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Writer:
    """Runs one job at a time; its errors are raised by the next call of a method."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._job: Future[Any] | None = None

    def submit(self, job: Callable[..., Any], *args: Any) -> None:
        """Starts a job after the previous one is done."""
        self.wait()
        self._job = self._thread.submit(job, *args)

    def check(self) -> None:
        """Raises the error of the last job, if it has ended."""
        if self._job is not None and self._job.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the last job, and raises its error."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self) -> None:
        """Waits for the running job, and ends the thread."""
        self._thread.shutdown()
