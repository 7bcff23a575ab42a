"""Names and labels on the command line, and the processes that they select."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from procnursery.client.blocking import Connection
    from procnursery.model import ProcessSummary

F = TypeVar("F", bound=Callable[..., Any])
_LABEL = re.compile(r"([A-Za-z0-9_./-]{1,64})=(.{0,256})", re.DOTALL)


class Label(click.ParamType[tuple[str, str]]):
    """KEY=VALUE"""

    name = "label"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """(key, value)"""
        if isinstance(value, tuple):
            return value
        matched = _LABEL.fullmatch(str(value))
        if matched is None:
            self.fail(
                f"{value!r} is no label such as role=server: a key of up to 64 of A-Z a-z 0-9 "
                "_ . / - and a value of up to 256 characters",
                param,
                ctx,
            )
        return matched[1], matched[2]


class Name(click.ParamType[str]):
    """A name for a process."""

    name = "name"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The name."""
        from procnursery.model import NAME

        if len(value) > 64 or not re.fullmatch(NAME, value):
            self.fail(
                f"{value!r} is no name: up to 64 letters, digits and _ . -, beginning with a "
                "letter or _, and not like an id (p17)",
                param,
                ctx,
            )
        return str(value)


def naming_options(function: F) -> F:
    """Add ``--name`` and ``--label`` of a process that is to be started."""
    function = click.option(
        "--label",
        "labels",
        type=Label(),
        multiple=True,
        metavar="KEY=VALUE",
        help="A label to select it by. Can be given many times.",
    )(function)
    return click.option(
        "--name",
        type=Name(),
        help="A name for it, usable wherever an id is; nothing else of that name may run.",
    )(function)


def selecting_option(function: F) -> F:
    """Add ``--label`` of processes that are there."""
    return click.option(
        "--label",
        "labels",
        type=Label(),
        multiple=True,
        metavar="KEY=VALUE",
        help="Every process with this label; given many times: with all of them.",
    )(function)


def selected(
    connection: Connection,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    *,
    wanted: Callable[[ProcessSummary], bool] = lambda one: one.state != "closed",
) -> list[str]:
    """Ids that the command line selects: those named, and those that have all the labels.

    :param wanted: which of those with the labels
    :returns: none, if all processes with the labels are such that nothing is to be done to them
    :raises UsageError: nothing is selected
    """
    if not ids and not labels:
        raise click.UsageError("give an id, a name, or a label")
    found = list(ids)
    if labels:
        known = connection.list(labels=as_labels(labels))
        found += [one.id for one in known if wanted(one)]
        if not known and not ids:
            text = ", ".join(f"{key}={value}" for key, value in labels)
            raise click.ClickException(f"no process has the labels {text}")
    return list(dict.fromkeys(found))


def as_labels(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The labels as a mapping.

    :raises UsageError: one of them has two values
    """
    labels: dict[str, str] = {}
    for key, value in pairs:
        if labels.setdefault(key, value) != value:
            raise click.UsageError(f"label {key} has two values, {labels[key]} and {value}")
    return labels
