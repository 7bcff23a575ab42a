"""A locked file beside a Unix socket: one daemon at a time decides what becomes of its name.

The file is removed by whoever holds its lock, so another daemon can come to hold the lock of a file
that has just lost its name; it looks again then. After SIGKILL the file stays and is used anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

SUFFIX = ".procnursery-lock"


def lock_socket(path: Path) -> int:
    """Lock the name ``path`` against every other daemon: the descriptor that holds the lock.

    :raises OSError: EADDRINUSE: another daemon holds it; or the file cannot be made
    """
    name = f"{path}{SUFFIX}"
    while True:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _has_name(lock, name):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise OSError(errno.EADDRINUSE, "a live daemon listens there") from None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # its holder removed it between open and flock


def unlock_socket(path: Path, lock: int) -> None:
    """Give up the lock, and remove its file first, while nobody else can hold it."""
    name = f"{path}{SUFFIX}"
    try:
        if _has_name(lock, name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    finally:
        os.close(lock)


def _has_name(lock: int, name: str) -> bool:
    try:
        named = os.stat(name, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(lock), named)
