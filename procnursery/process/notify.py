"""Notifications of readiness by the protocol of sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import struct

import trio

MAX_MESSAGE = 65_536
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: unix(7), SCM_CREDENTIALS


class NotifySocket:
    """Where one process's tree sends its notifications.

    The socket has a random abstract name, so that every user can reach it, whatever the modes of
    the daemon's directories are; the kernel tells who sent a datagram, and one of a stranger is
    ignored.

    :param owner: uid of the process; besides it only root is heard
    :raises OSError: no descriptor is left
    """

    def __init__(self, owner: int) -> None:
        self._allowed = {0, owner, os.geteuid()}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._name = f"procnursery/notify/{secrets.token_hex(16)}"
            self._socket.bind(f"\0{self._name}")
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        except BaseException:
            self._socket.close()
            raise

    @property
    def variable(self) -> bytes:
        """The value of NOTIFY_SOCKET."""
        return f"@{self._name}".encode()

    async def wait_ready(self) -> None:
        """Wait for a datagram with the line ``READY=1``."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            with contextlib.suppress(BlockingIOError):
                if self._is_ready(*self._socket.recvmsg(MAX_MESSAGE, 1024)[:2]):
                    return

    def _is_ready(self, data: bytes, ancillary: list[tuple[int, int, bytes]]) -> bool:
        senders = set()
        for level, kind, payload in ancillary:
            if level != socket.SOL_SOCKET:
                continue
            if kind == socket.SCM_CREDENTIALS:
                senders.add(_CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[1])
            elif kind == socket.SCM_RIGHTS:  # FDSTORE and BARRIER are not offered here
                for index in range(0, len(payload) - 3, 4):
                    os.close(struct.unpack_from("i", payload, index)[0])
        return senders <= self._allowed and bool(senders) and b"READY=1" in data.split(b"\n")

    def close(self) -> None:
        """Give up the socket."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
