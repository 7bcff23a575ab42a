"""``procnursery start``."""

from __future__ import annotations

from typing import Any

import click

from procnursery.cli.options import output_mode_option, spec_fields, spec_options
from procnursery.cli.status import complain, status_of_failed_start
from procnursery.cli.target import Target
from procnursery.errors import StartFailed


@click.command(context_settings={"allow_interspersed_args": False})
@spec_options
@output_mode_option("spool", ("spool", "direct", "null"))
@click.option(
    "--token",
    metavar="TEXT",
    help="Any text of your choice: a second start with the same one gives the same process, so "
    "that a start can be tried again without harm.",
)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def start(target: Target, /, argv: tuple[str, ...], token: str | None, **options: Any) -> int:
    """Start a program that goes on without this command; prints its id.

    \b
    id=$(procnursery start -- ./server --port 80)
    procnursery logs -f $id
    procnursery stop $id
    """
    with target.connect_to_lasting("start") as connection:
        fields = {key: value for key, value in spec_fields(**options).items() if value is not None}
        try:
            process = connection.start(argv, token=token, on_disconnect="keep", **fields)
        except StartFailed as error:
            complain(str(error))
            return status_of_failed_start(error)
    print(process.id)
    return 0
