"""Another configuration while the daemon runs: read it all, then put it into force."""

from __future__ import annotations

import logging
from pathlib import Path

import attrs
import trio

from procnursery.daemon.accepting import Doorkeeper
from procnursery.daemon.config import Config, ConfigError, ConfigSource
from procnursery.daemon.listeners import Listener
from procnursery.daemon.logs import set_up_logging
from procnursery.daemon.notify import Manager
from procnursery.process.supervisor import Supervisor

log = logging.getLogger(__name__)

FIXED = ("listen", "state_dir", "insecure", "containment", "cgroup_root")
"""Options that only a start takes: sockets, locks and cgroups are held by what runs already."""


@attrs.frozen
class _Loaded:
    config: Config
    path: Path | None
    allowed: frozenset[int]


def _load(source: ConfigSource) -> _Loaded:
    """Read and check everything that a start would check.

    :raises ConfigError: something is wrong
    """
    path = source.find()
    config = source.load(path)
    config.addresses()
    return _Loaded(config, path, config.allowed_uids())


class Reloader:
    """The configuration that is in force, and its replacement.

    :param status: what the service manager is told of a daemon that serves
    :ivar config: in force
    :ivar path: the file that it was read from
    """

    def __init__(
        self,
        source: ConfigSource,
        config: Config,
        path: Path | None,
        *,
        doorkeeper: Doorkeeper,
        supervisor: Supervisor,
        listeners: list[Listener],
        manager: Manager,
        status: str,
    ) -> None:
        self._source = source
        self.config = config
        self.path = path
        self._doorkeeper = doorkeeper
        self._supervisor = supervisor
        self._listeners = listeners
        self._manager = manager
        self._status = status

    async def run(self, wanted: trio.MemoryReceiveChannel[None]) -> None:
        """Reload whenever it is wanted, until cancelled."""
        async for _ in wanted:
            await self._manager.tell_reloading()
            status = self._status
            try:
                await self._reload()
            except ConfigError as error:
                log.error(
                    "not reloaded, the previous configuration stays in force",
                    extra={"error": str(error)},
                )
                status += f". The last reload failed: {error}"
            await self._manager.tell_ready(status)

    async def _reload(self) -> None:
        # In a thread: the file and the users may be on machines that do not answer. It changes
        # nothing, so it can be left behind when the daemon ends.
        loaded = await trio.to_thread.run_sync(_load, self._source, abandon_on_cancel=True)
        if loaded.path is None:
            log.info("nothing to reload: there is no configuration file")
            return
        differing = [
            field.name
            for field in attrs.fields(Config)
            if getattr(loaded.config, field.name) != getattr(self.config, field.name)
        ]
        fixed = {name: getattr(self.config, name) for name in FIXED}
        await self._put_into_force(attrs.evolve(loaded.config, **fixed), loaded.allowed)
        self.path = loaded.path
        changed = [name for name in differing if name not in FIXED]
        log.info("reloaded", extra={"config": self.path, "changed": ",".join(changed) or "nothing"})
        kept = [name for name in differing if name in FIXED]
        if kept:
            log.warning(
                "options that need a restart keep their previous values",
                extra={"options": ",".join(kept)},
            )

    async def _put_into_force(self, config: Config, allowed: frozenset[int]) -> None:
        before, self.config = self.config, config
        set_up_logging(config.log_format, config.log_level)
        self._doorkeeper.configure(config, allowed)
        self._supervisor.limiter.total_tokens = config.file_threads
        if bool(config.allow_users) != bool(before.allow_users):
            for listener in self._listeners:
                try:
                    listener.admit_others(bool(config.allow_users))
                except OSError as error:
                    log.error(
                        "the mode of a socket cannot be changed",
                        extra={"address": listener.address, "error": error.strerror},
                    )
        self._supervisor.events.keep(config.keep_events)
        await self._supervisor.keep(config.keep_closed)
