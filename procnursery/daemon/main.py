"""The composition root: every nursery of the daemon is opened in this file.

    run_daemon
    └ reaping        SIGCHLD → reaper; outermost, since whatever ends below still has to be reaped
      └ N0 daemon    spawner link, SIGTERM, SIGHUP
        └ N1 processes (Supervisor)   one task per managed process
          └ N2 connections            one session task each
            └ N3 listeners            one accepting task each, the reloader

What goes wrong unexpectedly anywhere cancels everything inside: connections are closed, every
process tree is killed and verified, and the daemon exits nonzero.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import trio

from procnursery.containment.choose import Chosen
from procnursery.containment.procfs import read_stat
from procnursery.daemon.accepting import Doorkeeper
from procnursery.daemon.config import Config, ConfigSource
from procnursery.daemon.handlers import Handlers
from procnursery.daemon.listeners import Listener
from procnursery.daemon.notify import Manager
from procnursery.daemon.reload import Reloader
from procnursery.daemon.session import FAREWELL, Session
from procnursery.host.clock import stamp
from procnursery.model import ContainmentInfo, Stamp
from procnursery.process.events import EventLog
from procnursery.process.reaper import Reaper, become_subreaper, end_children
from procnursery.process.state import StateDirectory
from procnursery.process.supervisor import Supervisor
from procnursery.spawner.proxy import Spawner

log = logging.getLogger(__name__)

STOP_MARGIN = 30.0
"""Seconds beside the grace for which a service manager is asked: SIGKILL, the verification of
trees on a machine under load, last words to clients."""


@attrs.frozen(kw_only=True)
class Setting:
    """What :func:`run_daemon` works with, all of it opened already.

    :ivar config: what ``source`` gave at the start
    :ivar config_path: the file that it was read from
    :ivar allowed: uids of ``config.allow_users``
    :ivar listeners: to accept connections from; empty for an embedded daemon
    :ivar embedded: the one connection of an embedded daemon, which ends with it
    :ivar ready: called once connections are served
    """

    source: ConfigSource
    config: Config
    config_path: Path | None
    allowed: frozenset[int]
    manager: Manager
    instance: str
    state: StateDirectory
    chosen: Chosen
    listeners: list[Listener]
    embedded: socket.socket | None
    ready: Callable[[], None]


@attrs.define
class About:
    """What the daemon tells of itself; see handlers.Daemon."""

    setting: Setting
    doorkeeper: Doorkeeper | None = None
    reloader: Reloader | None = None
    started: Stamp = attrs.field(factory=stamp)

    @property
    def state_path(self) -> bytes:
        """The state directory."""
        return os.fsencode(self.setting.state.path)

    @property
    def config_path(self) -> bytes | None:
        """The configuration file that was read, if one was."""
        path = self.setting.config_path if self.reloader is None else self.reloader.path
        return None if path is None else os.fsencode(path)

    @property
    def listening(self) -> list[str]:
        """Addresses."""
        return [listener.address for listener in self.setting.listeners]

    @property
    def connections(self) -> int:
        """How many there are."""
        return 0 if self.doorkeeper is None else len(self.doorkeeper.sessions)


async def run_daemon(setting: Setting) -> None:
    """Serve until SIGTERM, or until the connection of an embedded daemon ends; then stop every
    process, and return once all is gone."""
    config, about = setting.config, About(setting=setting)
    become_subreaper()
    family = setting.chosen.containment.family
    spawner = Spawner(_sweeper_argv(setting), lambda: family.mains)
    family.exclude = spawner.pids
    reaper = Reaper(spawner.collect)
    async with trio.open_nursery() as reaping:
        await reaping.start(_reap_children, reaper)
        async with trio.open_nursery() as daemon:
            await daemon.start(spawner.run)
            stop = Stop()
            reload, reloads = trio.open_memory_channel[None](1)
            await daemon.start(_watch_signals, stop, None if setting.embedded else reload)
            async with trio.open_nursery() as processes:
                supervisor = Supervisor(
                    processes,
                    spawner=spawner,
                    reaper=reaper,
                    containment=setting.chosen.containment,
                    state=setting.state,
                    limiter=trio.CapacityLimiter(config.file_threads),
                    instance=setting.instance,
                    events=EventLog(config.keep_events),
                    keep_closed=config.keep_closed,
                )
                handlers = Handlers(about, supervisor, spawner, _containment_info(setting))
                async with trio.open_nursery() as connections:
                    doorkeeper = Doorkeeper(
                        connections, handlers, config=config, allowed=setting.allowed
                    )
                    about.doorkeeper = doorkeeper
                    reloader = about.reloader = _reloader(setting, doorkeeper, supervisor)
                    async with trio.open_nursery() as listeners:
                        for listener in setting.listeners:
                            listeners.start_soon(doorkeeper.accept_from, listener)
                        if setting.embedded is not None:
                            session = doorkeeper.admit_embedded(setting.embedded)
                            listeners.start_soon(_stop_after, session, stop)
                        setting.ready()
                        await setting.manager.tell_ready(_status(setting))
                        listeners.start_soon(reloader.run, reloads)
                        await stop.requested.wait()
                        listeners.cancel_scope.cancel()
                    for listener in setting.listeners:
                        listener.close()
                    handlers.stopping = True
                    grace = reloader.config.shutdown_grace
                    connections.start_soon(
                        setting.manager.tell_stopping,
                        f"Stopping {supervisor.live} programs within {grace:g} s",
                        grace + STOP_MARGIN,
                    )
                    await _drain(stop, supervisor, doorkeeper.sessions, grace)
                    connections.cancel_scope.cancel()
            left = _alive(supervisor) | set(await end_children(reaper, but=spawner.pid))
            if left:
                log.error("processes survived the daemon", extra={"pids": sorted(left)})
            daemon.cancel_scope.cancel()
        reaping.cancel_scope.cancel()
    setting.chosen.containment.close()
    log.info("stopped", extra={"seconds": stop.seconds(), "left": len(left)})


class Stop:
    """The request to end.

    :ivar requested: SIGTERM came, or the embedded daemon's client is gone
    :ivar hurried: a second SIGTERM came
    """

    def __init__(self) -> None:
        self.requested = trio.Event()
        self.hurried = trio.Event()
        self._since = 0.0

    def request(self) -> None:
        """End; asked a second time, without grace."""
        if self.requested.is_set():
            self.hurried.set()
        else:
            self._since = time.monotonic()
        self.requested.set()

    def seconds(self) -> float:
        """How long ago the end was requested."""
        return round(time.monotonic() - self._since, 3)


async def _reap_children(
    reaper: Reaper, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGCHLD) as arrivals:
        task_status.started()
        async for _ in arrivals:
            reaper.reap()


async def _watch_signals(
    stop: Stop,
    reload: trio.MemorySendChannel[None] | None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """SIGHUP wants a reload, everything else the end, as does SIGHUP where nothing can be
    reloaded: in an embedded daemon. It is taken until the end, since it kills by default."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as arrivals:
        task_status.started()
        async for number in arrivals:
            if number != signal.SIGHUP or reload is None:
                log.info("stopping", extra={"signal": signal.Signals(number).name})
                stop.request()
            elif stop.requested.is_set():
                log.info("not reloaded, since the daemon is stopping")
            else:
                with contextlib.suppress(trio.WouldBlock):  # the next reload is yet to come
                    reload.send_nowait(None)


async def _stop_after(session: Session, stop: Stop) -> None:
    await session.ended.wait()
    stop.request()


async def _drain(stop: Stop, supervisor: Supervisor, sessions: set[Session], grace: float) -> None:
    """Stop every process and let their last events reach the clients."""
    for session in sessions:
        session.drain(grace)
    async with trio.open_nursery() as hurry:
        supervisor.stop_all(grace=grace)
        hurry.start_soon(_hurry, stop, supervisor)
        await supervisor.wait_idle()
        supervisor.events.finish()
        hurry.cancel_scope.cancel()
    with trio.move_on_after(FAREWELL):
        for session in list(sessions):
            await session.wait_quiet()


def _alive(supervisor: Supervisor) -> set[int]:
    """Pids of those that did not end with their tree, and have not ended since."""
    survivors = (one for process in supervisor.all() for one in process.record.tree.survivors)
    stats = (read_stat(one.pid) for one in survivors)
    return {stat.pid for stat in stats if stat is not None and stat.alive}


async def _hurry(stop: Stop, supervisor: Supervisor) -> None:
    await stop.hurried.wait()
    supervisor.stop_all(grace=0)


def _reloader(setting: Setting, doorkeeper: Doorkeeper, supervisor: Supervisor) -> Reloader:
    return Reloader(
        setting.source,
        setting.config,
        setting.config_path,
        doorkeeper=doorkeeper,
        supervisor=supervisor,
        listeners=setting.listeners,
        manager=setting.manager,
        status=_status(setting),
    )


def _status(setting: Setting) -> str:
    """What the service manager shows of a daemon that serves."""
    addresses = ", ".join(listener.address for listener in setting.listeners)
    return f"Serving {addresses}; containment: {setting.chosen.kind}"


def _containment_info(setting: Setting) -> ContainmentInfo:
    chosen = setting.chosen
    path = chosen.containment.path
    return ContainmentInfo(
        kind=chosen.kind,
        configured=setting.config.containment,
        reason=chosen.reason,
        path=None if path is None else os.fsencode(path),
        limitations=tuple(chosen.containment.limitations),
    )


def _sweeper_argv(setting: Setting) -> list[str]:
    """What the spawner executes when the daemon has died: it ends what the daemon left."""
    argv = [
        sys.executable,
        "-P",
        "-m",
        "procnursery.containment.sweep",
        "--instance",
        setting.instance,
    ]
    path = setting.chosen.containment.path
    if path is not None:
        argv += ["--cgroup", str(path)]
    return argv
