"""``procnursery wait``."""

from __future__ import annotations

from typing import Literal

import click

from procnursery.cli.readiness import tell_of_readiness
from procnursery.cli.status import complain, explain, status_of, tell_of_losses
from procnursery.cli.suggest import any_process
from procnursery.cli.target import Target
from procnursery.cli.values import Seconds
from procnursery.model import ProcessInfo
from procnursery.protocol import messages as m


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=any_process)
@click.option(
    "--until",
    type=click.Choice(("ready", "exited", "closed")),
    default="closed",
    show_default=True,
    help="ready: as it was started with; exited: its main process; closed: all descendants, too.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="SECONDS",
    help="Give up after so long, with status 255.  [default: never]",
)
@click.pass_obj
def wait(
    target: Target,
    ids: tuple[str, ...],
    until: Literal["ready", "exited", "closed"],
    timeout: float | None,
) -> int:
    """Wait until processes and all their descendants have ended; exit with the status of one as run
    does, and with the largest of several.

    With --until ready the status is 0 once it is ready; if it fails to become so, its last output
    is shown, and the status is that of its end, never 0.
    """
    status = 0
    with target.connect_to_lasting("wait") as connection:
        params = [
            m.WaitParams(id=connection.get(one).id, until=until, timeout=timeout) for one in ids
        ]
        for result in connection.request_all("process.wait", params):
            tell = tell_of_readiness if until == "ready" else _tell_of_end
            status = max(status, tell(result.process))
    return status


def _tell_of_end(info: ProcessInfo) -> int:
    line = explain(info)
    if line is not None:
        complain(line)
    tell_of_losses(info)
    return status_of(info)
