"""What the command itself prints: a failure to do so is one exception, whoever prints."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any


class OutputFailed(Exception):
    """The command's own standard output cannot be written.

    Not an OSError, so that nobody on the way takes it for something else.

    :ivar reader_gone: whether only its reader has left
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"output cannot be written: {error_text(error)}")
        self.reader_gone = error.errno in (errno.EPIPE, errno.ECONNRESET)


def error_text(error: OSError) -> str:
    """``ENOSPC (No space left on device)``"""
    name = errno.errorcode.get(error.errno or 0)
    reason = error.strerror or str(error)
    return reason if name is None else f"{name} ({reason})"


class _Stdout(io.FileIO):
    """Descriptor 1."""

    muted = False

    def write(self, data: Any) -> int:
        """Write some; waits where somebody has made the descriptor non-blocking."""
        if self.muted:
            return len(data)
        while True:
            try:
                count = super().write(data)
            except OSError as error:
                raise OutputFailed(error) from error
            if count is not None:  # None: EAGAIN
                return count
            _wait_writable(self.fileno())


class _Stderr(io.FileIO):
    """Descriptor 2. What cannot be complained about there can be complained about nowhere, and
    must not change what the command does or its exit status."""

    def write(self, data: Any) -> int:
        """Write some, or nothing."""
        while True:
            try:
                count = super().write(data)
            except OSError:
                return len(data)
            if count is not None:  # None: EAGAIN
                return count
            _wait_writable(self.fileno())


def _wait_writable(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()


def guard_output() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that fail as described above.

    A daemon's output has to be looked at by its bytes, so they do not stop at odd text either.
    """
    sys.stdout = _text(_Stdout(1, "w", closefd=False), sys.stdout, line_buffering=os.isatty(1))
    sys.stderr = _text(_Stderr(2, "w", closefd=False), sys.stderr, line_buffering=True)


def _text(raw: io.FileIO, like: Any, *, line_buffering: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=line_buffering,
    )


def mute() -> None:
    """Nothing more can be printed; Python, which flushes at its end, need not try again."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    assert isinstance(raw, _Stdout)
    raw.muted = True
