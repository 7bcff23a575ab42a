"""What a process has from whoever started it: descriptors 0 to 2, environment, umask.

Python changes some of it before the first line of a program runs; programs that are started for
somebody else are to get it as it was.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HOST_VARIABLE = "PROCNURSERY_HOST"
"""Names the daemon that commands and clients use, unless they are told of another."""
_CTYPE = b"LC_CTYPE"
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")
"""What Python sets LC_CTYPE to where the locale is C, PEP 538."""
_LEGACY = (None, b"", b"C", b"POSIX")


def fill_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed, so that no file or socket gets such a number and
    then whatever is written to "stdout" or "stderr"."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
            os.set_inheritable(opened, True)
            setattr(sys, name, open(opened, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115


def undo_locale_coercion() -> None:
    """Give the environment the LC_CTYPE back that it had at exec. For the beginning of a program,
    when only Python itself can have changed it; Python's own locale stays as it is."""
    at_exec = _ctype_at_exec()
    if os.environb.get(_CTYPE) in _COERCED and at_exec != os.environb[_CTYPE]:
        if at_exec is None:
            del os.environb[_CTYPE]
        else:
            os.environb[_CTYPE] = at_exec


def environment() -> dict[bytes, bytes]:
    """This process's environment with all that its program has changed, but without what Python
    has."""
    values = dict(os.environb)
    if values.get(_CTYPE) in _COERCED and (at_exec := _ctype_at_exec()) in _LEGACY:
        if at_exec is None:
            del values[_CTYPE]
        else:
            values[_CTYPE] = at_exec
    return values


def _ctype_at_exec() -> bytes | None:
    """LC_CTYPE as execve(2) was given it; the present one where that cannot be read."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environb.get(_CTYPE)
    start = _CTYPE + b"="
    return next((one[len(start) :] for one in entries if one.startswith(start)), None)


def current_umask() -> int:
    """The umask, without changing it for a moment as umask(2) does: other threads make files."""
    for line in Path("/proc/self/status").read_text(errors="replace").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    mask = os.umask(0o077)  # before Linux 4.7
    os.umask(mask)
    return mask
