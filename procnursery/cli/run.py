"""``procnursery run``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import click

from procnursery.cli import suggest
from procnursery.cli.complaint import explain_error
from procnursery.cli.foreground import Foreground
from procnursery.cli.naming import as_labels, naming_options
from procnursery.cli.options import output_mode_option, spec_fields, spec_options
from procnursery.cli.output import error_text
from procnursery.cli.plain import ReportFile
from procnursery.cli.report import report_of, report_of_failed_start, report_of_lost
from procnursery.cli.status import (
    FAILURE,
    complain,
    explain,
    status_of,
    status_of_failed_start,
    tell_of_losses,
)
from procnursery.cli.target import Target
from procnursery.cli.terminal import (
    CallerTerminal,
    EndedBySignal,
    GivenUp,
    caller_environment,
    caller_size,
)
from procnursery.client.blocking import Connection
from procnursery.client.core import make_spec, request_error
from procnursery.errors import ConnectionLost
from procnursery.model import ProcessSpec


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-n", "no_stdin", is_flag=True, help="Give the program no input (/dev/null).")
@click.option(
    "-t",
    "--tty",
    count=True,
    help="Give the program a terminal, of this one's kind ($TERM) and size; all keys are the "
    "program's, Ctrl-C included. -tt: even if stdin is no terminal (then with 24 rows of 80).",
)
@naming_options
@spec_options
@output_mode_option("pipe", ("pipe", "spool", "direct", "null"))
@click.option(
    "--report",
    metavar="FILE",
    shell_complete=suggest.file,
    help="Write everything that is known of the run to FILE, as one JSON object; - is standard "
    "output, where it follows the program's.",
)
@click.argument(
    "argv", nargs=-1, required=True, type=click.UNPROCESSED, shell_complete=suggest.file
)
@click.pass_obj
def run(
    target: Target,
    /,
    argv: tuple[str, ...],
    no_stdin: bool,
    tty: int,
    report: str | None,
    **options: Any,
) -> int:
    """Run a program in the foreground, as ssh does.

    stdin, stdout and stderr are passed on byte for byte. Ctrl-C sends SIGINT to the program's
    process group, a second one stops it (stop signal, grace, SIGKILL), a third one gives up. When
    this command dies, the program and all its descendants are killed.

    With -t the program has a terminal, where stderr comes with stdout, and Ctrl-C is its own. Typed
    at the beginning of a line, ~. gives up, ~^Z suspends this command, and ~~ stands for ~. Its
    first signal of a stop is SIGHUP unless --stop-signal is given.

    \b
    procnursery run -- sh -c 'echo out; echo err >&2; exit 7'
    procnursery run --timeout 10 --report run.json -- ./experiment --size 100
    procnursery run -t -- bash
    tar c dir | procnursery -H unix:///tmp/pn.sock run --cwd /tmp -- tar x
    """
    report_file = _open_report(report)
    try:
        if tty:
            _want_terminal(tty, no_stdin, options)
        return _run(target, argv, no_stdin, tty > 0, report_file, options)
    except EndedBySignal as end:
        if report_file is not None:
            report_file.discard()
        return end.die()
    finally:
        if report_file is not None:
            report_file.discard()


def _want_terminal(tty: int, no_stdin: bool, options: dict[str, Any]) -> None:
    """Add to the options what a terminal needs.

    :raises ClickException: there is none, or another option excludes it
    """
    if no_stdin:
        raise click.ClickException("-n and -t exclude each other; nothing was started")
    if options["output_mode"] != "pipe":
        raise click.ClickException("--output-mode and -t exclude each other; nothing was started")
    if tty == 1 and not os.isatty(0):
        raise click.ClickException(
            "-t: stdin is no terminal; -tt gives the program one all the same. Nothing was started"
        )
    options["env"] = (*caller_environment(), *options["env"])
    options["stop_signal"] = options["stop_signal"] or "SIGHUP"


def _open_report(path: str | None) -> ReportFile | None:
    if path is None:
        return None
    try:
        return ReportFile(path)
    except OSError as error:
        raise click.ClickException(
            f"the report {path} cannot be written: {error_text(error)}; nothing was started"
        ) from error


def _run(
    target: Target,
    argv: tuple[str, ...],
    no_stdin: bool,
    tty: bool,
    report: ReportFile | None,
    options: dict[str, Any],
) -> int:
    naming = {"name": options.pop("name"), "labels": as_labels(options.pop("labels"))}
    with_stdin = not no_stdin
    connection = target.connect()
    try:
        fields = {key: value for key, value in spec_fields(**options).items() if value is not None}
        if tty:
            fields["pty"] = caller_size()
            del fields["stdout"], fields["stderr"]
        else:
            fields["stdin"] = "pipe" if with_stdin else "null"
        spec = make_spec(argv, local=connection.local, **naming, **fields)
        status, content = _run_on(connection, spec, with_stdin)
    except FileNotFoundError as error:  # os.getcwd(3)
        raise click.ClickException(
            "the present directory does not exist any more; name one with --cwd"
        ) from error
    except GivenUp:
        connection.abandon()
        complain("gave up; the daemon stops the program since its client is gone")
        return FAILURE
    except EndedBySignal as end:
        connection.abandon()
        with contextlib.suppress(OSError):  # the terminal may have hung up
            complain(f"{end}: the daemon stops the program since its client is gone")
        raise
    finally:
        connection.close()
    if report is not None:
        try:
            report.write(content)
        except OSError as error:
            complain(f"the report {report.name} cannot be written: {error_text(error)}")
            return FAILURE
    return status


def _run_on(
    connection: Connection, spec: ProcessSpec, with_stdin: bool
) -> tuple[int, dict[str, Any]]:
    """(exit status, report)"""
    host = connection.hello.host
    terminal = CallerTerminal() if spec.pty is not None and os.isatty(0) else None
    program = Foreground(connection, spec, stdin=with_stdin, terminal=terminal)
    try:
        program.run()
    except ConnectionLost as error:
        complain(f"{error}; the outcome of the program is unknown")
        return FAILURE, report_of_lost(spec, str(error), host, program.id, program.pid)
    info = program.info
    if info is None:
        assert program.failed is not None
        failure = request_error(program.failed)
        complain(explain_error(failure))
        return status_of_failed_start(failure), report_of_failed_start(spec, failure, host)
    undelivered = program.undelivered
    line = explain(info)
    # Its own end by SIGPIPE is what a program in a pipeline is expected to come to.
    quiet = program.cut_off and info.outcome is not None and info.outcome.signal == "SIGPIPE"
    if line is not None and not quiet:
        complain(line)
    tell_of_losses(info)
    status = status_of(info)
    for name, lack in undelivered.items():
        if lack.error is not None:
            status = FAILURE
            complain(
                f"{info.id}: {name} {lack.error}; {lack.bytes} bytes of it were not delivered"
                + (", and the program was stopped" if program.cut_off and info.acts else "")
            )
    return status, report_of(info, host, undelivered)
