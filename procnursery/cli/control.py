"""``procnursery signal`` and ``procnursery stop``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from procnursery.cli.at import at_option, resolved
from procnursery.cli.complaint import FAILURE, complain
from procnursery.cli.naming import selected, selecting_option
from procnursery.cli.options import Signal
from procnursery.cli.suggest import live_process
from procnursery.cli.target import Target

if TYPE_CHECKING:
    from procnursery.model import Time


@click.command()
@click.argument("id", shell_complete=live_process)
@click.argument("name", metavar="[SIGNAL]", type=Signal(), default="SIGTERM")
@at_option("it is delivered")
@click.option(
    "--target",
    "whom",
    type=click.Choice(("main", "group", "tree")),
    default="main",
    show_default=True,
    help="The main process, its process group, or every process of its tree.",
)
@click.pass_obj
def signal(
    target: Target,
    id: str,
    name: str,
    whom: Literal["main", "group", "tree"],
    at: Time | None,
) -> None:
    """Send a signal to a process: SIGTERM unless another is named (SIGUSR1, HUP, 9).

    With --at the daemon sends it at that instant, and this command returns then; if this command
    is ended before, nothing is sent.
    """
    with target.connect_to_lasting("signal") as connection:
        connection.get(id).signal(name, target=whom, at=resolved(connection, at))


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=live_process)
@selecting_option
@at_option("the stop begins")
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
def stop(
    target: Target,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    grace: float | None,
    name: str | None,
    at: Time | None,
) -> int:
    """Stop processes and all their descendants, together, and see that they are gone.

    Returns when they are: after the stop signal, the grace period and SIGKILL at the latest. What
    cannot be killed is named, and the exit status is 255.
    """
    with target.connect_to_lasting("stop") as connection:
        chosen = selected(connection, ids, labels)
        infos = connection.stop(chosen, signal=name, grace=grace, at=resolved(connection, at))
    for info in infos:
        for one in info.tree.survivors:
            complain(f"{info.id}: pid {one.pid} ({one.command}) is still there: {one.reason}")
    return FAILURE if any(info.tree.verdict == "survivors" for info in infos) else 0
