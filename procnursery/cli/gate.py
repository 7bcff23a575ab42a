"""``procnursery release`` and ``procnursery restart``."""

from __future__ import annotations

import click

from procnursery.cli.at import at_option, resolved
from procnursery.cli.naming import selected, selecting_option
from procnursery.cli.plain import print_json
from procnursery.cli.status import complain, status_of_failed_start, status_of_outcome
from procnursery.cli.suggest import held_process, name_of_process
from procnursery.cli.target import Target
from procnursery.errors import StartFailed
from procnursery.model import Time


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=held_process)
@selecting_option
@at_option("their programs are executed")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, for programs.")
@click.pass_obj
def release(
    target: Target,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    at: Time | None,
    as_json: bool,
) -> int:
    """Let programs go that were started with --hold, together.

    Each of them is one step before its exec. With --at each waits for that instant by itself, so
    neither the cost of starting nor the network is in what you measure; how late each was is
    printed. If one of them is not held, none is released. Once the daemon has been told, the
    release goes on, also if this command is ended before the instant.

    \b
    for i in 1 2 3; do procnursery start --hold --label run=7 -- ./client $i; done
    procnursery release --label run=7 --at +0.5
    """
    with target.connect_to_lasting("release") as connection:
        chosen = selected(connection, ids, labels, wanted=lambda one: one.state == "held")
        releases = connection.release(chosen, at=resolved(connection, at))
    if as_json:
        print_json(releases)
    status = 0
    for one in releases:
        if one.outcome is not None:
            complain(f"{one.id} {one.outcome}")
            status = max(status, status_of_outcome(one.outcome))
        elif not as_json:
            late = one.release.late_s
            print(f"{one.id} " + ("released" if late is None else f"released, {late * 1e6:.0f} us"))
        if one.release.missed:
            complain(f"{one.id}: its instant had passed before it was told")
    return status


@click.command()
@click.argument("name", shell_complete=name_of_process)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time between the stop signal and SIGKILL.  [default: as it was started with]",
)
@click.pass_obj
def restart(target: Target, name: str, grace: float | None) -> int:
    """Stop a named process, if it is not closed, and start the same program again.

    It keeps its name and gets a new id, which is printed, and the next incarnation's number.
    """
    with target.connect_to_lasting("restart") as connection:
        try:
            process = connection.restart(name, grace=grace)
        except StartFailed as error:
            complain(str(error))
            return status_of_failed_start(error)
    print(process.id)
    return 0
