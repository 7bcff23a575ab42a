"""The door: accepts connections, checks who comes, and knows every session."""

from __future__ import annotations

import errno
import logging
import socket

import trio

from procnursery.daemon.config import Config
from procnursery.daemon.listeners import (
    Listener,
    NotAuthorized,
    peer_of_tcp,
    peer_of_unix,
)
from procnursery.daemon.session import Service, Session, SessionLimits
from procnursery.protocol.goodbye import goodbye_frame

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds to let pass when the kernel has no descriptor or memory for a connection: it says so
again at once otherwise (as trio.serve_listeners does)."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM)


class Doorkeeper:
    """Lets connections in.

    :param nursery: where sessions live
    :ivar sessions: all that are connected
    """

    def __init__(
        self, nursery: trio.Nursery, service: Service, *, config: Config, allowed: frozenset[int]
    ) -> None:
        self._nursery = nursery
        self._service = service
        self.configure(config, allowed)
        self.sessions: set[Session] = set()

    def configure(self, config: Config, allowed: frozenset[int]) -> None:
        """Treat connections that come from now on like this; those that are there keep the limits
        that they were told.

        :param allowed: uids of ``config.allow_users``
        """
        self._limits = SessionLimits(
            max_frame=config.max_frame,
            max_requests=config.max_requests,
            max_in_flight=config.max_in_flight,
            max_subscriptions=config.max_subscriptions,
            hello_timeout=config.hello_timeout,
            write_timeout=config.write_timeout,
        )
        self._maximum = config.max_connections
        self._allowed = allowed

    async def accept_from(self, listener: Listener) -> None:
        """Accept connections until cancelled."""
        complained = False
        while True:
            try:
                connection, _ = listener.socket.accept()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(listener.socket)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    if not complained:
                        log.error(
                            "cannot accept a connection",
                            extra={"address": listener.address, "error": error.strerror},
                        )
                    complained = True
                    await trio.sleep(PAUSE)
                elif error.errno not in _GONE:
                    raise
            else:
                complained = False
                self._admit(connection, listener)
                await trio.lowlevel.checkpoint()

    def _admit(self, connection: socket.socket, listener: Listener) -> None:
        connection.setblocking(False)
        try:
            if connection.family == socket.AF_UNIX:
                peer = peer_of_unix(connection, self._allowed)
            else:
                peer = peer_of_tcp(connection)
        except NotAuthorized as error:
            log.warning("not authorized", extra={"address": listener.address, "why": str(error)})
            _turn_away(connection, "not_authorized", str(error))
            return
        except OSError:  # gone before it was looked at
            connection.close()
            return
        if len(self.sessions) >= self._maximum:
            _turn_away(
                connection, "too_many_connections", f"the limit is {self._maximum} connections"
            )
            return
        self._start(connection, peer)

    def admit_embedded(self, connection: socket.socket) -> Session:
        """Serve the one connection of an embedded daemon."""
        connection.setblocking(False)
        return self._start(connection, "local")

    def _start(self, connection: socket.socket, peer: str) -> Session:
        session = Session(connection, peer=peer, service=self._service, limits=self._limits)
        self.sessions.add(session)
        self._nursery.start_soon(self._serve, session)
        return session

    async def _serve(self, session: Session) -> None:
        log.debug("connected", extra={"peer": session.peer})
        try:
            await session.run()
        finally:
            self.sessions.discard(session)
            session.ended.set()
            log.debug("disconnected", extra={"peer": session.peer})


def _turn_away(connection: socket.socket, code: str, message: str) -> None:
    """Say why, as far as the kernel takes it at once, and close."""
    try:
        connection.send(goodbye_frame(code, message))
    except OSError:
        log.debug("a peer left before it was turned away")
    finally:
        connection.close()
