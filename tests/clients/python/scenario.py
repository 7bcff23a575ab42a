"""What the two Python clients share in their scenario programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from procnursery.errors import RequestError, StartFailed
from procnursery.model import Gap, ProcessInfo


class Received:
    """What was received of one stream."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.gaps: list[Gap] = []

    @property
    def lost(self) -> int:
        """Bytes of gaps."""
        return sum(gap.to - gap.from_ for gap in self.gaps)

    @property
    def offset(self) -> int:
        """Up to where it was received."""
        return len(self.data) + self.lost

    def summary(self) -> str:
        """The answer to ``sum``."""
        return f"bytes {len(self.data)} lost {self.lost} fnv1a {fnv1a(self.data):08x}"


def fnv1a(data: bytes | bytearray) -> int:
    """32-bit FNV-1a hash."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def fate(info: ProcessInfo) -> str:
    """The answer to ``wait``."""
    outcome = info.outcome
    assert outcome is not None
    last = outcome.code if outcome.kind == "exited" else outcome.signal
    return f"{outcome.kind} {last} {info.cause}"


def failure(error: RequestError) -> str:
    """The answer to a request that was refused."""
    if isinstance(error, StartFailed):
        return f"error {error.code} {error.stage} {error.errno or '-'}"
    return f"error {error.code}"


def commands() -> Iterator[tuple[str, str]]:
    """(name, rest) of each line."""
    for line in sys.stdin:
        text = line.rstrip("\n")
        if text and not text.startswith("#"):
            name, _, rest = text.partition(" ")
            yield name, rest
