"""``procnursery wait``."""

from __future__ import annotations

import click

from procnursery.cli.status import complain, explain, status_of, tell_of_losses
from procnursery.cli.target import Target


@click.command()
@click.argument("id")
@click.pass_obj
def wait(target: Target, id: str) -> int:
    """Wait until a process and all its descendants have ended; exit with its status as run does."""
    with target.connect_to_lasting("wait") as connection:
        info = connection.get(id).wait_closed()
    line = explain(info)
    if line is not None:
        complain(line)
    tell_of_losses(info)
    return status_of(info)
