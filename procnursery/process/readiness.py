"""When a process is ready for use: a notification, a line of its output, an open port."""

from __future__ import annotations

import fnmatch
import re
import socket
from collections.abc import Mapping

import attrs
import trio

from procnursery.host.clock import stamp
from procnursery.model import ReadyInfo, ReadySpec
from procnursery.paths import TcpAddress, UnixAddress, parse_address
from procnursery.process.channels import Channels
from procnursery.process.output import Stream
from procnursery.process.record import Record

MAX_LINE = 4096
READ_SIZE = 65_536
TAIL = 2048
FIRST_TRY, LONGEST_TRY = 0.01, 0.25
"""Seconds between attempts to connect: nothing tells that a port is open."""
ATTEMPT = 5.0


class Readiness:
    """Whether one process has become ready, as its record tells."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._latest: list[str] = []

    @property
    def waiting(self) -> bool:
        """Whether it is neither ready nor has failed to be."""
        return self._record.ready is not None and self._record.ready.state == "waiting"

    async def watch(self, channels: Channels) -> None:
        """Wait until the process shows that it is ready, and tell of it."""
        ready = self._record.spec.ready
        assert ready is not None
        await _wait_ready(ready, channels, self._latest)
        if self.waiting:
            at = stamp()
            self._record.ready = ReadyInfo(state="ready", at=at)
            self._record.add_fact("ready", at, None)

    def fail(self, reason: str) -> None:
        """It will not become ready any more."""
        if self.waiting:
            reason = ": ".join((reason, *self._latest))[:1024]
            self._record.ready = ReadyInfo(state="failed", at=stamp(), reason=reason)
            self._record.changed()

    async def add_tails(self, streams: Mapping[str, Stream]) -> None:
        """Note what a process that failed to become ready has written last; its output is final."""
        ready = self._record.ready
        if ready is not None and ready.state == "failed":
            tails = {name: await _tail(one) for name, one in streams.items() if one.readable}
            self._record.ready = attrs.evolve(ready, tails=tails)


async def _wait_ready(ready: ReadySpec, channels: Channels, latest: list[str]) -> None:
    """Wait until the process shows that it is ready; for ever if it never does.

    :param latest: takes what is in the way, as far as that is known
    """
    if ready.mode == "notify":
        assert channels.notify is not None
        await channels.notify.wait_ready()
    elif ready.mode == "output":
        assert ready.pattern is not None
        await _wait_line(channels.streams[ready.stream], ready.pattern)
    else:
        assert ready.address is not None
        await _wait_port(ready.address, latest)


def matcher(pattern: bytes) -> re.Pattern[bytes]:
    """What finds ``pattern`` (``*``, ``?``, ``[…]``) anywhere in a line, in time that does not
    explode."""
    # fnmatch writes groups that never give back what they took, so nothing is tried twice.
    translated = fnmatch.translate("*" + pattern.decode("latin-1") + "*")
    return re.compile(translated.encode("latin-1"), re.DOTALL)


async def _wait_line(stream: Stream, pattern: bytes) -> None:
    """Read along, without consuming, until a line matches."""
    matches = matcher(pattern).match
    log, offset, line = stream.log, 0, b""
    with stream.follow():
        while True:
            stream.refresh()
            gap = log.gap_at(offset)
            if gap is not None:
                offset, line = gap.to, b""
            elif offset < log.end:
                data = await stream.read(offset, READ_SIZE)
                offset += len(data)
                *complete, line = (line + data).split(b"\n")
                if any(matches(one[:MAX_LINE]) for one in (*complete, line)):
                    return
                line = line[:MAX_LINE]
                await trio.lowlevel.checkpoint()
            elif log.eof is not None:
                await trio.sleep_forever()
            else:
                await log.wait_change()


async def _wait_port(text: str, latest: list[str]) -> None:
    address = parse_address(text)
    pause = FIRST_TRY
    while True:
        try:
            with trio.move_on_after(ATTEMPT):
                if isinstance(address, UnixAddress):
                    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                    with sock:
                        await sock.connect(address.path)
                        return
                assert isinstance(address, TcpAddress)
                async with await trio.open_tcp_stream(address.host, address.port):
                    return
            latest[:] = [f"{text}: no answer in {ATTEMPT:g} s"]
        except OSError as error:
            latest[:] = [f"{text}: {error.strerror or error}"]
        await trio.sleep(pause)
        pause = min(LONGEST_TRY, pause * 1.5)


async def _tail(stream: Stream) -> bytes:
    """The last bytes of a stream that are kept, at most :data:`TAIL`."""
    stream.refresh()
    log = stream.log
    offset = max(log.first, log.end - TAIL)
    parts = []
    while offset < log.end:
        gap = log.gap_at(offset)
        if gap is not None:
            offset = gap.to
            continue
        try:
            data = await stream.read(offset, log.end - offset)
        except OSError:  # what cannot be read is not shown; the stream's own error tells why
            break
        if not data:
            break
        parts.append(data)
        offset += len(data)
    return b"".join(parts)
