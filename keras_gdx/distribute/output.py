"""The output of several workers, on the standard output of one process."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

PIPE = 1 << 16  # bytes that a pipe holds at most
LONGEST = 1 << 16  # bytes; a longer line is printed in pieces


class Output:
    """Standard output, written line by line by several writers, whose names begin the lines.

    A line that its writer goes on overwriting, such as a progress bar, is shown at once and stays
    open. It ends when another writer has something to say.

    Args:
        received: List of signals. If nobody can read the output any more, `SIGPIPE` is appended;
            what is written from then on is lost.
    """

    def __init__(self, received: list[int]):
        self._received = received
        self._lock = threading.Lock()
        self._open: tuple[str, str] | None = None  # the writer and the text of an open line

    def show(self, who: str, text: str) -> None:
        """Writes a line that will be overwritten."""
        if text.strip():
            self._write(who, text, "")

    def line(self, who: str, text: str) -> None:
        """Writes a line, or what an open line becomes; no text leaves that as it is."""
        self._write(who, text, "\n")

    def _write(self, who: str, text: str, end: str) -> None:
        with self._lock:
            writer, before = self._open or (None, None)
            begin = "" if writer is None else "\r" if writer == who else "\n"
            same = writer == who and text in ("", before)
            whole = end if same else f"{begin}[{who}] {text}{end}"
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            try:
                print(whole.encode(encoding, "replace").decode(encoding), end="", flush=True)
            except OSError:
                self._received.append(signal.SIGPIPE)
                with suppress(OSError):  # nothing more is written to where it fails
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._open = None if end else (who, text)


def pass_on(process: subprocess.Popen[bytes], who: str, output: Output) -> None:
    """Writes what a process prints to `output`, until the process ends."""
    rest = b""  # the line that has not ended, from its last "\r" on
    shown = None  # what it was when it was shown last

    def show(texts: list[bytes]) -> None:
        nonlocal shown
        for text in texts:
            if text != shown:
                output.show(who, _decoded(text))
            shown = text

    for chunk in _chunks(process):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            *passing, last = line.removesuffix(b"\r").split(b"\r")
            show(passing)
            output.line(who, _decoded(last))
            shown = None
        *passing, rest = rest.split(b"\r")
        if passing or shown is not None:
            show([*passing, rest])
        if len(rest) > LONGEST:
            output.line(who, _decoded(rest))
            rest, shown = b"", None
    if rest or shown is not None:
        output.line(who, _decoded(rest))


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What a process writes; processes that outlive it may hold its pipe open."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    readable = select.poll()
    readable.register(pipe, select.POLLIN)
    while process.poll() is None:
        if readable.poll(100):
            yield (chunk := os.read(pipe, PIPE))
            if not chunk:
                return
    if readable.poll(0):  # all that the process has left there
        yield os.read(pipe, PIPE)


def _decoded(text: bytes) -> str:
    return text.decode(errors="replace")
