"""Reaching a daemon: addresses to connected sockets; ``local:`` starts one."""

from __future__ import annotations

import os
import socket

from procnursery.client.core import daemon_argv
from procnursery.errors import ConnectionFailed
from procnursery.paths import (
    Address,
    LocalAddress,
    TcpAddress,
    UnixAddress,
    parse_address,
    system_socket,
    user_socket,
)

VARIABLE = "PROCNURSERY_HOST"
EMBEDDED_FD = 3


def resolve(address: str | None) -> Address:
    """The address to connect to.

    :param address: None: ``$PROCNURSERY_HOST``, else the system's or the user's daemon if it
        answers, else ``local:``
    :raises ConnectionFailed: it is no address
    """
    text = address or os.environ.get(VARIABLE)
    if text:
        try:
            return parse_address(text)
        except ValueError as error:
            raise ConnectionFailed(str(error)) from None
    for path in (system_socket(), user_socket()):
        candidate = UnixAddress(str(path))
        try:
            _dial_unix(candidate, 1.0).close()
        except OSError:
            continue  # none there, or not for this user: the next
        return candidate
    return LocalAddress()


def dial(address: UnixAddress | TcpAddress, timeout: float) -> socket.socket:
    """A socket that is connected to a daemon.

    :param timeout: seconds
    :raises ConnectionFailed: nobody answers there
    """
    try:
        if isinstance(address, UnixAddress):
            return _dial_unix(address, timeout)
        return _dial_tcp(address, timeout)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectionFailed(
            f"no daemon can be reached at {address}: {reason}. Is procnurseryd running there? "
            f"Start one with: procnurseryd --listen {address}"
        ) from error


def _dial_unix(address: UnixAddress, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock


def _dial_tcp(address: TcpAddress, timeout: float) -> socket.socket:
    sock = socket.create_connection((address.host, address.port), timeout)
    tune_tcp(sock)
    return sock


def tune_tcp(sock: socket.socket) -> None:
    """No delays, and a peer that vanished is noticed within about a minute, tcp(7)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)


def start_embedded() -> tuple[socket.socket, int]:
    """Start a daemon for one connection: (socket, pid). It ends with the connection, and what it
    started with it. It lives in a session of its own, so that a terminal's signals miss it.

    :raises ConnectionFailed: it cannot be started
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    argv = daemon_argv(EMBEDDED_FD)
    try:
        pid = os.posix_spawn(
            argv[0],
            argv,
            os.environb,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), EMBEDDED_FD),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[2, 13, 15, 20],
        )
    except OSError as error:
        ours.close()
        raise ConnectionFailed(f"an embedded daemon cannot be started: {error}") from error
    finally:
        theirs.close()
        os.close(null)
    return ours, pid
