"""``procnursery [-H ADDRESS] COMMAND``: commands are imported when they are used."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from typing import Any, NoReturn

import click

import procnursery
from procnursery.cli import suggest
from procnursery.cli.complaint import EXHAUSTED, FAILURE, complain, explain_error
from procnursery.cli.output import OutputFailed, error_text, guard_output, mute
from procnursery.cli.target import Target
from procnursery.errors import ProcnurseryError
from procnursery.inherited import fill_standard_descriptors, undo_locale_coercion

_COMMANDS = {
    "run": "run",
    "start": "start",
    "ps": "ps",
    "logs": "logs",
    "wait": "wait",
    "signal": "control",
    "stop": "control",
    "freeze": "freezing",
    "thaw": "freezing",
    "restart": "gate",
    "release": "gate",
    "events": "events",
    "inspect": "inspect",
    "info": "info",
    "stats": "stats",
    "ping": "info",
    "stdio": "stdio",
    "completion": "completion",
}
COMPLETE = "_PROCNURSERY_COMPLETE"
"""Set by a shell that wants a line to be completed, to SHELL_complete."""

_EPILOG = """\b
Exit status of run and wait:
  the program's own     it exited with it
  128+n                 it was ended by signal n
  124                   its timeout was over
  127                   exec found no such file (ENOENT)
  126                   it could not be started for any other reason
  255                   procnursery failed: wrong usage, no daemon, output not
                        delivered, outcome unknown
"""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order in which one learns them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"procnursery.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        """Names, with descriptions where the shell shows them: those are in the modules."""
        if os.environ.get(COMPLETE) != "bash_complete":
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name) for name in _COMMANDS if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-H",
    "--host",
    "address",
    metavar="ADDRESS",
    shell_complete=suggest.address,
    help="The daemon: unix:///path, tcp://host:port, or local: for a daemon of this one command. "
    "Default: $PROCNURSERY_HOST, else the system's or the user's daemon if it answers, else, for "
    "run and info, local:.",
)
@click.version_option(procnursery.__version__, prog_name="procnursery")
@click.pass_context
def cli(context: click.Context, address: str | None) -> None:
    """Run programs on a machine under control, and learn the truth about them.

    \b
    procnursery run -- sh -c 'echo hello; exit 7'
    procnursery -H unix:///run/procnursery/procnursery.sock start -- sleep 1000
    """
    context.obj = Target(address)


def main(arguments: list[str] | None = None) -> NoReturn:
    """The installed command: runs and exits."""
    fill_standard_descriptors()
    undo_locale_coercion()
    guard_output()
    if COMPLETE in os.environ:
        from procnursery.cli.bash import register

        register()
    status = _run(arguments)
    try:
        sys.stdout.flush()
    except OutputFailed as error:
        status = _output_failed(error)
    sys.exit(status)


def _run(arguments: list[str] | None) -> int:
    """The exit status: whatever goes wrong here is no program's status."""
    try:
        result: Any = cli(arguments, prog_name="procnursery", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return FAILURE
    except click.ClickException as error:
        complain(_one_line(error))
        return FAILURE
    except ProcnurseryError as error:
        complain(explain_error(error))
        return FAILURE
    except OutputFailed as error:
        return _output_failed(error)
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    except Exception as error:
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            complain(f"this machine or its limits allow no more: {error_text(error)}")
        else:
            traceback.print_exc()
            complain("the above is a defect of procnursery; please report it")
        return FAILURE
    return result if isinstance(result, int) else 0


def _one_line(error: click.ClickException) -> str:
    """What is wrong, and where to read how it would be right."""
    message = " ".join(error.format_message().split()).removesuffix(".")
    if not isinstance(error, click.UsageError):
        return message
    message = message[:1].lower() + message[1:]
    path = "procnursery" if error.ctx is None else error.ctx.command_path
    return f"{message} (see {path} --help)"


def _output_failed(error: OutputFailed) -> int:
    """Whoever read our output has left: end as SIGPIPE would, without a further word. Anything
    else is a failure."""
    mute()
    if error.reader_gone:
        return 128 + signal.SIGPIPE
    complain(str(error))
    return FAILURE
