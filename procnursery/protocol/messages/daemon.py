"""Messages about the daemon: describe and daemon.info."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs

from procnursery.model import (
    MAX_INT,
    ContainmentInfo,
    Length,
    Range,
    Stamp,
)


@attrs.frozen(kw_only=True)
class DescribeParams:
    """No parameters."""


@attrs.frozen(kw_only=True)
class DescribeResult:
    """The protocol as this daemon implements it."""

    schema: str
    containment: ContainmentInfo


@attrs.frozen(kw_only=True)
class InfoParams:
    """No parameters."""


@attrs.frozen(kw_only=True)
class DaemonInfo:
    """The daemon process."""

    pid: Annotated[int, Range(1, 4194304)]
    version: Annotated[str, Length(min=1, max=64)]
    instance: Annotated[str, Length(min=1, max=64)]
    started: Stamp
    uid: Annotated[int, Range(0, 4294967295)]
    state_dir: bytes
    config: bytes | None = None
    listen: tuple[str, ...]
    python: Annotated[str, Length(min=1, max=64)]
    rss_bytes: Annotated[int, Range(0, MAX_INT)]
    user_s: Annotated[float, Range(0, 1000000000000000.0)]
    system_s: Annotated[float, Range(0, 1000000000000000.0)]


@attrs.frozen(kw_only=True)
class SpawnerInfo:
    """The spawner process."""

    pid: Annotated[int, Range(1, 4194304)] | None = None
    form: Literal["python", "native"]
    restarts: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class HostId:
    """The machine."""

    hostname: Annotated[str, Length(min=0, max=255)]
    boot_id: Annotated[str, Length(min=0, max=64)]
    kernel: Annotated[str, Length(min=0, max=256)]
    machine: Annotated[str, Length(min=0, max=64)]
    cpus: Annotated[int, Range(1, 65536)]


@attrs.frozen(kw_only=True)
class Counts:
    """How much the daemon holds."""

    live: Annotated[int, Range(0, MAX_INT)]
    closed: Annotated[int, Range(0, MAX_INT)]
    started: Annotated[int, Range(0, MAX_INT)]
    connections: Annotated[int, Range(0, MAX_INT)]


@attrs.frozen(kw_only=True)
class InfoResult:
    """What this daemon is and holds."""

    daemon: DaemonInfo
    spawner: SpawnerInfo
    containment: ContainmentInfo
    host: HostId
    counts: Counts
    now: Stamp
