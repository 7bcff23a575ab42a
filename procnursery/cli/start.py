"""``procnursery start``."""

from __future__ import annotations

from typing import Any

import click

from procnursery.cli import suggest
from procnursery.cli.naming import as_labels, naming_options
from procnursery.cli.options import output_mode_option, spec_fields, spec_options
from procnursery.cli.readiness import ready_options, ready_spec, tell_of_readiness
from procnursery.cli.status import complain, status_of_failed_start
from procnursery.cli.target import Target
from procnursery.errors import StartFailed


@click.command(context_settings={"allow_interspersed_args": False})
@spec_options
@output_mode_option("spool", ("spool", "direct", "null"))
@naming_options
@click.option(
    "--hold",
    is_flag=True,
    help="Prepare everything and wait one step before the exec, until procnursery release.",
)
@ready_options
@click.option(
    "--token",
    metavar="TEXT",
    help="Any text of your choice: a second start with the same one gives the same process, so "
    "that a start can be tried again without harm.",
)
@click.argument(
    "argv", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=suggest.file
)
@click.pass_obj
def start(
    target: Target,
    /,
    argv: tuple[str, ...],
    token: str | None,
    name: str | None,
    labels: tuple[tuple[str, str], ...],
    hold: bool,
    **options: Any,
) -> int:
    """Start a program that goes on without this command; prints its id.

    With one of the --ready options it returns when the program is ready for use. If it fails to
    become so, its last output is shown, and the exit status is that of wait, never 0.

    \b
    id=$(procnursery start -- ./server --port 80)
    procnursery logs -f $id
    procnursery stop $id
    """
    with target.connect_to_lasting("start") as connection:
        ready = ready_spec(**{key: options.pop(key) for key in list(options) if "ready" in key})
        fields = {key: value for key, value in spec_fields(**options).items() if value is not None}
        try:
            process = connection.start(
                argv,
                token=token,
                on_disconnect="keep",
                name=name,
                labels=as_labels(labels),
                hold=hold,
                ready=ready,
                **fields,
            )
        except StartFailed as error:
            complain(str(error))
            return status_of_failed_start(error)
        print(process.id, flush=True)
        if ready is None or hold:
            return 0
        return tell_of_readiness(process.wait_ready())
