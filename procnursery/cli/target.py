"""The daemon that a command works on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection


class Target(NamedTuple):
    """What ``-H`` says. The client is imported when it is used: help and completion do without.

    :ivar address: None: the default
    """

    address: str | None

    def connect(self) -> Connection:
        """Connect.

        :raises ConnectionFailed: no daemon can be reached
        """
        from procnursery.client.blocking import connect

        return connect(self.address)

    def connect_to_lasting(self, command: str) -> Connection:
        """Connect to a daemon that outlives this command.

        :raises ClickException: the address is ``local:``
        """
        from procnursery.client import dialing
        from procnursery.client.blocking import connect
        from procnursery.paths import LocalAddress, default_socket

        address = dialing.resolve(self.address)
        if isinstance(address, LocalAddress):
            raise click.ClickException(
                f"{command} needs a daemon that outlives this command, and none answers. Start "
                f"one with: procnurseryd --listen unix://{default_socket()} , or name one with "
                "-H ADDRESS or $PROCNURSERY_HOST"
            )
        return connect(str(address))
