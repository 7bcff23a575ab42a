"""What completes the arguments: ids, addresses, files. Whatever fails suggests nothing.

Commands import this file to declare their arguments, so it imports what it needs when it is asked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from procnursery.errors import ProcnurseryError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from procnursery.model import ProcessSummary
    from procnursery.protocol.messages import ListResult

PATIENCE = 1.0
"""Seconds that a daemon has to answer: somebody waits with a finger on the key."""


def any_process(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Ids of all processes that the daemon knows, and their names."""
    return _suggest(context, incomplete, None)


def live_process(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Ids of processes that have not ended, and their names."""
    return _suggest(context, incomplete, ("starting", "held", "running", "exited"))


def held_process(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Ids of processes that wait at their gate, and their names."""
    return _suggest(context, incomplete, ("held",))


def name_of_process(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Names of all processes that have one."""
    return _suggest(context, incomplete, None, ids=False)


def _suggest(
    context: click.Context, incomplete: str, states: tuple[str, ...] | None, *, ids: bool = True
) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem

    try:
        found = list(_processes(context.find_root().params.get("address"), states))
    except (ProcnurseryError, OSError):  # no daemon, none for this user, or none that answers
        return []
    items: dict[str, str] = {}  # a name means the latest process that has it
    for one in found:
        about = f"{one.state}: {_command(one.argv)}"
        if ids:
            items[one.id] = about
        if one.name is not None:
            items[one.name] = about
    given = context.params.get("ids") or ()  # of commands that take several
    return [
        CompletionItem(value, help=about)
        for value, about in items.items()
        if value.startswith(incomplete) and value not in given
    ]


def _command(argv: Iterable[bytes]) -> str:
    words = " ".join(os.fsdecode(word) for word in argv)
    text = "".join(c if c.isprintable() else "?" for c in words)
    return text if len(text) <= 60 else text[:59] + "…"


def _processes(address: str | None, states: tuple[str, ...] | None) -> Iterator[ProcessSummary]:
    """Those that the daemon tells of in time.

    :raises ProcnurseryError: there is no daemon, or it does not answer
    """
    import time

    from procnursery.client import dialing
    from procnursery.client.blocking import connect
    from procnursery.paths import LocalAddress
    from procnursery.protocol import messages as m

    resolved = dialing.resolve(address)
    if isinstance(resolved, LocalAddress):  # a daemon of its own would know of no process
        return
    deadline = time.monotonic() + PATIENCE
    with connect(str(resolved), timeout=PATIENCE) as connection:
        after = None
        while True:
            reply = _Reply()
            params = m.ListParams(after=after, limit=1000, states=states)  # type: ignore[arg-type]
            connection.exchange.call("process.list", params, reply.take)
            while not reply.there:
                if not connection.pump(deadline - time.monotonic()):
                    return
            if reply.result is None:
                return
            yield from reply.result.processes
            after = reply.result.next
            if after is None:
                return


class _Reply:
    """A reply that may come in time; an error is as good as none."""

    there = False
    result: ListResult | None = None

    def take(self, result: ListResult | None, _error: object) -> None:
        self.there, self.result = True, result


def address(
    _context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Sockets that are there, and what the other addresses begin with."""
    from click.shell_completion import CompletionItem

    from procnursery.paths import system_socket, user_socket

    if incomplete.startswith("unix:///"):
        values = list(_sockets_below(incomplete.removeprefix("unix://")))
    else:
        usual = [os.environ.get("PROCNURSERY_HOST", "")]
        usual += [f"unix://{path}" for path in (system_socket(), user_socket()) if _is_socket(path)]
        values = [*dict.fromkeys(filter(None, usual)), "local:", "unix:///", "tcp://"]
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def _is_socket(path: os.PathLike[str]) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _sockets_below(path: str) -> Iterator[str]:
    """Sockets and directories in the directory of ``path``, as addresses."""
    directory = path[: path.rindex("/") + 1]
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            yield f"unix://{directory}{entry.name}/"
        elif _is_socket(entry):
            yield f"unix://{directory}{entry.name}"


def file(_context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Files, which the shell itself finds: on this machine, as far as it is the daemon's."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def directory(
    _context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Directories, as :func:`file`."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]
