"""Options that say how a program shows that it is ready, and waiting for that."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from procnursery.cli.status import FAILURE, complain, explain, status_of
from procnursery.model import ProcessInfo, ReadySpec

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--ready-notify",
        is_flag=True,
        help="It is ready when it sends READY=1 to $NOTIFY_SOCKET, sd_notify(3).",
    ),
    click.option(
        "--ready-output",
        metavar="PATTERN",
        help="It is ready when a line of its stdout contains PATTERN, in which * ? [...] match as "
        "in a shell.",
    ),
    click.option(
        "--ready-stderr", metavar="PATTERN", help="The same with its stderr instead of its stdout."
    ),
    click.option(
        "--ready-connect",
        metavar="ADDRESS",
        help="It is ready when a connection to tcp://host:port or unix:///path is accepted, by "
        "whomever: what an earlier server left there counts, too.",
    ),
    click.option(
        "--ready-timeout",
        type=click.FloatRange(min=0),
        default=60,
        show_default=True,
        metavar="SECONDS",
        help="Stop it if it is not ready so long after its start.",
    ),
)


def ready_options(function: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def ready_spec(
    *,
    ready_notify: bool,
    ready_output: str | None,
    ready_stderr: str | None,
    ready_connect: str | None,
    ready_timeout: float,
) -> ReadySpec | None:
    """What the options ask for; None: nothing.

    :raises UsageError: more than one way
    """
    found = []
    if ready_notify:
        found.append(ReadySpec(mode="notify", timeout=ready_timeout))
    if ready_output is not None:
        pattern = os.fsencode(ready_output)
        found.append(ReadySpec(mode="output", pattern=pattern, timeout=ready_timeout))
    if ready_stderr is not None:
        pattern = os.fsencode(ready_stderr)
        found.append(
            ReadySpec(mode="output", pattern=pattern, stream="stderr", timeout=ready_timeout)
        )
    if ready_connect is not None:
        found.append(ReadySpec(mode="connect", address=ready_connect, timeout=ready_timeout))
    if len(found) > 1:
        raise click.UsageError("a program is ready in one way: give one of the --ready options")
    return found[0] if found else None


def tell_of_readiness(info: ProcessInfo) -> int:
    """Exit status once it is known whether a process is ready; says why it is not, and what it
    wrote last."""
    ready = info.ready
    assert ready is not None
    if ready.state == "ready" and info.outcome is None:
        return 0
    if ready.state == "ready":
        complain(f"{info.id} was ready, but has ended since")
        return status_of(info) or FAILURE
    complain(f"{info.id} did not become ready: {ready.reason}")
    line = explain(info)
    if line is not None:
        complain(line)
    for name, tail in ready.tails.items():
        if tail:
            complain(f"the end of its {name}:")
            sys.stderr.flush()
            sys.stderr.buffer.write(tail if tail.endswith(b"\n") else tail + b"\n")
            sys.stderr.flush()
    return status_of(info) or FAILURE
