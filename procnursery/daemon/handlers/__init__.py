"""Requests to replies: the only place where the protocol meets processes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from procnursery.daemon.handlers.about import AboutHandlers, Daemon
from procnursery.daemon.handlers.events import EventHandlers
from procnursery.daemon.handlers.host import HostHandlers
from procnursery.daemon.handlers.processes import ProcessHandlers
from procnursery.daemon.handlers.streams import StreamHandlers
from procnursery.daemon.session import Session
from procnursery.model import ContainmentInfo
from procnursery.process.supervisor import Supervisor
from procnursery.protocol import messages as m
from procnursery.spawner.proxy import Spawner


class Handlers:
    """Answers to every method.

    :ivar stopping: whether new programs are refused
    """

    def __init__(
        self,
        daemon: Daemon,
        supervisor: Supervisor,
        spawner: Spawner,
        containment: ContainmentInfo,
    ) -> None:
        self.stopping = False
        self._about = AboutHandlers(daemon, supervisor, spawner, containment)
        self._methods = {
            **self._about.methods,
            **ProcessHandlers(supervisor).methods,
            **StreamHandlers(supervisor).methods,
            **EventHandlers(supervisor).methods,
            **HostHandlers(supervisor, daemon.state_path, containment).methods,
        }

    def hello(self, params: m.HelloParams, limits: m.DaemonLimits, peer: str) -> m.HelloResult:
        """The answer to hello."""
        return self._about.hello(params, limits, peer)

    def handle(self, session: Session, method: str, params: Any) -> Any | Awaitable[Any]:
        """The result, or something that gives it later.

        :raises InvalidField: params that the types alone could not refuse
        :raises RequestError: the answer is an error
        """
        return self._methods[method](session, params)
