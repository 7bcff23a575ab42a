"""Reaching a daemon: addresses to connected sockets; ``local:`` starts one."""

from __future__ import annotations

import errno
import fcntl
import os
import socket

from procnursery import inherited
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

EMBEDDED_FD = 3


def resolve(address: str | None) -> Address:
    """The address to connect to.

    :param address: None: ``$PROCNURSERY_HOST``, else the system's or the user's daemon if it
        answers, else ``local:``
    :raises ConnectionFailed: it is no address
    """
    text = address or os.environ.get(inherited.HOST_VARIABLE)
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
            f"no daemon can be reached at {address}: {reason}. {_advice(address, error)}"
        ) from error


def _advice(address: UnixAddress | TcpAddress, error: OSError) -> str:
    """What helps where a daemon cannot be reached."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "Its socket admits root and the daemon's own user only, unless allow_users in the "
            "daemon's configuration names others"
        )
    if isinstance(address, UnixAddress):
        return f"Is procnurseryd running? Start one with: procnurseryd --listen {address}"
    if address.is_loopback:
        return (
            f"Is procnurseryd running? Start one with: procnurseryd --insecure --listen {address}"
        )
    return "procnurseryd listens on TCP on its own machine's loopback only: log in there"


def why_none_answers() -> str:
    """What was found at the default sockets, at which no daemon answers."""
    found = []
    for path in dict.fromkeys((system_socket(), user_socket())):
        candidate = UnixAddress(str(path))
        try:
            _dial_unix(candidate, 1.0).close()
        except OSError as error:
            hint = "; allow_users in its daemon's configuration admits users"
            found.append(
                f"{candidate}: {error.strerror or error}"
                + (hint if error.errno in (errno.EACCES, errno.EPERM) else "")
            )
    return ", ".join(found)


def _dial_unix(address: UnixAddress, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address.path)
        return _above_standard(sock)
    finally:
        if sock.fileno() >= 0:
            sock.close()


def _dial_tcp(address: TcpAddress, timeout: float) -> socket.socket:
    with socket.create_connection((address.host, address.port), timeout) as connected:
        sock = _above_standard(connected)
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
    argv = daemon_argv(EMBEDDED_FD)
    try:
        ours, theirs = _socketpair()
    except OSError as error:
        raise ConnectionFailed(f"an embedded daemon cannot be started: {error}") from error
    try:
        pid = os.posix_spawn(
            argv[0],
            argv,
            inherited.environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), EMBEDDED_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
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
    return ours, pid


def _socketpair() -> tuple[socket.socket, socket.socket]:
    """Two sockets whose numbers are above those of stdin, stdout and stderr: whoever calls may
    have closed these, and what anybody writes there is not to go to the daemon."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        first, second = (_above_standard(one) for one in pair)
    finally:
        for one in pair:
            one.close()
    return first, second


def _above_standard(sock: socket.socket) -> socket.socket:
    if sock.fileno() > 2:
        return socket.socket(fileno=sock.detach())
    return socket.socket(fileno=fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 3))
