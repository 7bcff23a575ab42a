"""``procnursery inspect``."""

from __future__ import annotations

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
    """Print nested fields, one a line."""
    for name, item in value.items():
        if isinstance(item, dict) and item:
            click.echo(f"{indent}{name}:")
            print_fields(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for number, element in enumerate(item):
                click.echo(f"{indent}{name}[{number}]:")
                print_fields(element, indent + "  ")
        elif item not in (None, [], {}):
            click.echo(f"{indent}{name}: {item}")
