"""``procnursery signal`` and ``procnursery stop``."""

from __future__ import annotations

import re
from typing import Literal

import click

from procnursery.cli.options import Signal
from procnursery.cli.status import FAILURE, complain
from procnursery.cli.target import Target
from procnursery.cli.values import Seconds
from procnursery.protocol import messages as m


@click.command()
@click.argument("ids", metavar="ID... [SIGNAL]", nargs=-1, required=True)
@click.option(
    "-s",
    "--signal",
    "name",
    type=Signal(),
    metavar="SIGNAL",
    help="The signal; with this option every argument is an id.  [default: SIGTERM]",
)
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
    ids: tuple[str, ...],
    name: str | None,
    whom: Literal["main", "group", "tree"],
) -> None:
    """Send a signal to processes: SIGTERM unless another is named (SIGUSR1, HUP, 9).

    The last of several arguments names the signal if it is one in capital letters or a number.
    """
    if name is None and len(ids) > 1 and re.fullmatch(r"[A-Z][A-Z0-9+]*|\d+", ids[-1]):
        name = Signal()(ids[-1], ctx=click.get_current_context())
        ids = ids[:-1]
    with target.connect_to_lasting("signal") as connection:
        known = [connection.get(one).id for one in ids]
        connection.request_all(
            "process.signal",
            [m.SignalParams(id=one, signal=name or "SIGTERM", target=whom) for one in known],
        )


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--grace",
    type=Seconds(),
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
def stop(target: Target, ids: tuple[str, ...], grace: float | None, name: str | None) -> int:
    """Stop processes and all their descendants, and see that they are gone.

    Several are stopped at the same time. Returns when they are gone: after the stop signal, the
    grace period and SIGKILL at the latest. What cannot be killed is named, and the exit status is
    255.
    """
    status = 0
    with target.connect_to_lasting("stop") as connection:
        params = [m.StopParams(id=connection.get(one).id, signal=name, grace=grace) for one in ids]
        for result in connection.request_all("process.stop", params):
            for one in result.process.tree.survivors:
                status = FAILURE
                complain(
                    f"{result.process.id}: pid {one.pid} ({one.command}) is still there: "
                    f"{one.reason}"
                )
    return status
