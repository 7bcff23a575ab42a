"""``procnursery stdio``."""

from __future__ import annotations

import contextlib
import os
import select
import socket

import click

from procnursery.cli.output import OutputFailed
from procnursery.cli.target import Target
from procnursery.client import dialing
from procnursery.paths import LocalAddress

CHUNK = 65_536


@click.command()
@click.pass_obj
def stdio(target: Target) -> int:
    """Carry the protocol between stdin, stdout and the daemon, byte for byte.

    For transports that give a pair of pipes, such as ssh: what is written to stdin goes to the
    daemon, what it answers to stdout. Ends when the daemon closes the connection.
    """
    address = dialing.resolve(target.address)
    if isinstance(address, LocalAddress):
        sock, pid = dialing.start_embedded()
        try:
            _bridge(sock)
        finally:
            sock.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
    else:
        with dialing.dial(address, 10.0) as sock:
            _bridge(sock)
    return 0


def _bridge(sock: socket.socket) -> None:
    """Copy both ways until the daemon's end. Each direction holds one chunk at most, so that a
    slow reader slows down the writer, and neither direction waits for the other."""
    sock.setblocking(False)
    to_daemon = b""
    stdin_open = True
    from_daemon = b""
    while True:
        poll = select.poll()
        wanted = (0 if from_daemon else select.POLLIN) | (select.POLLOUT if to_daemon else 0)
        poll.register(sock, wanted)
        if stdin_open and not to_daemon:
            poll.register(0, select.POLLIN)
        if from_daemon:
            poll.register(1, select.POLLOUT)
        ready = dict(poll.poll())
        if from_daemon and 1 in ready:
            try:
                count = os.write(1, from_daemon[: select.PIPE_BUF])
            except BlockingIOError:
                continue
            except OSError as error:
                raise OutputFailed(error) from error
            from_daemon = from_daemon[count:]
        if not to_daemon and ready.get(0):
            to_daemon = os.read(0, CHUNK)
            if not to_daemon:
                stdin_open = False
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
        if to_daemon:
            with contextlib.suppress(BlockingIOError):
                try:
                    to_daemon = to_daemon[sock.send(to_daemon, socket.MSG_NOSIGNAL) :]
                except (BrokenPipeError, ConnectionResetError):
                    to_daemon, stdin_open = b"", False
        if not from_daemon and ready.get(sock.fileno()):
            try:
                from_daemon = sock.recv(CHUNK)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return
            if not from_daemon:
                return
