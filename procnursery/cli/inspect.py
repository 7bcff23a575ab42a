"""``procnursery inspect``."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from procnursery.cli.plain import plain, print_json
from procnursery.cli.suggest import any_process
from procnursery.cli.target import Target


@click.command()
@click.argument("id", shell_complete=any_process)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.pass_obj
def inspect(target: Target, id: str, as_json: bool) -> None:
    """Show everything that is known of a process."""
    with target.connect_to_lasting("inspect") as connection:
        info = connection.inspect(id)
    if as_json:
        print_json(info)
    else:
        print_fields(plain(info))


def print_fields(value: dict[str, Any], indent: str = "") -> None:
    """Print nested fields for people, one a line; those that say nothing are left out."""
    for name, item in value.items():
        text = _in_one_line(name, item)
        if text is not None:
            click.echo(f"{indent}{name}: {text}")
        elif isinstance(item, dict) and item:
            click.echo(f"{indent}{name}:")
            print_fields(item, indent + "  ")
        elif isinstance(item, list):
            for number, element in enumerate(item):
                if isinstance(element, dict):
                    click.echo(f"{indent}{name}[{number}]:")
                    print_fields(element, indent + "  ")
                else:
                    click.echo(f"{indent}{name}[{number}]: {element}")


def _in_one_line(name: str, item: Any) -> str | None:
    """What stands behind the name; None: it has parts, or there is nothing to say."""
    match name, item:
        case _, {"realtime": [int(), int()] as instant, "monotonic": [int(), int()]}:
            return _iso(instant)
        case "due", [int(), int()]:
            return _iso(item)
        case "umask", int():
            return f"{item:04o}"
        case "argv", [*words]:
            return shlex.join(words)
        case "env", [[str(), str()], *_]:
            return shlex.join(f"{variable}={content}" for variable, content in item)
        case "listen" | "affinity" | "groups" | "cpus", [_, *_]:
            return " ".join(str(one) for one in item)
        case _, [int() | None as soft, int() | None as hard]:  # a resource limit
            return ":".join("unlimited" if one is None else str(one) for one in (soft, hard))
        case _, bool():
            return "yes" if item else "no"
        case _, None | list() | dict():
            return None
    return str(item)


def _iso(instant: list[int]) -> str:
    """An instant of the daemon's CLOCK_REALTIME, in UTC, as ISO 8601 writes it."""
    seconds, nanoseconds = instant
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{nanoseconds:09d}Z", time.gmtime(seconds))
