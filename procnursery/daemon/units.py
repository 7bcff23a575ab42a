"""Units for systemd, with the path of this installation, systemd.service(5)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

KINDS = ("service", "socket")
_DIRECTORY = Path(__file__).parents[1] / "units"
_COMMAND = "procnurseryd"
_PACKAGED = f"ExecStart=/usr/bin/{_COMMAND}\n"
"""As it stands in the files, which are right for a package of a distribution."""


class UnitError(Exception):
    """A unit cannot be written; the message says why."""


def unit_text(kind: str, *, user: bool) -> str:
    """The unit file as it is to be installed.

    :param kind: ``service`` or ``socket``
    :param user: for ``systemctl --user``
    :raises UnitError: the path of this installation cannot be expressed in a unit
    """
    directory = _DIRECTORY / "user" if user else _DIRECTORY
    text = (directory / f"{_COMMAND}.{kind}").read_text(encoding="utf-8")
    command = " ".join(quoted(word) for word in _installed_command())
    return text.replace(_PACKAGED, f"ExecStart={command}\n")


def _installed_command() -> list[str]:
    """How this very installation is executed: its script if it has one, else its module."""
    import sysconfig  # slow, and needed for nothing else

    called = Path(os.path.abspath(sys.argv[0]))
    for script in (called, Path(sysconfig.get_path("scripts")) / _COMMAND):
        if script.name == _COMMAND and os.access(script, os.X_OK):
            return [str(script)]
    return [sys.executable, "-P", "-m", "procnursery.daemon"]


def quoted(word: str) -> str:
    """The path of a program as ExecStart= takes it, systemd.service(5) "COMMAND LINES": specifiers
    begin with %, quotes and escapes are those of C. ($ means a variable in arguments only.)

    :raises UnitError: it has line breaks or bytes that are not UTF-8
    """
    if not word.isprintable():
        raise UnitError(f"the path {word!r} cannot be written into a unit; install elsewhere")
    word = word.replace("%", "%%")
    if re.fullmatch(r"[^\s\"'\\;]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
