"""``procnursery logs``."""

from __future__ import annotations

import select
from typing import Literal

import click

from procnursery.cli.foreground import Sink
from procnursery.cli.output import error_text
from procnursery.cli.status import complain
from procnursery.cli.suggest import any_process
from procnursery.cli.target import Target
from procnursery.cli.values import Whole
from procnursery.client.blocking import Connection
from procnursery.client.core import request_error
from procnursery.client.exchange import Exchange
from procnursery.errors import RequestError
from procnursery.protocol import messages as m


class _LogSink(Sink):
    """Tells of gaps where they are."""

    def __init__(self, fd: int, until: int | None) -> None:
        super().__init__(fd)
        self._until = until
        self.position = 0

    def on_data(self, offset: int, data: bytes) -> None:
        if self._until is not None:
            data = data[: max(0, self._until - offset)]
        self.position = offset + len(data)
        if data:
            super().on_data(offset, data)

    def on_gap(self, gap: m.GapParams) -> None:
        super().on_gap(gap)
        self.position = gap.to
        complain(f"bytes {gap.from_} to {gap.to} are lost: {gap.reason}")

    @property
    def done(self) -> bool:
        if self._until is not None and self.position >= self._until:
            return self.gone or not self.waiting
        return super().done


@click.command()
@click.argument("id", shell_complete=any_process)
@click.option(
    "--stream",
    type=click.Choice(("stdout", "stderr")),
    default="stdout",
    show_default=True,
    help="Which stream.",
)
@click.option(
    "--offset",
    type=Whole(0),
    help="First byte to print.  [default: the first that is kept]",
)
@click.option("-f", "--follow", is_flag=True, help="Go on until the stream ends.")
@click.pass_obj
def logs(
    target: Target,
    id: str,
    stream: Literal["stdout", "stderr"],
    offset: int | None,
    follow: bool,
) -> int:
    """Write a process's output, byte for byte, during its run or after it."""
    with target.connect_to_lasting("logs") as connection:
        first, end = _bounds(connection, id, stream)
        begin = first if offset is None else offset
        if offset is not None and offset > end:
            raise click.ClickException(f"{stream} of {id} has {end} bytes; {offset} is beyond them")
        sink = _LogSink(1, None if follow else end)
        sink.position = begin
        if not follow and begin == end:
            return 0
        sink.begin(connection.exchange, id, stream, begin)
        _copy(connection.exchange, sink)
        if sink.refused is not None:
            raise request_error(sink.refused)
    if sink.failed is not None:
        raise click.ClickException(f"output cannot be written: {error_text(sink.failed)}")
    return 141 if sink.gone else 0


def _bounds(
    connection: Connection, process_id: str, stream: Literal["stdout", "stderr"]
) -> tuple[int, int]:
    """(first byte that is kept, end)"""
    params = m.ReadParams(id=process_id, stream=stream, offset=0, max=1)
    try:
        result: m.ReadResult = connection.request("output.read", params)
    except RequestError as error:
        if error.code != "offset_expired":
            raise
        info = connection.inspect(process_id).streams[stream]
        return info.first, info.end
    return 0, result.end


def _copy(exchange: Exchange, sink: _LogSink) -> None:
    link = exchange.link
    while not sink.done:
        poll = select.poll()
        poll.register(link, select.POLLIN | (select.POLLOUT if link.wants_to_write else 0))
        if sink.waiting:
            poll.register(sink.fd, select.POLLOUT)
        ready = dict(poll.poll())
        if sink.fd in ready:
            sink.write_some()
        what = ready.get(link.fileno(), 0)
        if what & select.POLLOUT:
            link.flush()
        if what & ~select.POLLOUT:
            exchange.dispatch()
