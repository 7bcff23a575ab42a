"""``procnursery ps``."""

from __future__ import annotations

import os
import shlex
import sys
import time

import click

from procnursery.cli.naming import as_labels, selecting_option
from procnursery.cli.plain import print_json
from procnursery.cli.target import Target
from procnursery.model import ProcessSummary


@click.command()
@click.option("--name", help="Only processes of this name, all their incarnations.")
@selecting_option
@click.option("--live", is_flag=True, help="Leave out those that have ended.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, for programs.")
@click.pass_obj
def ps(
    target: Target,
    name: str | None,
    labels: tuple[tuple[str, str], ...],
    live: bool,
    as_json: bool,
) -> None:
    """List the processes that the daemon knows, oldest first."""
    with target.connect_to_lasting("ps") as connection:
        processes = connection.list(name=name, labels=as_labels(labels))
    if live:
        processes = [one for one in processes if one.state != "closed"]
    if as_json:
        print_json(processes)
    else:
        _print_table(processes)


def _print_table(processes: list[ProcessSummary]) -> None:
    from rich.console import Console  # only a table for people needs it
    from rich.table import Table

    columns = ("ID", "NAME", "STATE", "PID", "STARTED", "OUTCOME", "COMMAND")
    table = Table(*columns, box=None, pad_edge=False)
    for one in processes:
        table.add_row(
            one.id,
            "" if one.name is None else f"{one.name} #{one.incarnation}",
            f"{one.state}, frozen" if one.frozen else one.state,
            str(one.pid or ""),
            _when(one),
            "" if one.outcome is None else str(one.outcome),
            shlex.join(os.fsdecode(word) for word in one.argv),
        )
    width = None if sys.stdout.isatty() else 4096
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def _when(one: ProcessSummary) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.times.requested.realtime[0]))
