"""The end of a daemon that its machine does not let work: said in one line, to whom it concerns."""

from __future__ import annotations

import errno
import resource
import socket
import sys

from procnursery.process.record import errno_name
from procnursery.protocol.goodbye import goodbye_frame
from procnursery.spawner.proxy import SpawnerUnavailable

_LACK = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.ENOSPC)


class OutOfResources(Exception):
    """The daemon ended since the machine or its own limits allow no more; not a defect."""


def what_is_lacking(error: BaseException) -> str | None:
    """What the machine did not give, if nothing else is the cause of ``error``; else None."""
    if isinstance(error, BaseExceptionGroup):
        causes = [what_is_lacking(one) for one in error.exceptions]
        return causes[0] if causes and None not in causes else None
    if isinstance(error, SpawnerUnavailable):
        return str(error)
    if isinstance(error, OSError) and error.errno in _LACK:
        return f"{errno_name(error.errno)} ({error.strerror}){_hint(error.errno)}"
    return None


def _hint(number: int) -> str:
    if number == errno.EMFILE:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f": this process may have {soft}; raise the limit (ulimit -n, LimitNOFILE=)"
    if number == errno.ENFILE:
        return ": all processes of this machine together; see fs.file-max"
    if number == errno.EAGAIN:
        return ": too many processes (ulimit -u, TasksMax=), or too much locked memory"
    return ""


def give_up(message: str, embedded: socket.socket | None) -> None:
    """Say why the daemon ends: to its one client, or else on stderr."""
    if embedded is not None and embedded.fileno() >= 0:
        try:
            embedded.send(goodbye_frame("internal", message), socket.MSG_DONTWAIT)
        except OSError as error:
            message = f"{message}; the client could not be told: {error}"
        else:
            return
    print(f"procnurseryd: {message}", file=sys.stderr)
