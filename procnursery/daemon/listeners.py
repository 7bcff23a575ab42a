"""Sockets to listen on, and who may come through them."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pwd
import socket
import stat
import struct
from pathlib import Path

import attrs

from procnursery.daemon.socketlock import lock_socket, unlock_socket
from procnursery.paths import TcpAddress, UnixAddress, system_socket, user_socket

log = logging.getLogger(__name__)

BACKLOG = 1024
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 30, 10, 3
USER_TIMEOUT_MS = 60_000
"""A peer that vanished without a word is noticed within about a minute, tcp(7)."""


class ListenError(Exception):
    """An address cannot be listened on; the message says why and what to do."""


@attrs.define
class Listener:
    """A listening socket.

    :ivar address: as clients write it; with the real port
    :ivar path: file of a Unix socket that the daemon has made; None: TCP, or it is another's
    :ivar lock: descriptor that locks the name ``path``; -1: none
    """

    socket: socket.socket
    address: str
    path: Path | None
    lock: int

    def admit_others(self, others: bool) -> None:
        """Let the file of a Unix socket admit only its owner, or everybody, who is then judged
        by :func:`peer_of_unix`.

        :raises OSError: the file is gone
        """
        if self.path is not None:
            self.path.chmod(0o666 if others else 0o600)
            directory = self.path.parent
            if others and not directory.stat().st_mode & stat.S_IXOTH:
                log.warning(
                    "the directory of a socket keeps other users out",
                    extra={"directory": directory, "mend": f"chmod o+x {directory}"},
                )

    def close(self) -> None:
        """Stop listening; a Unix socket's name goes, too. A second call does nothing."""
        path, self.path = self.path, None
        if path is not None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        self.socket.close()
        if path is not None and self.lock >= 0:
            unlock_socket(path, self.lock)
            self.lock = -1


def listen(address: UnixAddress | TcpAddress, *, open_to_others: bool) -> list[Listener]:
    """Listen on an address (a host name may stand for several).

    :param open_to_others: other users than root and the own one may connect to a Unix socket;
        who of them is let in is decided by :func:`peer_of_unix`
    :raises ListenError: it is in use by a live daemon, or cannot be had
    """
    try:
        if isinstance(address, UnixAddress):
            return [_listen_unix(Path(address.path), open_to_others)]
        return _listen_tcp(address)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {_hint(error)}") from error


def _hint(error: OSError) -> str:
    text = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{text}; stop what listens there, or choose another with --listen"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{text}; make its directory, or choose another with --listen"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{text}; choose a place that this user may write to with --listen"
    if error.errno == errno.EEXIST:
        return f"{text}; choose another name with --listen"
    return text


def _listen_unix(path: Path, open_to_others: bool) -> Listener:
    """A stale socket, which nobody answers, is taken over; a live one never is. The lock beside
    it keeps two daemons from both finding it stale."""
    if path in (system_socket(), user_socket()):  # no directory is made that nobody asked for
        path.parent.mkdir(mode=0o755 if open_to_others else 0o700, exist_ok=True)
    _check_name(path)
    lock = lock_socket(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound = False
    try:
        _remove_stale(path)
        # No window in which others may connect: the mode is right from the beginning.
        before = os.umask(0o111 if open_to_others else 0o177)
        try:
            listening.bind(str(path))
            bound = True
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        if bound:
            path.unlink()
        listening.close()
        unlock_socket(path, lock)
        raise
    return Listener(listening, str(UnixAddress(str(path))), path, lock)


def _check_name(path: Path) -> None:
    """Before anything is made beside it: the name can be a socket's."""
    if path.is_dir():
        raise OSError(errno.EEXIST, "that is a directory")
    if os.path.lexists(path) and not path.is_socket():
        raise OSError(errno.EEXIST, "there is a file of that name that is not a socket")


def _remove_stale(path: Path) -> None:
    if not os.path.lexists(path):
        return
    _check_name(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, "something alive listens there")


def _listen_tcp(address: TcpAddress) -> list[Listener]:
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners: list[Listener] = []
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                listening.bind(where)
                listening.listen(BACKLOG)
            except OSError as error:
                listening.close()
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    continue  # localhost names ::1 also where IPv6 is off
                raise
            listening.setblocking(False)
            host, port = listening.getsockname()[:2]
            listeners.append(Listener(listening, str(TcpAddress(host, port)), None, -1))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


class NotAuthorized(Exception):
    """The peer may not connect here."""


def peer_of_unix(connection: socket.socket, allowed: frozenset[int]) -> str:
    """Identity of the process that connected, from SO_PEERCRED, unix(7).

    :raises NotAuthorized: it is neither of root, nor of the daemon's user, nor of one allowed
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _gid = struct.unpack("iII", credentials)
    if uid not in allowed | {0, os.geteuid()}:
        raise NotAuthorized(f"uid {uid} may not use this daemon; see allow_users")
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return f"unix:{name}({uid}),pid={pid}"


def peer_of_tcp(connection: socket.socket) -> str:
    """Identity of a TCP peer, which is only its address; sets what keeps the line honest."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    host, port = connection.getpeername()[:2]
    return f"tcp:{host}:{port}"
