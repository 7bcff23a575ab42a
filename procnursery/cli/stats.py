"""``procnursery stats``."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
import typing
from collections.abc import Iterator

import click

from procnursery.cli.plain import plain
from procnursery.cli.rates import Row, rows
from procnursery.cli.target import Target
from procnursery.protocol import messages as m

if typing.TYPE_CHECKING:
    from rich.table import Table

GROUPS: tuple[str, ...] = typing.get_args(m.SampleGroup)


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(0.01, 86400),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two samples.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="End after N.  [default: go on]"
)
@click.option(
    "--group",
    "groups",
    type=click.Choice(GROUPS),
    multiple=True,
    help="Only this. Can be given many times.  [default: all]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print each sample as one line of JSON, for programs."
)
@click.pass_obj
def stats(
    target: Target, interval: float, count: int | None, groups: tuple[str, ...], as_json: bool
) -> int:
    """Watch what the machine does: CPU, load, memory, disks, network, managed processes.

    Shares and rates are those between two samples, so the first ones come after one interval.
    With --json the samples are printed as they are, counters included, from the first one on.
    Share of CPU: 100 % are all CPUs; of a process: one CPU.
    """
    # Rates are between two samples: of N of them, there are N + 1.
    wanted = count if count is None or as_json else count + 1
    with (
        target.connect() as connection,
        contextlib.closing(
            connection.samples(interval, groups=groups or None, count=wanted)
        ) as samples,
    ):
        try:
            if as_json:
                _print_json(samples)
            elif sys.stdout.isatty():
                _show(samples)
            else:
                _print_lines(samples)
        except KeyboardInterrupt:  # the usual way to end it, which click would put a line under
            return 128 + signal.SIGINT
    return 0


def _print_json(samples: Iterator[m.HostDataParams]) -> None:
    for one in samples:
        value = plain(one)
        del value["subscription"]
        print(json.dumps(value), flush=True)


def _reports(
    samples: Iterator[m.HostDataParams],
) -> Iterator[tuple[m.HostDataParams, list[Row]]]:
    before = None
    for one in samples:
        if before is not None:
            yield one, list(rows(before.sample, one.sample))
        before = one


def _print_lines(samples: Iterator[m.HostDataParams]) -> None:
    for one, report in _reports(samples):
        when = _when(one)
        for row in report:
            cells = (f"{label} {value}" for label, value in row.cells)
            print(f"{when} {row.subject}: {', '.join(cells)}")
        sys.stdout.flush()


def _show(samples: Iterator[m.HostDataParams]) -> None:
    from rich.console import Console  # only people on a terminal need it
    from rich.live import Live

    console = Console(markup=False, highlight=False, emoji=False)
    # Without a thread of its own: it is drawn anew when there is something new.
    with Live(console=console, auto_refresh=False) as live:
        for one, report in _reports(samples):
            live.update(_table(one, report), refresh=True)


def _table(one: m.HostDataParams, report: list[Row]) -> Table:
    from rich.table import Table

    cost = one.sample.cost_ns / 1e6
    title = (
        f"{_when(one)}, {one.late_s * 1000:.1f} ms late, {one.missed} missed, took {cost:.2f} ms"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    for row in report:
        table.add_row(row.subject, "  ".join(f"{label} {value}" for label, value in row.cells))
    return table


def _when(one: m.HostDataParams) -> str:
    seconds, nanoseconds = one.sample.at.realtime
    clock = time.strftime("%H:%M:%S", time.localtime(seconds))
    return f"{clock}.{nanoseconds // 1_000_000:03}"
