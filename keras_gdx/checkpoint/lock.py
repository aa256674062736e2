"""A lock on a directory, so that two programs do not write to it at the same time.

The holder renews a file, `.lock`, every two seconds, so that others find out soon that it runs. The
lock of a program that has ended without removing it is taken over: at once on the same machine,
after half a minute if it ran on another one.
"""

import errno
import time
from contextlib import contextmanager
from pathlib import Path

from filelock import SoftFileLease, Timeout

NAME = ".lock"
LEASE = 30.0  # seconds after which a lock that is not renewed may be taken over


@contextmanager
def locked(folder, peers):
    """Context in which the processes that train together hold one lock, kept by the first.

    Yields:
        A function that raises `BlockingIOError` if another program has taken the lock over.

    Raises:
        BlockingIOError: If another program holds the lock.
    """
    path = Path(folder) / NAME
    lease = SoftFileLease(
        path, thread_local=False, lease_duration=LEASE, heartbeat_interval=LEASE / 15
    )
    free = peers.index != 0 or _acquire(lease, path)
    if not peers.same(int(free)):
        raise BlockingIOError(
            errno.EWOULDBLOCK,
            f"Another program saves its checkpoints there{_owner(lease, path)}. Wait for its end, "
            "or use another directory. If it does not run any more, its lock ends by itself "
            "within half a minute",
            str(folder),
        )

    def check():
        if lease.compromise is not None:
            raise BlockingIOError(
                errno.EWOULDBLOCK,
                "This program was not heard of for half a minute, and another one has taken over "
                "its directory of checkpoints",
                str(folder),
            )

    try:
        yield check
    finally:
        lease.release()


def _acquire(lease, path):
    """Whether the lock was acquired: it is free, or its holder does not renew it any more."""
    seen = _renewed(path)
    try:
        lease.acquire(timeout=1.5 * LEASE, cancel_check=lambda: _renewed(path) not in (seen, None))
    except Timeout:
        return False
    return True


def _renewed(path):
    """When the lock was renewed; `None` if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _owner(lease, path):
    """Who holds the lock and when it was last renewed, in words."""
    owner, renewed = lease.owner, _renewed(path)
    if owner is None or renewed is None:
        return ""
    age = max(0, round(time.time() - renewed / 1e9))
    return f": process {owner.pid} on {owner.hostname}, last heard of {age} s ago"
