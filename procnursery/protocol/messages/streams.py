"""Messages about input, output and terminals."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    Length,
    Range,
)


@attrs.frozen(kw_only=True)
class ResizeParams:
    """Parameters of pty.resize."""

    id: Annotated[str, Length(min=1, max=64)]
    rows: Annotated[int, Range(1, 65535)]
    columns: Annotated[int, Range(1, 65535)]


@attrs.frozen(kw_only=True)
class ResizeResult:
    """The terminal has its new size."""


@attrs.frozen(kw_only=True)
class StdinWriteParams:
    """Parameters of stdin.write."""

    id: Annotated[str, Length(min=1, max=64)]
    offset: Annotated[int, Range(0, MAX_INT)]
    data: Annotated[bytes, Length(min=0, max=1048576)]


@attrs.frozen(kw_only=True)
class StdinCloseParams:
    """Parameters of stdin.close."""

    id: Annotated[str, Length(min=1, max=64)]
    offset: Annotated[int, Range(0, MAX_INT)] | None = None


@attrs.frozen(kw_only=True)
class StdinResult:
    """How far the input was taken."""

    offset: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class ReadParams:
    """Parameters of output.read."""

    id: Annotated[str, Length(min=1, max=64)]
    stream: Literal["stdout", "stderr"]
    offset: Annotated[int, Range(0, MAX_INT)]
    max: Annotated[int, Range(1, 1048576)] = 65536
    wait: Annotated[float, Range(0, 3600)] = 0
    consumed: Annotated[int, Range(0, MAX_INT)] | None = None


@attrs.frozen(kw_only=True)
class ReadResult:
    """Bytes of a stream."""

    offset: Annotated[int, Range(0, MAX_INT)]
    data: bytes
    end: Annotated[int, Range(0, MAX_INT)]
    eof: Literal["closed", "held_by_survivor", "abandoned"] | None = None


@attrs.frozen(kw_only=True)
class SubscribeParams:
    """Parameters of output.subscribe."""

    id: Annotated[str, Length(min=1, max=64)]
    stream: Literal["stdout", "stderr"]
    offset: Annotated[int, Range(0, MAX_INT)] = 0
    credit: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class SubscribeResult:
    """A subscription."""

    subscription: Annotated[int, Range(1, 4294967295)]
    first: Annotated[int, Range(0, MAX_INT)]
    end: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class UnsubscribeParams:
    """Parameters of output.unsubscribe."""

    subscription: Annotated[int, Range(1, 4294967295)]


@attrs.frozen(kw_only=True)
class UnsubscribeResult:
    """The subscription is gone."""

    offset: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class CreditParams:
    """More credit for a subscription."""

    subscription: Annotated[int, Range(1, 4294967295)]
    credit: Annotated[int, Range(0, MAX_INT)]
    consumed: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class DataParams:
    """Bytes of a subscribed stream."""

    subscription: Annotated[int, Range(1, 4294967295)]
    offset: Annotated[int, Range(0, MAX_INT)]
    data: bytes


@attrs.frozen(kw_only=True)
class GapParams:
    """Bytes of a subscribed stream were lost."""

    subscription: Annotated[int, Range(1, 4294967295)]
    from_: Annotated[int, Range(0, MAX_INT)]
    to: Annotated[int, Range(0, MAX_INT)]
    reason: Annotated[str, Length(min=1, max=64)]


@attrs.frozen(kw_only=True)
class EndParams:
    """The subscription has delivered the whole stream and is gone."""

    subscription: Annotated[int, Range(1, 4294967295)]
    offset: Annotated[int, Range(0, MAX_INT)]
    reason: Literal["closed", "held_by_survivor", "abandoned"]
