"""``procnursery signal`` and ``procnursery stop``."""

from __future__ import annotations

from typing import Literal

import click

from procnursery.cli.options import Signal
from procnursery.cli.status import FAILURE, complain
from procnursery.cli.target import Target


@click.command()
@click.argument("id")
@click.argument("name", metavar="[SIGNAL]", type=Signal(), default="SIGTERM")
@click.option(
    "--target",
    "whom",
    type=click.Choice(("main", "group", "tree")),
    default="main",
    show_default=True,
    help="The main process, its process group, or every process of its tree.",
)
@click.pass_obj
def signal(target: Target, id: str, name: str, whom: Literal["main", "group", "tree"]) -> None:
    """Send a signal to a process: SIGTERM unless another is named (SIGUSR1, HUP, 9)."""
    with target.connect_to_lasting("signal") as connection:
        connection.get(id).signal(name, target=whom)


@click.command()
@click.argument("id")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time between the stop signal and SIGKILL.  [default: as it was started with]",
)
@click.option(
    "--signal",
    "name",
    type=Signal(),
    metavar="SIGNAL",
    help="First signal.  [default: as it was started with]",
)
@click.pass_obj
def stop(target: Target, id: str, grace: float | None, name: str | None) -> int:
    """Stop a process and all its descendants, and see that they are gone.

    Returns when they are: after the stop signal, the grace period and SIGKILL at the latest. What
    cannot be killed is named, and the exit status is 255.
    """
    with target.connect_to_lasting("stop") as connection:
        info = connection.get(id).stop(signal=name, grace=grace)
    if info.tree.verdict != "survivors":
        return 0
    for one in info.tree.survivors:
        complain(f"{id}: pid {one.pid} ({one.command}) is still there: {one.reason}")
    return FAILURE
