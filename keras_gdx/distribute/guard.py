"""Runs a command, and ends it and its child processes when the parent process is gone.

Usage: `python guard.py GRACE COMMAND...`, with a pipe from the parent as standard input; it closes
when the parent ends. The file imports only the standard library and is run by its path, so that
it starts without TensorFlow. SIGTERM and SIGINT are forwarded; what has not ended `GRACE` seconds
later is killed. The exit code is the command's, or 128 plus the number of the signal that ended
it.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

HANDED_ON = (signal.SIGTERM, signal.SIGINT)


def block():
    """Blocks the forwarded signals. Call it before a guard is started."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)


def unblock():
    """Unblocks the forwarded signals."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)


def main(grace, *command):
    """Runs the command; returns the exit code."""
    block()  # a signal before the command runs would end the guard, but not the command
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=unblock
    )

    def kill():
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    def stop(number=signal.SIGTERM, _=None):
        child.send_signal(number)
        timer = threading.Timer(float(grace), kill)
        timer.daemon = True
        timer.start()

    def watch():
        while os.read(0, 1):
            pass
        stop()

    for number in HANDED_ON:
        signal.signal(number, stop)
    unblock()
    threading.Thread(target=watch, daemon=True).start()
    code = None
    while code is None:  # a signal just before a wait without end would not interrupt it
        with suppress(subprocess.TimeoutExpired):
            code = child.wait(1)
    kill()  # processes that the command left running
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
