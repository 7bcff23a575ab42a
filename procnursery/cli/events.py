"""``procnursery events``."""

from __future__ import annotations

import json
import time
from typing import get_args

import click

from procnursery.cli.naming import as_labels, selecting_option
from procnursery.cli.plain import plain
from procnursery.cli.suggest import any_process
from procnursery.cli.target import Target
from procnursery.client.eventing import Told
from procnursery.protocol import messages as m


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=any_process)
@selecting_option
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(get_args(m.EventKind)),
    multiple=True,
    help="Only events of this kind. Can be given many times.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="N",
    help="Begin behind event number N, as far as it is kept; 0: with the first that is.",
)
@click.option("--snapshot", is_flag=True, help="Tell of every process as it is now first.")
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="End after N events.  [default: never]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for programs.")
@click.pass_obj
def events(
    target: Target,
    ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    kinds: tuple[m.EventKind, ...],
    after: int | None,
    snapshot: bool,
    count: int | None,
    as_json: bool,
) -> int:
    """Print what happens to the daemon's processes, while it happens.

    Every event has a number, and --after resumes behind one. What could not be kept is told of as
    lost, with its numbers.

    \b
    procnursery events --kind closed --json
    procnursery events --snapshot --label role=server
    """
    if snapshot and after is not None:
        raise click.UsageError("--snapshot shows what is now; it cannot be had with --after")
    seen = 0
    with target.connect_to_lasting("events") as connection:
        for process in ids:
            connection.get(process)  # or it would be waited for in vain
        with connection.events(
            after=after,
            kinds=kinds or None,
            ids=ids or None,
            labels=as_labels(labels),
            snapshot=snapshot,
        ) as told:
            for one in told:
                print(_as_json(one) if as_json else _line(one), flush=True)
                seen += isinstance(one, m.EventParams)
                if count is not None and seen >= count:
                    break
    return 0


def _as_json(one: Told) -> str:
    fields = plain(one)
    del fields["subscription"]
    if isinstance(one, m.SnapshotParams):
        return json.dumps({"kind": "process"} | fields["process"])
    if isinstance(one, m.EventsLostParams):
        return json.dumps({"kind": "lost", "from": one.from_, "to": one.to})
    return json.dumps(fields)


def _line(one: Told) -> str:
    if isinstance(one, m.EventsLostParams):
        return f"{one.from_}-{one.to - 1} lost: they are not kept any more"
    if isinstance(one, m.SnapshotParams):
        process = one.process
        name = f" ({process.name})" if process.name else ""
        outcome = f", {process.outcome}" if process.outcome else ""
        frozen = ", frozen" if process.frozen else ""
        return f"- {process.id}{name} is {process.state}{frozen}{outcome}"
    name = f" ({one.name} #{one.incarnation})" if one.name else ""
    seconds, nanoseconds = one.at.realtime
    when = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{nanoseconds // 1000:06d}"
    return f"{one.seq} {when} {one.id}{name} {one.kind}{_details(one)}"


def _details(one: m.EventParams) -> str:
    match one.kind:
        case "held" | "started":
            return f": pid {one.pid}"
        case "act":
            assert one.act is not None
            failed = f", {one.act.errno}" if one.act.errno else ""
            if one.act.act in ("freeze", "thaw"):
                return f": {one.act.act} of the tree by {one.act.by}{failed}"
            return f": {one.act.signal} to the {one.act.target} by {one.act.by}{failed}"
        case "exited":
            return f": {one.outcome}" + _because(one)
        case "eof":
            return f": {one.stream} at {one.final_offset} ({one.reason})"
        case "closed":
            return f": {one.outcome}{_because(one)}; its tree is {one.verdict}"
    return ""


def _because(one: m.EventParams) -> str:
    return "" if one.cause in (None, "own") else f" ({one.cause})"
