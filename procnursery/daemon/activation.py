"""Sockets that a service manager has opened before the daemon was executed, sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import PurePath

import attrs

from procnursery.daemon.config import Config
from procnursery.daemon.listeners import Listener, ListenError
from procnursery.paths import TcpAddress, UnixAddress

FIRST_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
_VARIABLES = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")


@attrs.frozen
class Given:
    """One descriptor as it was given; what it is has not been looked at.

    :ivar name: ``FileDescriptorName=`` of the socket unit
    """

    fd: int
    name: str

    def __str__(self) -> str:
        return f"descriptor {self.fd} ({self.name}) from the service manager"


def take_descriptors(environ: MutableMapping[str, str]) -> list[Given]:
    """The descriptors that were given to this very process; none is a usual answer.

    The variables are removed in any case, and the descriptors are made close-on-exec, so that
    nothing that the daemon executes takes them for its own.

    :raises ListenError: the variables contradict themselves, or a descriptor is not open
    """
    values = {name: environ.pop(name, None) for name in _VARIABLES}
    pid = _number("LISTEN_PID", values["LISTEN_PID"])
    if pid != os.getpid():  # inherited from another process for which they were meant
        return []
    count = _number("LISTEN_FDS", values["LISTEN_FDS"]) or 0
    text = values["LISTEN_FDNAMES"]
    names = ["unknown"] * count if text is None else text.split(":") if text else []
    if len(names) != count:
        raise ListenError(
            f"the service manager gives {count} descriptors (LISTEN_FDS) and {len(names)} names "
            f"(LISTEN_FDNAMES={text})"
        )
    given = [Given(FIRST_FD + index, name) for index, name in enumerate(names)]
    for one in given:
        try:
            os.set_inheritable(one.fd, False)
        except OSError as error:
            raise ListenError(f"{one} cannot be used: {error.strerror}") from error
    return given


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ListenError(f"the service manager gives {name}={text!r}, which is not a number")
    return int(text)


def listen_on(given: Given, config: Config) -> Listener:
    """A listener for a descriptor. The file of a Unix socket stays the service manager's: its
    mode is not changed, and it is not removed in the end.

    :raises ListenError: it is not a listening stream socket, Unix with a path or TCP
    :raises ConfigError: TCP is not allowed, or not at this address
    """
    if not stat.S_ISSOCK(os.fstat(given.fd).st_mode):
        raise ListenError(f"{given} is not a socket; the socket unit may have ListenStream= only")
    listening = socket.socket(fileno=given.fd)
    try:
        _check_kind(given, listening)
        address = _address(given, listening)
        if isinstance(address, TcpAddress):
            config.check_tcp(address, str(given))
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return Listener(listening, str(address), None, -1)


def _check_kind(given: Given, listening: socket.socket) -> None:
    if listening.type != socket.SOCK_STREAM:
        raise ListenError(
            f"{given} is a socket of type {_type_name(listening)}, not a stream; the socket unit "
            "may have ListenStream= only"
        )
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ListenError(
            f"{given} does not listen; the daemon accepts connections itself, so the socket unit "
            "must not have Accept=yes"
        )


def _type_name(listening: socket.socket) -> str:
    try:
        return socket.SocketKind(listening.type).name
    except ValueError:
        return str(listening.type)


def _address(given: Given, listening: socket.socket) -> UnixAddress | TcpAddress:
    if listening.family == socket.AF_UNIX:
        path = listening.getsockname()
        # An abstract name is of type bytes; any user can take one first, unix(7).
        if not isinstance(path, str) or not PurePath(path).is_absolute():
            raise ListenError(
                f"{given} is a Unix socket without an absolute path ({path!r}); give it one by "
                "ListenStream=/path"
            )
        return UnixAddress(path)
    if (
        listening.family in (socket.AF_INET, socket.AF_INET6)
        and listening.proto == socket.IPPROTO_TCP
    ):
        host, port = listening.getsockname()[:2]
        return TcpAddress(host, port)
    raise ListenError(f"{given} is neither a Unix socket nor a TCP socket")
