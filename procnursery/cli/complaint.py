"""What every command says and returns when procnursery itself fails."""

from __future__ import annotations

import sys

FAILURE = 255


def complain(message: str, *, raw: bool = False) -> None:
    """One line on stderr.

    :param raw: it may be a terminal in raw mode, which begins a line only at a carriage return
    """
    end = "\r\n" if raw else "\n"
    print(f"procnursery: {message}", end=end, file=sys.stderr, flush=True)
