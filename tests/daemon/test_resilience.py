"""Clients come, go and break; the daemon and everybody else go on."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from procnursery.protocol.envelope import frame
from tests.conformance.peer import Peer
from tests.daemons import Daemon, eventually, running_daemon

HELLO = frame([0, 0, "hello", {"protocol": 1, "client": {"name": "x"}}])


@pytest.fixture
def tcp_daemon(short_path: Path) -> Iterator[Daemon]:
    listen = ["tcp://127.0.0.1:0"]
    with running_daemon(short_path / "d", listen=listen, insecure=True) as running:
        yield running


def test_reset_in_mid_frame_and_resume(tcp_daemon: Daemon) -> None:
    """An RST in the middle of anything costs nobody else anything; reading goes on elsewhere."""
    data = b"".join(b"%09d\n" % number for number in range(300_000))
    digest = hashlib.sha256(data).digest()
    with connect(tcp_daemon.address) as owner:
        process = owner.start(
            ["seq", "-f", "%09.0f", "0", "299999"], stdout="spool", on_disconnect="keep"
        )
        got = b""
        chooser = random.Random(7)
        while True:
            peer = Peer(tcp_daemon.address)
            number = peer.subscribe(process.id, offset=len(got))
            want = chooser.randrange(100_000, 900_000)
            while len(peer.data(number)) < want and not peer.ended(number):
                peer.take()
            got += peer.data(number)
            done = peer.ended(number)
            peer.send_raw(frame([0, 77, "ping", {}])[: chooser.randrange(1, 8)])
            peer.reset()
            if done:
                break
        assert hashlib.sha256(got).digest() == digest
        assert process.wait().code == 0
        owner.ping()


def test_garbage_does_not_add_up(daemon: Daemon) -> None:
    """Hundreds of broken connections leave no descriptor and no memory behind."""
    with connect(daemon.address) as client:
        path = daemon.address.removeprefix("unix://")
        chooser = random.Random(3)

        def vandalise(count: int) -> None:
            for _ in range(count):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(path)
                    if chooser.random() < 0.7:
                        sock.sendall(HELLO)
                    sock.sendall(chooser.randbytes(chooser.randrange(1, 300)))
                    if chooser.random() < 0.5:
                        sock.sendall(struct.pack(">I", chooser.randrange(1, 60_000)) + b"\x93")

        def descriptors() -> int:
            return len(os.listdir(f"/proc/{daemon.pid}/fd"))

        def alone() -> bool:
            return client.info().counts.connections == 1

        vandalise(50)
        eventually(alone, "they are gone")
        before, memory = descriptors(), client.info().daemon.rss_bytes
        vandalise(300)
        eventually(alone, "they are gone")
        assert descriptors() <= before
        assert client.info().daemon.rss_bytes - memory < 6_000_000


def test_a_daemon_without_descriptors_lives(short_path: Path) -> None:
    """At the limit of open files starts are refused with the reason, and later they work."""
    with running_daemon(short_path / "d") as daemon, connect(daemon.address) as client:
        limit = len(os.listdir(f"/proc/{daemon.pid}/fd")) + 40
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        errors = []
        processes = []
        for _ in range(30):
            try:
                processes.append(client.start(["sleep", "1000"], stdin="pipe"))
            except Exception as error:
                errors.append(error)
        assert errors
        assert all(getattr(one, "code", "") == "resource_exhausted" for one in errors), errors
        for process in processes:
            process.stop(grace=0)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        assert client.run(["echo", "x"]).stdout == b"x\n"


def test_many_processes_at_once(daemon: Daemon) -> None:
    with connect(daemon.address) as client:
        processes = [client.start(["sleep", "1000"]) for _ in range(100)]
        assert client.info().counts.live == 100
        for process in processes:
            process.signal("SIGKILL")
        assert {process.wait().signal for process in processes} == {"SIGKILL"}
        eventually(lambda: client.info().counts.live == 0, "none is left")
        children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
        assert children == [str(client.info().spawner.pid)]
