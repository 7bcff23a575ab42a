"""Requests about the daemon itself."""

from __future__ import annotations

import os
import platform
import resource
from typing import Protocol

import procnursery
from procnursery.daemon.handlers.methods import Methods
from procnursery.daemon.session import Session
from procnursery.host.clock import stamp
from procnursery.host.identity import boot_id, hostname, resident_bytes, usable_cpus
from procnursery.model import ContainmentInfo, Stamp
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m
from procnursery.protocol.connection import PROTOCOL_VERSION
from procnursery.protocol.schema_file import schema_text
from procnursery.spawner.proxy import Spawner

CAPABILITIES = (
    "events",
    "freeze",
    "hold",
    "host",
    "keep_for",
    "names",
    "output.direct",
    "output.pipe",
    "output.spool",
    "pty",
    "ready",
    "stdin.offset",
    "timed",
)


class Daemon(Protocol):
    """What the handlers tell about the daemon itself."""

    started: Stamp

    @property
    def state_path(self) -> bytes:
        """The state directory."""
        ...

    @property
    def config_path(self) -> bytes | None:
        """The configuration file that was read, if one was."""
        ...

    @property
    def listening(self) -> list[str]:
        """Addresses."""
        ...

    @property
    def connections(self) -> int:
        """How many there are."""
        ...


class AboutHandlers:
    """What the daemon is, holds and can do."""

    def __init__(
        self,
        daemon: Daemon,
        supervisor: Supervisor,
        spawner: Spawner,
        containment: ContainmentInfo,
    ) -> None:
        self._daemon = daemon
        self._supervisor = supervisor
        self._spawner = spawner
        self._containment = containment

    @property
    def methods(self) -> Methods:
        """Handlers by method."""
        return {"describe": self._describe, "ping": self._ping, "daemon.info": self._info}

    def hello(self, params: m.HelloParams, limits: m.DaemonLimits, peer: str) -> m.HelloResult:
        """The answer to hello."""
        return m.HelloResult(
            protocol=min(params.protocol, PROTOCOL_VERSION),
            daemon=m.DaemonId(
                version=procnursery.__version__,
                instance=self._supervisor.instance,
                pid=os.getpid(),
            ),
            host=hostname(),
            boot_id=boot_id(),
            capabilities=CAPABILITIES,
            limits=limits,
            peer=peer,
            now=stamp(),
        )

    def _describe(self, _session: Session, _params: m.DescribeParams) -> m.DescribeResult:
        return m.DescribeResult(schema=schema_text(), containment=self._containment)

    def _ping(self, _session: Session, params: m.PingParams) -> m.PingResult:
        received = stamp()
        return m.PingResult(received=received, sent=stamp(), payload=params.payload)

    def _info(self, _session: Session, _params: m.InfoParams) -> m.InfoResult:
        daemon, usage = self._daemon, resource.getrusage(resource.RUSAGE_SELF)
        return m.InfoResult(
            daemon=m.DaemonInfo(
                pid=os.getpid(),
                version=procnursery.__version__,
                instance=self._supervisor.instance,
                started=daemon.started,
                uid=os.geteuid(),
                state_dir=daemon.state_path,
                config=daemon.config_path,
                listen=tuple(daemon.listening),
                python=platform.python_version(),
                rss_bytes=resident_bytes(),
                user_s=usage.ru_utime,
                system_s=usage.ru_stime,
            ),
            spawner=m.SpawnerInfo(
                pid=self._spawner.pid, form="python", restarts=self._spawner.restarts
            ),
            containment=self._containment,
            host=m.HostId(
                hostname=hostname(),
                boot_id=boot_id(),
                kernel=" ".join((os.uname().sysname, os.uname().release)),
                machine=os.uname().machine,
                cpus=usable_cpus(),
            ),
            counts=m.Counts(
                live=self._supervisor.live,
                closed=self._supervisor.closed,
                started=self._supervisor.started,
                connections=daemon.connections,
            ),
            now=stamp(),
        )
