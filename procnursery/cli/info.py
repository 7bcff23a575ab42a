"""``procnursery info`` and ``procnursery ping``."""

from __future__ import annotations

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
    """Show what the daemon is, how it holds process trees together, and what it holds."""
    with target.connect() as connection:
        result = connection.info()
        local = connection.local
    if local and as_json:
        complain(LOCAL)
    elif local:
        click.echo(LOCAL)
    if as_json:
        print_json(result)
    else:
        print_fields(plain(result))


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
