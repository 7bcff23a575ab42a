"""What every command says and returns when procnursery itself fails."""

from __future__ import annotations

import os
import signal
import sys

FAILURE = 255


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"procnursery: {message}", file=sys.stderr, flush=True)


def reader_gone() -> int:
    """Whoever read our output has left: end as SIGPIPE would, without a further word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 128 + signal.SIGPIPE
