"""The daemon's command line, as somebody types it."""

from __future__ import annotations

import os
import subprocess
import sys

COMMAND = (sys.executable, "-P", "-m", "procnursery.daemon")


def procnurseryd(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected not to start."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | environment,
        check=False,
    )
