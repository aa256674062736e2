"""Runs a command, and ends it with all that it has started when nobody waits for it any more.

`python guard.py GRACE COMMAND...`, with a pipe as standard input that closes when its other end
is gone. Needs Python only, and is run by its path: a guard that imports TensorFlow is no guard.
SIGTERM and SIGINT are handed on. What has not ended `GRACE` seconds after that is killed. The exit
code is that of the command, or 128 and the signal that has ended it.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

HANDED_ON = (signal.SIGTERM, signal.SIGINT)


def block():
    """Lets the signals that are handed on wait. To be done before a guard is started."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)


def unblock():
    """Lets them come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)


def main(grace, *command):
    """Runs the command; returns the exit code."""
    block()  # until somebody is there to be told: a signal now would end this, and not the command
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
    code = child.wait()
    kill()  # what it has left behind
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
