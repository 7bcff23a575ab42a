"""The daemon that a command works on."""

from __future__ import annotations

import os

import attrs
import click

from procnursery.client import dialing
from procnursery.client.blocking import Connection, connect
from procnursery.paths import Address, LocalAddress, default_socket


@attrs.frozen
class Target:
    """What ``-H`` says.

    :ivar address: None: the default
    """

    address: str | None

    @property
    def is_given(self) -> bool:
        """Whether the user has named a daemon, or leaves it to us to find one."""
        return bool(self.address or os.environ.get(dialing.VARIABLE))

    def connect(self) -> Connection:
        """Connect.

        :raises ConnectionFailed: no daemon can be reached
        """
        return connect(self.address)

    def connect_to_running(self) -> Connection:
        """Connect to a daemon that runs already, or to ``local:`` where just that was asked for.

        :raises ClickException: none answers
        """
        address = dialing.resolve(self.address)
        if isinstance(address, LocalAddress) and not self.is_given:
            raise click.ClickException(self._none("no daemon answers"))
        return connect(str(address))

    def connect_to_lasting(self, command: str) -> Connection:
        """Connect to a daemon that outlives this command.

        :raises ClickException: the address is ``local:``
        """
        address: Address = dialing.resolve(self.address)
        if isinstance(address, LocalAddress):
            needs = f"{command} needs a daemon that outlives this command"
            raise click.ClickException(
                self._none(f"{needs}, and local: is a daemon of this command only")
                if self.is_given
                else self._none(f"{needs}, and none answers")
            )
        return connect(str(address))

    def _none(self, what: str) -> str:
        found = "" if self.is_given else f" ({dialing.why_none_answers()})"
        return (
            f"{what}{found}. Start one with: procnurseryd --listen unix://{default_socket()} , "
            "or name one with -H ADDRESS or $PROCNURSERY_HOST"
        )
