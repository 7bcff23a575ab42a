"""``procnursery info`` and ``procnursery ping``."""

from __future__ import annotations

import sys
import time

import click

from procnursery.cli.inspect import print_fields
from procnursery.cli.plain import plain, print_json
from procnursery.cli.status import complain
from procnursery.cli.target import Target

LOCAL = "local: a daemon of this command only"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.pass_obj
def info(target: Target, as_json: bool) -> None:
    """Show what the daemon is and holds, how it holds process trees together, and what its
    machine is."""
    with target.connect() as connection:
        result = connection.info()
        # a daemon of another version or language may not know it
        facts = connection.facts() if "host" in connection.hello.capabilities else None
        local = connection.local
    if local and as_json:
        complain(LOCAL)
    elif local:
        click.echo(LOCAL)
    if as_json:
        print_json(plain(result) | {"facts": plain(facts)})
        return
    print_fields(plain(result))
    if facts is None:
        return
    lines = [(name, str(value)) for name, value in facts.values.items()]
    lines += [(one.field, f"unavailable: {one.reason}") for one in facts.unavailable]
    if sys.stdout.isatty():
        _print_table(lines)
    else:
        print_fields({"facts": dict(lines)})


def _print_table(lines: list[tuple[str, str]]) -> None:
    from rich.console import Console  # only a table for people needs it
    from rich.table import Table

    table = Table("FACT", "VALUE", box=None, pad_edge=False)
    for line in lines:
        table.add_row(*line)
    Console(markup=False, highlight=False, emoji=False).print(table)


@click.command()
@click.pass_obj
def ping(target: Target) -> None:
    """Ask the daemon whether it is there; exit with status 0 if it answered."""
    with target.connect_to_running() as connection:
        before = time.monotonic()
        connection.ping()
        took = time.monotonic() - before
        hello = connection.hello
    click.echo(
        f"{hello.host}: procnurseryd {hello.daemon.version}, pid {hello.daemon.pid}, "
        f"answered in {took * 1000:.2f} ms"
    )
