"""psutil, its failures being ours. Importing this imports psutil."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psutil

from procnursery.host.reading import Absent

T = TypeVar("T")


def ask(read: Callable[[], T]) -> T:
    """Call a function of psutil.

    :raises OSError: a file cannot be read
    :raises Absent: the machine has no such thing, or psutil does not understand what a file says,
        for which it has no exception of its own: an empty /proc/stat is a TypeError
    """
    try:
        return read()
    except (psutil.Error, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise Absent(f"psutil cannot tell: {type(error).__name__} {error}".strip()) from error
