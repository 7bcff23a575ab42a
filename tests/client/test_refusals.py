"""What a client refuses by itself, and what a connection says once it has ended."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from procnursery.client import blocking, connection
from procnursery.errors import ConnectionLost, LocalProtocolError
from tests.daemons import Daemon

NUMBERS = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_are_none_are_not_sent(daemon: Daemon, number: float) -> None:
    with blocking.connect(daemon.address) as client:
        process = client.start(["sleep", "1000"])
        calls: list[Callable[[], Any]] = [
            lambda: client.start(["true"], timeout=number),
            lambda: client.run(["true"], grace=number),
            lambda: process.stop(grace=number),
            lambda: process.wait(timeout=number),
        ]
        for call in calls:
            with pytest.raises(LocalProtocolError, match="finite"):
                call()
        with pytest.raises(LocalProtocolError, match=r"spec\.timeout"):
            client.start(["true"], timeout=number)
        # neither the connection nor anything on it was harmed
        assert [one.id for one in client.list()] == [process.id]
        assert process.stop().state == "closed"
    assert "violation" not in daemon.read_log()


async def test_the_async_client_refuses_them_as_well(daemon: Daemon) -> None:
    async with connection.connect(daemon.address) as client:
        with pytest.raises(LocalProtocolError, match="finite"):
            await client.start(["true"], timeout=math.nan)
        assert (await client.run(["true"])).outcome.code == 0


def test_a_lost_connection_stays_lost(daemon: Daemon) -> None:
    with blocking.connect(daemon.address) as client:
        process = client.start(["sleep", "1000"])
        assert process.stdout is not None
        daemon.sigkill()
        for call in (client.info, client.list, process.info, process.stop, client.ping):
            with pytest.raises(ConnectionLost, match=r"is gone: (it closed|Connection reset)"):
                call()
        with pytest.raises(ConnectionLost):
            process.stdout.read()
        process.stdout.close()


def test_a_goodbye_stays_the_reason(daemon: Daemon) -> None:
    with blocking.connect(daemon.address) as client:
        client.exchange.link.socket.send(b"\0\0\0\1\xc1")  # no MessagePack
        for _ in range(3):
            with pytest.raises(ConnectionLost, match="bad_msgpack"):
                client.info()


async def test_an_async_connection_stays_lost(daemon: Daemon) -> None:
    async with connection.connect(daemon.address) as client:
        daemon.sigkill()
        for _ in range(3):
            with pytest.raises(ConnectionLost, match="is gone"):
                await client.info()


def test_a_connection_closed_on_this_side(daemon: Daemon) -> None:
    client = blocking.connect(daemon.address)
    client.close()
    with pytest.raises(ConnectionLost, match="closed on this side"):
        client.info()


CLOSED = """
import os, sys
numbers = [int(word) for word in sys.argv[2].split(",")]
from procnursery.client.blocking import connect
for number in numbers:
    os.close(number)
with connect(sys.argv[1]) as client:
    result = client.run(["sh", "-c", "echo out; echo err >&2; exit 5"])
    good = client.exchange.link.fileno() > 2
    good = good and (result.stdout, result.stderr) == (b"out\\n", b"err\\n")
    os._exit(result.outcome.code if good else 99)
"""


@pytest.mark.parametrize("numbers", ["0", "1", "2", "0,1,2"])
@pytest.mark.parametrize("local", [True, False])
def test_a_caller_without_standard_descriptors(daemon: Daemon, numbers: str, local: bool) -> None:
    host = "local:" if local else daemon.address
    done = subprocess.run(
        [sys.executable, "-P", "-c", CLOSED, host, numbers], check=False, timeout=60
    )
    assert done.returncode == 5
