"""Frames: a length of four bytes, big-endian, then that many bytes of payload."""

from __future__ import annotations

from procnursery.errors import LocalProtocolError, RemoteProtocolError

HEADER_SIZE = 4
FRAME_BEFORE_HELLO = 65_536
FRAME_CAP = 2**24 - 1
"""No frame is longer, so the first byte of a connection is always 0: the first byte of an HTTP
request or a TLS hello is refused as such."""


def frame_header(size: int) -> bytes:
    """The length prefix of a payload of ``size`` bytes."""
    if not 1 <= size <= FRAME_CAP:
        raise LocalProtocolError(f"a frame of {size} bytes cannot be sent")
    return size.to_bytes(HEADER_SIZE, "big")


class FrameReader:
    """Cuts a byte stream into payloads; holds at most one incomplete frame."""

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self._buffer = bytearray()
        self._wanted: int | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._buffer += data

    @property
    def mid_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._buffer)

    def next_frame(self) -> bytes | None:
        """Return the next complete payload, or None if more bytes are needed.

        :raises RemoteProtocolError: ``empty_frame`` or ``frame_too_large``, as soon as the
            prefix shows it
        """
        buffer = self._buffer
        if self._wanted is None:
            if buffer and buffer[0] != 0:
                raise RemoteProtocolError(
                    "frame_too_large",
                    f"the first byte of a length is 0x{buffer[0]:02x}, not 0: "
                    "this is not the procnursery protocol",
                )
            if len(buffer) < HEADER_SIZE:
                return None
            size = int.from_bytes(buffer[:HEADER_SIZE], "big")
            if size == 0:
                raise RemoteProtocolError("empty_frame", "a frame of length 0")
            if size > self.max_frame:
                raise RemoteProtocolError(
                    "frame_too_large", f"a frame of {size} bytes; the limit is {self.max_frame}"
                )
            self._wanted = size
        end = HEADER_SIZE + self._wanted
        if len(buffer) < end:
            return None
        with memoryview(buffer) as view:
            payload = bytes(view[HEADER_SIZE:end])
        del buffer[:end]
        self._wanted = None
        return payload
