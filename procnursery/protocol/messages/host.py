"""Messages about the machine."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    Facts,
    Length,
    Range,
    Sample,
    Stamp,
)

SampleGroup = Literal["cpu", "load", "memory", "disk", "network", "processes"]
"""Groups of fields of a sample."""


@attrs.frozen(kw_only=True)
class FactsParams:
    """No parameters."""


@attrs.frozen(kw_only=True)
class FactsResult:
    """What this machine is."""

    facts: Facts


@attrs.frozen(kw_only=True)
class SampleParams:
    """Parameters of host.sample."""

    groups: Annotated[tuple[SampleGroup, ...], Length(min=1, max=6)] | None = None


@attrs.frozen(kw_only=True)
class SampleResult:
    """What this machine does now."""

    sample: Sample


@attrs.frozen(kw_only=True)
class HostSubscribeParams:
    """Parameters of host.subscribe."""

    interval: Annotated[float, Range(0.01, 86400)]
    groups: Annotated[tuple[SampleGroup, ...], Length(min=1, max=6)] | None = None
    count: Annotated[int, Range(1, MAX_INT)] | None = None


@attrs.frozen(kw_only=True)
class HostSubscribeResult:
    """A subscription to samples."""

    subscription: Annotated[int, Range(1, 4294967295)]
    first: Stamp


@attrs.frozen(kw_only=True)
class HostUnsubscribeParams:
    """Parameters of host.unsubscribe."""

    subscription: Annotated[int, Range(1, 4294967295)]


@attrs.frozen(kw_only=True)
class HostUnsubscribeResult:
    """The subscription is gone."""

    ticks: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class HostDataParams:
    """One sample of a subscription."""

    subscription: Annotated[int, Range(1, 4294967295)]
    tick: Annotated[int, Range(0, MAX_INT)]
    missed: Annotated[int, Range(0, MAX_INT)] = 0
    late_s: Annotated[float, Range(0, 1000000000000000.0)]
    sample: Sample


@attrs.frozen(kw_only=True)
class HostEndParams:
    """The subscription has delivered its `count` samples and is gone."""

    subscription: Annotated[int, Range(1, 4294967295)]
    ticks: Annotated[int, Range(0, MAX_INT)]
