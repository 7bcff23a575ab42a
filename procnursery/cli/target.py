"""The daemon that a command works on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import click

from procnursery.inherited import HOST_VARIABLE

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection


class Target(NamedTuple):
    """What ``-H`` says. The client is imported when it is used: help and completion do without.

    :ivar address: None: the default
    """

    address: str | None

    @property
    def is_given(self) -> bool:
        """Whether the user has named a daemon, or leaves it to us to find one."""
        return bool(self.address or os.environ.get(HOST_VARIABLE))

    def connect(self) -> Connection:
        """Connect.

        :raises ConnectionFailed: no daemon can be reached
        """
        from procnursery.client.blocking import connect

        return connect(self.address)

    def connect_to_running(self) -> Connection:
        """Connect to a daemon that runs already, or to ``local:`` where just that was asked for.

        :raises ClickException: none answers
        """
        from procnursery.client import dialing
        from procnursery.client.blocking import connect
        from procnursery.paths import LocalAddress

        address = dialing.resolve(self.address)
        if isinstance(address, LocalAddress) and not self.is_given:
            raise click.ClickException(self._none("no daemon answers"))
        return connect(str(address))

    def connect_to_lasting(self, command: str) -> Connection:
        """Connect to a daemon that outlives this command.

        :raises ClickException: the address is ``local:``
        """
        from procnursery.client import dialing
        from procnursery.client.blocking import connect
        from procnursery.paths import LocalAddress

        address = dialing.resolve(self.address)
        if isinstance(address, LocalAddress):
            needs = f"{command} needs a daemon that outlives this command"
            raise click.ClickException(
                self._none(f"{needs}, and local: is a daemon of this command only")
                if self.is_given
                else self._none(f"{needs}, and none answers")
            )
        return connect(str(address))

    def _none(self, what: str) -> str:
        from procnursery.client import dialing
        from procnursery.paths import default_socket

        found = "" if self.is_given else f" ({dialing.why_none_answers()})"
        return (
            f"{what}{found}. Start one with: procnurseryd --listen unix://{default_socket()} , "
            "or name one with -H ADDRESS or $PROCNURSERY_HOST"
        )
