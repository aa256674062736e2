"""One thread that writes, so that training need not wait for the disk."""

from concurrent.futures import ThreadPoolExecutor


class Writer:
    """Runs one job after the other; at most one waits, and errors come back to the caller."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._job = None

    def submit(self, job, *args):
        """Begins a job, once the one before is done."""
        self.wait()
        self._job = self._thread.submit(job, *args)

    def check(self):
        """Raises what the last job has raised, if it is over."""
        if self._job is not None and self._job.done():
            self.wait()

    def wait(self):
        """Waits for the last job, and raises what it has raised."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self):
        """Waits for what is being written."""
        self._thread.shutdown()
