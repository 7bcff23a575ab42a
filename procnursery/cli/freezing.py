"""``procnursery freeze`` and ``procnursery thaw``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from procnursery.cli.at import at_option, resolved
from procnursery.cli.naming import selected, selecting_option
from procnursery.cli.suggest import live_process
from procnursery.cli.target import Target

if TYPE_CHECKING:
    from procnursery.model import ProcessSummary, Time


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=live_process)
@selecting_option
@at_option("they are frozen")
@click.pass_obj
def freeze(
    target: Target,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    at: Time | None,
) -> None:
    """Make processes and all their descendants stand still, until they are thawed.

    Returns when all of them are known to stand still; what does not within seconds is named, and
    its process is thawed again. Signals wait until then, but SIGKILL does not, and stop works as
    ever. With --at the daemon freezes them at that instant; if this command is ended before,
    nothing is frozen.

    \b
    procnursery freeze --label role=server --at +0.5
    procnursery thaw --label role=server
    """
    from procnursery.protocol import messages as m

    with target.connect_to_lasting("freeze") as connection:
        chosen = selected(connection, ids, labels, wanted=_runs)
        due = resolved(connection, at)
        params = [m.FreezeParams(id=one, at=due) for one in chosen]
        connection.request_all("process.freeze", params)


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=live_process)
@selecting_option
@at_option("they go on")
@click.pass_obj
def thaw(
    target: Target,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    at: Time | None,
) -> None:
    """Let frozen processes and all their descendants go on.

    With --at the daemon does so at that instant; if this command is ended before, they stay
    frozen. Those that are not frozen are left as they are.
    """
    from procnursery.protocol import messages as m

    with target.connect_to_lasting("thaw") as connection:
        chosen = selected(connection, ids, labels, wanted=_runs)
        due = resolved(connection, at)
        connection.request_all("process.thaw", [m.ThawParams(id=one, at=due) for one in chosen])


def _runs(one: ProcessSummary) -> bool:
    return one.state in ("running", "exited")
