"""What the machine, or a limit of this process, lacks for a daemon to start: no defect of it."""

from __future__ import annotations

import errno
import os
import resource

_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.ENOSPC)


def shortage(error: BaseException) -> str | None:
    """What is lacking and what to do; None: the error, or one of a group, is something else."""
    if isinstance(error, BaseExceptionGroup):
        texts = [shortage(one) for one in error.exceptions]
        return None if None in texts else texts[0]
    if not isinstance(error, OSError) or error.errno not in _SHORT:
        return None
    text = os.strerror(error.errno)
    if error.errno == errno.EMFILE:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"{text}: this process may have {soft}; raise the limit (ulimit -n, LimitNOFILE=)"
    if error.errno == errno.ENFILE:
        return f"{text}: all processes of this machine together; see fs.file-max"
    if error.errno == errno.EAGAIN:
        return f"{text}: too many processes (ulimit -u, TasksMax=), or too much locked memory"
    return text
