"""The command as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

TIMEOUT = 60.0
COMMAND = (sys.executable, "-P", "-m", "procnursery.cli")


def environment(**more: str) -> dict[str, str]:
    """This environment without what chooses a daemon."""
    env = {key: value for key, value in os.environ.items() if key != "PROCNURSERY_HOST"}
    return env | more


def unmeasured(**more: str) -> dict[str, str]:
    """The same, for a command that could not write what a measurement of coverage collects."""
    return {k: v for k, v in environment(**more).items() if k != "COVERAGE_PROCESS_START"}


def procnursery(
    *arguments: str | bytes,
    host: str = "local:",
    input: bytes | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    options.setdefault("env", environment())
    if input is None:
        options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [*COMMAND, "-H", host, *arguments],
        input=input,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        **options,
    )


def spawn(
    *arguments: str, host: str = "local:", prefix: Sequence[str] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """Start the command."""
    options.setdefault("env", environment())
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen([*prefix, *COMMAND, "-H", host, *arguments], **options)
