"""``procnursery [-H ADDRESS] COMMAND``: commands are imported when they are used."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Any, NoReturn

import click

import procnursery
from procnursery.cli.status import FAILURE, complain, reader_gone
from procnursery.cli.target import Target
from procnursery.errors import ProcnurseryError

_COMMANDS = {
    "run": "run",
    "start": "start",
    "ps": "ps",
    "logs": "logs",
    "wait": "wait",
    "signal": "control",
    "stop": "control",
    "restart": "gate",
    "release": "gate",
    "events": "events",
    "inspect": "inspect",
    "info": "info",
    "stats": "stats",
    "ping": "info",
    "stdio": "stdio",
}

_EPILOG = """\b
Exit status of run and wait:
  the program's own     it exited with it
  128+n                 it was ended by signal n
  124                   its timeout was over
  127                   exec found no such file (ENOENT)
  126                   it could not be started for any other reason
  255                   procnursery failed: wrong usage, no daemon, outcome unknown

\b
Shell completion, for bash (zsh and fish alike):
  eval "$(_PROCNURSERY_COMPLETE=bash_source procnursery)"
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
    help="The daemon: unix:///path, tcp://host:port, or local: for a daemon of this one command. "
    "Default: $PROCNURSERY_HOST, else the system's or the user's daemon if it answers, else "
    "local:.",
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
    # A daemon's output has to be looked at by its bytes, so nothing may stop at odd text.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status = _run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = reader_gone()
    sys.exit(status)


def _run(arguments: list[str] | None) -> int:
    try:
        result: Any = cli(arguments, prog_name="procnursery", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return FAILURE
    except ProcnurseryError as error:
        complain(str(error))
        return FAILURE
    except BrokenPipeError:
        return reader_gone()
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    return result if isinstance(result, int) else 0
