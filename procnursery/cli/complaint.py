"""What every command says and returns when procnursery itself fails."""

from __future__ import annotations

import os
import signal
import sys

FAILURE = 255


def complain(message: str, *, raw: bool = False) -> None:
    """One line on stderr.

    :param raw: it may be a terminal in raw mode, which begins a line only at a carriage return
    """
    end = "\r\n" if raw else "\n"
    print(f"procnursery: {message}", end=end, file=sys.stderr, flush=True)


def reader_gone() -> int:
    """Whoever read our output has left: end as SIGPIPE would, without a further word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 128 + signal.SIGPIPE
