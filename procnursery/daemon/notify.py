"""What the service manager is told, sd_notify(3)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import MutableMapping

import trio

log = logging.getLogger(__name__)

VARIABLE = "NOTIFY_SOCKET"
PATIENCE = 5.0
"""Seconds that a message waits for room in the manager's queue."""


class Manager:
    """The service manager, or nobody.

    :param address: a path, or ``@`` and an abstract name; None: nobody is to be told
    """

    def __init__(self, address: str | None) -> None:
        self._address = address

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Manager:
        """The one that ``NOTIFY_SOCKET`` names. The variable is removed: a program must not speak
        in the daemon's name."""
        return cls(environ.pop(VARIABLE, None) or None)

    async def tell_ready(self, status: str) -> None:
        """Connections are served, with the configuration that was asked for."""
        await self._tell(READY=1, MAINPID=os.getpid(), STATUS=status)

    async def tell_reloading(self) -> None:
        """A reload has begun; :meth:`tell_ready` ends it."""
        now = time.monotonic_ns() // 1000
        await self._tell(RELOADING=1, MONOTONIC_USEC=now, STATUS="Reading the configuration")

    async def tell_stopping(self, status: str, within: float) -> None:
        """The daemon ends.

        :param within: seconds that this takes at most: the manager waits so long, also when its
            own limit (``TimeoutStopSec=``) is shorter
        """
        await self._tell(STOPPING=1, STATUS=status, EXTEND_TIMEOUT_USEC=int(within * 1_000_000))

    async def _tell(self, **fields: object) -> None:
        """Send one datagram. When that fails, it is logged and the daemon goes on: to serve is
        worth more than to be seen serving."""
        if self._address is None:
            return
        lines = (f"{key}={' '.join(str(value).split())}" for key, value in fields.items())
        try:
            with trio.fail_after(PATIENCE):
                await _send("\n".join(lines).encode(errors="replace"), self._address)
        except (OSError, ValueError, trio.TooSlowError) as error:
            log.warning(
                "the service manager cannot be told",
                extra={"socket": self._address, "what": next(iter(fields)), "error": str(error)},
            )


async def _send(message: bytes, address: str) -> None:
    if address[0] not in "/@":
        raise ValueError(f"{VARIABLE} must begin with / or @")
    name = os.fsencode(address)
    if address[0] == "@":
        name = b"\0" + name[1:]
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(name)
        await sock.send(message)
