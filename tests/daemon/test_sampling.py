"""Samples from inside the daemon: what they load, and what does not fit."""

from __future__ import annotations

import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs
import msgpack
import pytest
import trio

from procnursery.client.blocking import connect
from procnursery.daemon.outgoing import HIGH_WATER, Outgoing
from procnursery.daemon.sampling import Sampler, SampleSubscription
from procnursery.host.clock import stamp
from procnursery.model import Sample, Unavailable
from procnursery.protocol.connection import DaemonConnection
from procnursery.protocol.messages import DaemonLimits
from tests.daemons import Daemon

LIMITS = DaemonLimits(
    max_frame=2**20, max_requests=8, max_in_flight=2**20, stdin_window=2**20, max_subscriptions=8
)


def loads_psutil(pid: int) -> bool:
    return "_psutil_linux" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("ask", ["facts", "sample", "samples"])
def test_psutil_is_loaded_when_it_is_wanted(daemon: Daemon, ask: str) -> None:
    with connect(daemon.address) as client:
        client.run(["true"])
        client.info()
        assert not loads_psutil(daemon.pid)
        if ask == "samples":
            assert len(list(client.samples(0.01, count=1))) == 1
        else:
            getattr(client, ask)()
        assert loads_psutil(daemon.pid)


class Samples:
    """Gives one and the same sample, however often."""

    def __init__(self, **values: float) -> None:
        unavailable = (Unavailable(field="process.p0", reason="it ended"),)
        self.sample_ = Sample(
            at=stamp(),
            cost_ns=1,
            values={"load.1m": 1.0} | values,
            unavailable=unavailable,
        )
        self.taken = 0

    async def sample(self, groups: Collection[str]) -> Sample:
        await trio.lowlevel.checkpoint()
        self.taken += 1
        return attrs.evolve(self.sample_, at=stamp())


def subscription(samples: Samples, count: int | None) -> SampleSubscription:
    sampler: Sampler = samples  # type: ignore[assignment]
    return SampleSubscription(1, sampler, ["load"], 0.001, count)


def messages(data: bytes) -> list[Any]:
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(msgpack.unpackb(data[4 : 4 + size]))
        data = data[4 + size :]
    return found


@pytest.mark.parametrize(("disks", "left"), [(1, ["processes"]), (99, ["processes", "disk"])])
async def test_groups_that_do_not_fit_are_left_out(disks: int, left: list[str]) -> None:
    values = {f"process.p{number}.user_s": 1.0 for number in range(9000)}
    values |= {f"disk.{number}{'x' * 1000}": 1.0 for number in range(disks)}
    connection = DaemonConnection(LIMITS)
    assert connection.peer_max_frame == 65_536
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        out = Outgoing(ours, write_timeout=10)
        await subscription(Samples(**values), 1).run(connection, out)
        data, end = messages(theirs.recv(200_000))
    assert end == [2, "host.end", {"subscription": 1, "ticks": 1}]
    told = data[2]["sample"]
    reasons = {one["field"]: one["reason"] for one in told["unavailable"]}
    assert set(left) <= reasons.keys()
    assert "the client takes 65536" in reasons["processes"]
    assert not any(field.startswith("process.") for field in told["values"].keys() | reasons)
    assert told["values"]["load.1m"] == 1.0
    assert any(field.startswith("disk.") for field in told["values"]) == ("disk" not in left)


async def test_no_sample_is_taken_while_one_waits_for_its_reader() -> None:
    samples = Samples(**{f"process.p{number}.user_s": 1.0 for number in range(1000)})
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = DaemonConnection(LIMITS)
    with ours, theirs:
        out = Outgoing(ours, write_timeout=10)
        one = subscription(samples, None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(out.run)
            nursery.start_soon(one.run, connection, out)
            before = -1
            while samples.taken != before:  # nothing is taken for 50 ticks: the socket is full
                before = samples.taken
                await trio.sleep(0.05)
            assert one.sent == samples.taken
            assert out.position < HIGH_WATER
            one.scope.cancel()
            nursery.cancel_scope.cancel()
