"""A goodbye to a peer with which no conversation began."""

from __future__ import annotations

from procnursery.protocol import codec
from procnursery.protocol.envelope import frame
from procnursery.protocol.messages import GoodbyeParams


def goodbye_frame(code: str, message: str) -> bytes:
    """One whole frame."""
    return frame([2, "goodbye", codec.encode(GoodbyeParams(code=code, message=message))])
