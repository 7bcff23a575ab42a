"""``procnursery wait``."""

from __future__ import annotations

import click

from procnursery.cli.status import complain, explain, status_of, tell_of_losses
from procnursery.cli.target import Target
from procnursery.protocol import messages as m


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def wait(target: Target, ids: tuple[str, ...]) -> int:
    """Wait until processes and all their descendants have ended; exit with the status of one as run
    does, and with the largest of several."""
    status = 0
    with target.connect_to_lasting("wait") as connection:
        params = [m.WaitParams(id=connection.get(one).id, until="closed") for one in ids]
        for result in connection.request_all("process.wait", params):
            info = result.process
            line = explain(info)
            if line is not None:
                complain(line)
            tell_of_losses(info)
            status = max(status, status_of(info))
    return status
