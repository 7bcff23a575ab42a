"""What every command says and returns when procnursery itself fails."""

from __future__ import annotations

import errno
import re
import sys

from procnursery.errors import ProcnurseryError, RequestError

FAILURE = 255
EXHAUSTED = (
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
    *(errno.ENOSPC, errno.EDQUOT, errno.ENOBUFS),
)
"""What a machine or its limits may lack at any time; everything else that nobody expected is a
defect."""


def complain(message: str, *, raw: bool = False) -> None:
    """One line on stderr.

    :param raw: it may be a terminal in raw mode, which begins a line only at a carriage return
    """
    end = "\r\n" if raw else "\n"
    print(f"procnursery: {message}", end=end, file=sys.stderr, flush=True)


def explain_error(error: ProcnurseryError) -> str:
    """A line for people, who have given options and know nothing of fields."""
    if isinstance(error, RequestError) and error.code == "invalid_params":
        path = str(error.data.get("path") or "")
        problem = error.message.removeprefix(f"{path}: ")
        return f"{_option(path)}: {problem}" if path else problem
    return str(error)


def _option(path: str) -> str:
    """How a field of a spec is given on the command line."""
    name, _, detail = path.removeprefix("spec.").partition(".")
    name = re.sub(r"\[\d+\]", "", name)
    if name in ("argv", "executable"):
        return "the program and its arguments"
    if name == "ready":
        return {"address": "--ready-connect", "pattern": "--ready-output"}.get(detail, "--ready-…")
    option = "--" + {"rlimits": "rlimit", "labels": "label"}.get(name, name).replace("_", "-")
    return f"{option} {detail}" if detail and name in ("rlimits", "labels") else option
