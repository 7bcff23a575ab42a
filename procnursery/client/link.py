"""A socket to a daemon: bytes in, events out, never blocking unless asked to wait."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

from procnursery.errors import ConnectionLost, RemoteProtocolError
from procnursery.protocol.connection import ClientConnection, ClientEvent, GoodbyeReceived, State

RECEIVE = 262_144


class Link:
    """One connection's socket and the client's side of the protocol on it.

    :param address: for messages
    :ivar protocol: makes the frames to :meth:`send`
    :ivar farewell: why the daemon ends or ended the connection, once it has said so
    :ivar lost: the end of the connection, once it is known
    """

    def __init__(self, sock: socket.socket, address: str, *, max_frame: int) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.address = address
        self.protocol = ClientConnection(max_frame)
        self.farewell: GoodbyeReceived | None = None
        self.lost: ConnectionLost | None = None
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self.socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether bytes wait until the socket takes them."""
        return bool(self._outgoing)

    @property
    def backlog(self) -> int:
        """How many bytes wait."""
        return len(self._outgoing)

    def send(self, frame: bytes) -> None:
        """Send a frame; what the kernel does not take at once waits."""
        self._outgoing += frame
        self.flush()

    def flush(self) -> None:
        """Write what the kernel takes.

        A connection that the daemon has closed is found out by reading, since the reason stands
        in what it sent before.
        """
        while self._outgoing:
            try:
                count = self.socket.send(self._outgoing, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self._outgoing.clear()
                return
            del self._outgoing[:count]

    def receive(self) -> Iterator[ClientEvent]:
        """What has arrived.

        :raises ConnectionLost: the daemon is gone, said goodbye, or violated the protocol
        """
        self.check()
        try:
            data = self.socket.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        self.protocol.feed(data)
        try:
            while (event := self.protocol.next_event()) is not None:
                if isinstance(event, GoodbyeReceived):
                    self.farewell = event
                yield event
        except RemoteProtocolError as error:
            raise self._lost(f"it violated the protocol: {error}") from error
        if not data:
            raise self._lost("it closed the connection")

    def _lost(self, what: str) -> ConnectionLost:
        if self.farewell is not None:
            params = self.farewell.params
            what = f"it said goodbye: {params.code}" + (
                f" ({params.message})" if params.message else ""
            )
        self.lost = ConnectionLost(f"the daemon at {self.address} is gone: {what}")
        return self.lost

    def check(self) -> None:
        """Do nothing while requests can be answered.

        :raises ConnectionLost: for the reason for which the connection has ended
        """
        if self.lost is None and self.protocol.state is State.CLOSED:
            self._lost("it closed the connection")
        if self.lost is not None:
            raise ConnectionLost(*self.lost.args) from self.lost

    def wait(self, timeout: float | None) -> bool:
        """Wait until something can be received or written; False: ``timeout`` seconds passed.

        :raises ConnectionLost: the connection has ended already
        """
        self.check()
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        ready = poll.poll(None if timeout is None else max(0, timeout) * 1000)
        if ready and ready[0][1] & select.POLLOUT:
            self.flush()
        return bool(ready)

    def close(self) -> None:
        """Close the socket."""
        if self.lost is None:
            self.lost = ConnectionLost(f"the connection to {self.address} was closed on this side")
        self.socket.close()
