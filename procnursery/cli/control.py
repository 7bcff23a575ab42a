"""``procnursery signal`` and ``procnursery stop``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import click

from procnursery.cli.at import at_option, resolved
from procnursery.cli.complaint import FAILURE, complain
from procnursery.cli.naming import selected, selecting_option
from procnursery.cli.options import Signal
from procnursery.cli.suggest import live_process
from procnursery.cli.target import Target
from procnursery.cli.values import Seconds

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from procnursery.model import Time


def _process_or_signal(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Ids; behind the first also signals."""
    found = live_process(ctx, param, incomplete)
    if ctx.params.get("ids"):
        found += Signal().shell_complete(ctx, param, incomplete)
    return found


@click.command()
@click.argument("ids", metavar="[ID]... [SIGNAL]", nargs=-1, shell_complete=_process_or_signal)
@selecting_option
@click.option(
    "-s",
    "--signal",
    "name",
    type=Signal(),
    metavar="SIGNAL",
    help="The signal; with this option every argument is an id.  [default: SIGTERM]",
)
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
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    name: str | None,
    whom: Literal["main", "group", "tree"],
    at: Time | None,
) -> None:
    """Send a signal to processes: SIGTERM unless another is named (SIGUSR1, HUP, 9).

    The last of several arguments names the signal if it is one in capital letters or a number.
    With --at the daemon sends it at that instant, and this command returns then; if this command
    is ended before, nothing is sent.
    """
    if (
        name is None
        and len(ids) + bool(labels) > 1
        and re.fullmatch(r"[A-Z][A-Z0-9+]*|\d+", ids[-1])
    ):
        name = Signal()(ids[-1], ctx=click.get_current_context())
        ids = ids[:-1]
    from procnursery.protocol import messages as m

    with target.connect_to_lasting("signal") as connection:
        chosen = selected(connection, ids, labels, wanted=lambda one: one.state == "running")
        known = [connection.get(one).id for one in chosen]
        due = resolved(connection, at)
        connection.request_all(
            "process.signal",
            [
                m.SignalParams(id=one, signal=name or "SIGTERM", target=whom, at=due)
                for one in known
            ],
        )


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=live_process)
@selecting_option
@at_option("the stop begins")
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
def stop(
    target: Target,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    grace: float | None,
    name: str | None,
    at: Time | None,
) -> int:
    """Stop processes and all their descendants, together, and see that they are gone.

    Several are stopped at the same time. Returns when they are gone: after the stop signal, the
    grace period and SIGKILL at the latest. What cannot be killed is named, and the exit status is
    255.
    """
    from procnursery.protocol import messages as m

    status = 0
    with target.connect_to_lasting("stop") as connection:
        chosen = [connection.get(one).id for one in selected(connection, ids, labels)]
        due = resolved(connection, at)
        params = [m.StopParams(id=one, signal=name, grace=grace, at=due) for one in chosen]
        for result in connection.request_all("process.stop", params):
            for one in result.process.tree.survivors:
                status = FAILURE
                complain(
                    f"{result.process.id}: pid {one.pid} ({one.command}) is still there: "
                    f"{one.reason}"
                )
    return status
