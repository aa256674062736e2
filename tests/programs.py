"""Python programs in real processes, forked from one that has imported TensorFlow.

To import it takes three seconds of processor time, as long as most of these programs run.
"""

import atexit
import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRELOADED = ["tensorflow", "keras"]  # importing them starts no thread of TensorFlow

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(PRELOADED)


class Program:
    """`python ARGUMENTS` in `folder`, with these environment variables besides."""

    def __init__(self, *arguments, folder=ROOT, **environment):
        self._streams = [tempfile.NamedTemporaryFile("w+") for _ in range(2)]  # noqa: SIM115
        names = [stream.name for stream in self._streams]
        words = [str(word) for word in arguments]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
        args = words, environment, folder, names
        self._process = forks.Process(target=run, args=args, daemon=True)
        self._process.start()
        self.pid, self.kill = self._process.pid, self._process.kill

    def send_signal(self, number):
        if self._process.is_alive():
            os.kill(self.pid, number)

    def poll(self):
        """The exit code, or `None` as long as it runs."""
        return self._process.exitcode

    def wait(self, seconds=240):
        """The exit code; after this time the program is killed, and `TimeoutError` raised."""
        self._process.join(seconds)
        if self.poll() is None:
            self.kill()
            raise TimeoutError(f"it has not ended after {seconds} s:\n{self.errors()[-3000:]}")
        return self.poll()

    def output(self):
        return _whole(self._streams[0])

    def errors(self):
        return _whole(self._streams[1])


def _whole(stream):
    stream.seek(0)
    return stream.read()


def run(words, environment, folder, streams):
    """Becomes that program."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, name in enumerate(streams, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    kind, *rest = words
    try:
        if kind == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            exec(rest[0], {"__name__": "__main__"})
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(kind).parent))
            runpy.run_path(kind, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # a forked process does not call them
