"""Instants on the command line."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from procnursery.cli.complaint import complain

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection
    from procnursery.model import Time

F = TypeVar("F", bound=Callable[..., Any])
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?")


class At(click.ParamType["Time"]):
    """An instant of the daemon's realtime clock, or seconds from now: (seconds, nanoseconds), the
    first negative if it is a distance."""

    name = "instant"

    def convert(self, value: Any, param: Any, ctx: Any) -> Time:
        """(seconds, nanoseconds); a distance as (-1 - seconds, nanoseconds)."""
        if isinstance(value, tuple):
            return value
        from procnursery.client.instants import instant

        text = str(value)
        distance = text.startswith("+")
        if _SECONDS.fullmatch(text[distance:]):
            seconds, _, fraction = text[distance:].partition(".")
            nanoseconds = int(fraction.ljust(9, "0")) if fraction else 0
            return (-1 - int(seconds) if distance else int(seconds), nanoseconds)
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is no instant such as +1.5 (seconds from now), 1790000000.25 (since "
                "1970) or 2026-09-21T14:00:00+02:00",
                param,
                ctx,
            )
        result = instant(moment.astimezone())
        assert result is not None
        return result


def at_option(what: str) -> Callable[[F], F]:
    """Add ``--at``."""
    return click.option(
        "--at",
        type=At(),
        metavar="INSTANT",
        help=f"When {what}, by the clock of the daemon's machine: +SECONDS from now, seconds since "
        "1970, or a date and time such as 2026-09-21T14:00:00.  [default: at once]",
    )


def resolved(connection: Connection, at: Time | None) -> Time | None:
    """An instant of the daemon's clock; a distance counts from what that clock says now. Says so
    if the instant has passed already."""
    if at is None:
        return None
    now = connection.ping().sent.realtime
    if at[0] >= 0:
        if at < now:
            complain("the instant has passed by the clock of the daemon's machine; acting at once")
        return at
    whole = (now[0] - 1 - at[0]) * 10**9 + now[1] + at[1]
    return divmod(whole, 10**9)
