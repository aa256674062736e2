"""Writes in a background thread, so that training need not wait for the disk."""

from concurrent.futures import ThreadPoolExecutor


class Writer:
    """Runs one job at a time; its errors are raised by the next call of a method."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._job = None

    def submit(self, job, *args):
        """Starts a job after the previous one is done."""
        self.wait()
        self._job = self._thread.submit(job, *args)

    def check(self):
        """Raises the error of the last job, if it has ended."""
        if self._job is not None and self._job.done():
            self.wait()

    def wait(self):
        """Waits for the last job, and raises its error."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self):
        """Waits for the running job, and ends the thread."""
        self._thread.shutdown()
