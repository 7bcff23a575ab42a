"""``procnursery wait``."""

from __future__ import annotations

from typing import Literal

import click

from procnursery.cli.readiness import tell_of_readiness
from procnursery.cli.status import complain, explain, status_of, tell_of_losses
from procnursery.cli.suggest import any_process
from procnursery.cli.target import Target


@click.command()
@click.argument("id", shell_complete=any_process)
@click.option(
    "--until",
    type=click.Choice(("ready", "exited", "closed")),
    default="closed",
    show_default=True,
    help="ready: as it was started with; exited: its main process; closed: all descendants, too.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up after so long, with status 255.  [default: never]",
)
@click.pass_obj
def wait(
    target: Target, id: str, until: Literal["ready", "exited", "closed"], timeout: float | None
) -> int:
    """Wait until a process and all its descendants have ended; exit with its status as run does.

    With --until ready the status is 0 once it is ready; if it fails to become so, its last output
    is shown, and the status is that of its end, never 0.
    """
    with target.connect_to_lasting("wait") as connection:
        info = connection.get(id).wait_until(until, timeout=timeout)
    if until == "ready":
        return tell_of_readiness(info)
    line = explain(info)
    if line is not None:
        complain(line)
    tell_of_losses(info)
    return status_of(info)
