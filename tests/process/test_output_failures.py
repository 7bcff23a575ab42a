"""Output that a file system refuses, or that a program truncates itself: counted, never silent."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.peer import Peer
from tests.daemons import Daemon, eventually

PIPE = {"mode": "pipe"}
SCRIPT = "head -c 50000 /dev/zero; read x; head -c 300000 /dev/zero; read x; printf tail; read x"


@pytest.fixture
def peer(daemon: Daemon) -> Iterator[Peer]:
    made = Peer(daemon.address)
    yield made
    made.close()


@pytest.mark.spec("PN-11.2-4", "PN-11.1-1")
def test_a_full_disk_is_a_gap(daemon: Daemon, peer: Peer) -> None:
    """RLIMIT_FSIZE stands for a full disk: writing fails, then works again."""
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    process = peer.shell(SCRIPT, stdin=PIPE, stdout={"mode": "spool"})
    read = {"id": process, "stream": "stdout", "wait": 20}

    def end_is(offset: int) -> bool:
        return bool(peer.call("output.read", read | {"offset": 0})["end"] == offset)

    eventually(lambda: end_is(50_000), "the first bytes")
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (60_000, before[1]))
    peer.call("stdin.write", id=process, offset=0, data=b"\n")
    eventually(lambda: end_is(350_000), "those that the disk refuses")
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)
    peer.call("stdin.write", id=process, offset=1, data=b"\n")
    peer.call("stdin.close", id=process)
    stream = peer.wait(process)["streams"]["stdout"]
    gaps = stream["gaps"]
    assert stream["end"] == 350_004
    assert stream["lost"] == sum(gap["to"] - gap["from"] for gap in gaps) > 0
    assert {gap["reason"] for gap in gaps} == {"write_failed"}
    assert "EFBIG" in stream["error"]
    first = gaps[0]["from"]
    assert 50_000 <= first <= 60_000
    result = peer.call("output.read", read | {"offset": first})
    assert result["offset"] == gaps[-1]["to"]
    assert result["data"].endswith(b"tail")
    number = peer.subscribe(process)
    peer.until(lambda: peer.ended(number))
    position = lost = 0
    for method, params in peer.delivered(number)[:-1]:
        if method == "output.gap":
            assert params["from"] == position
            lost += params["to"] - params["from"]
            position = params["to"]
        else:
            assert params["offset"] == position
            position += len(params["data"])
    assert (position, lost) == (350_004, stream["lost"])


def test_a_program_that_truncates_its_output(peer: Peer) -> None:
    """Mode direct: opening /dev/stdout anew truncates the file, which is told where it shows."""
    script = "printf a-long-beginning; read x; echo short >/dev/stdout"
    process = peer.shell(script, stdin=PIPE, stdout={"mode": "direct"})
    read = {"id": process, "stream": "stdout", "offset": 0, "wait": 20}
    assert peer.call("output.read", read)["data"] == b"a-long-beginning"
    peer.call("stdin.close", id=process)
    stream = peer.wait(process)["streams"]["stdout"]
    assert {gap["reason"] for gap in stream["gaps"]} == {"truncated_by_program"}
    assert stream["lost"] > 0


def test_a_target_file(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    target = tmp_path / "out"
    target.write_text("before\n")
    appended = {"mode": "direct", "path": str(target), "append": True}
    process = peer.shell("echo after", stdout=appended)
    peer.wait(process)
    assert target.read_text() == "before\nafter\n"
    assert peer.read_all(process) == b"after\n"
    process = peer.shell("echo anew", stdout={"mode": "direct", "path": str(target)})
    peer.wait(process)
    assert target.read_text() == "anew\n"
    peer.call("process.forget", id=process)
    assert target.exists()
