"""Cancellation, stop, disconnect and the daemon's end in every state of a process."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.peer import Peer, Refused
from tests.daemons import Daemon, eventually

PIPE = {"mode": "pipe"}


@pytest.fixture
def peer(contained_daemon: Daemon) -> Iterator[Peer]:
    made = Peer(contained_daemon.address)
    yield made
    made.close()


@pytest.fixture
def watcher(contained_daemon: Daemon) -> Iterator[Peer]:
    made = Peer(contained_daemon.address)
    yield made
    made.close()


def starting(peer: Peer, fifo: Path, **spec: object) -> int:
    """A request for a start that waits for a FIFO."""
    os.mkfifo(fifo)
    stdin = {"mode": "file", "path": str(fifo)}
    params = {"spec": {"argv": ["cat"], "stdin": stdin} | spec}
    return peer.request("process.start", params)


def the_starting(watcher: Peer) -> str:
    """Id of the process that is being started."""

    def found() -> list[str]:
        page = watcher.call("process.list", states=["starting"])
        return [one["id"] for one in page["processes"]]

    eventually(lambda: bool(found()), "it is listed")
    return found()[0]


def nothing_left(watcher: Peer) -> None:
    """No process of the daemon but its spawner."""
    info = watcher.call("daemon.info")
    pid = info["daemon"]["pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children")
    eventually(
        lambda: children.read_text().split() == [str(info["spawner"]["pid"])], "no child is left"
    )
    assert watcher.call("process.list")["processes"] == []


def test_owner_leaves_during_the_start(peer: Peer, watcher: Peer, tmp_path: Path) -> None:
    starting(peer, tmp_path / "fifo")
    the_starting(watcher)
    peer.reset()
    eventually(lambda: not watcher.call("process.list")["processes"], "the start was given up")
    nothing_left(watcher)


def test_owner_leaves_during_the_start_of_a_kept_one(
    peer: Peer, watcher: Peer, tmp_path: Path
) -> None:
    """The start is a request of the connection: it ends with it before the program runs."""
    starting(peer, tmp_path / "fifo", on_disconnect="keep")
    the_starting(watcher)
    peer.close()
    eventually(lambda: not watcher.call("process.list")["processes"], "the start was given up")
    nothing_left(watcher)


def test_stop_during_the_start(peer: Peer, watcher: Peer, tmp_path: Path) -> None:
    number = starting(peer, tmp_path / "fifo")
    identifier = the_starting(watcher)
    refusal = watcher.refusal("process.stop", id=identifier)
    assert (refusal.code, refusal.data["executed"]) == ("not_running", "yes")
    assert peer.refusal_of(number) == "cancelled"
    nothing_left(watcher)


@pytest.mark.spec("PN-9.8-8")
def test_other_requests_during_the_start(peer: Peer, watcher: Peer, tmp_path: Path) -> None:
    number = starting(peer, tmp_path / "fifo")
    identifier = the_starting(watcher)
    stream = {"stream": "stdout", "offset": 0}
    for method, params in (
        ("process.signal", {"signal": "SIGTERM"}),
        ("output.read", stream),
        ("output.subscribe", stream | {"credit": 1}),
        ("stdin.write", {"offset": 0, "data": b""}),
        ("stdin.close", {}),
    ):
        refusal = watcher.refusal(method, {"id": identifier} | params)
        assert (refusal.code, refusal.data["executed"]) == ("not_running", "no"), method
    (tmp_path / "fifo").write_bytes(b"x")
    assert peer.answer(number)["id"] == identifier
    assert watcher.wait(identifier)["outcome"]["code"] == 0


def test_the_daemon_ends_during_the_start(
    contained_daemon: Daemon, peer: Peer, watcher: Peer, tmp_path: Path
) -> None:
    number = starting(peer, tmp_path / "fifo")
    the_starting(watcher)
    os.kill(contained_daemon.pid, signal.SIGTERM)
    assert peer.refusal_of(number) in ("cancelled", "shutting_down")
    assert contained_daemon.process.wait(30) == 0


def test_a_wait_for_a_start_that_fails(peer: Peer, watcher: Peer, tmp_path: Path) -> None:
    number = starting(peer, tmp_path / "fifo", start_timeout=1.0)
    identifier = the_starting(watcher)
    waiting = watcher.request("process.wait", {"id": identifier})
    assert peer.refusal_of(number) == "start_failed"
    assert watcher.refusal_of(waiting) == "not_found"


@pytest.mark.spec("PN-7.1-5")
def test_cancelled_write_is_exact(peer: Peer) -> None:
    """Whatever was taken is told, so that the next write can go on there."""
    process = peer.shell("sleep 0.3; sha256sum", stdin=PIPE)
    data = os.urandom(500_000)
    number = peer.request("stdin.write", {"id": process, "offset": 0, "data": data})
    peer.call("ping")
    peer.notify("cancel", {"id": number})
    peer.answered(number)
    error, result = peer.replies.pop(number)
    if error is None:
        taken = result["offset"]
        assert 0 < taken <= len(data)
    else:  # it had not begun
        assert (error["code"], error["data"]["executed"]) == ("cancelled", "no")
        taken = 0
    rest = peer.call("stdin.write", id=process, offset=taken, data=data[taken:])
    assert rest["offset"] == len(data)
    peer.call("stdin.close", id=process, offset=len(data))
    digest = hashlib.sha256(data).hexdigest()
    assert peer.read_all(process) == f"{digest}  -\n".encode()


def test_cancelled_write_in_the_queue_took_nothing(peer: Peer) -> None:
    process = peer.start("sleep", "1000", stdin={"mode": "pipe"})
    first = peer.request("stdin.write", {"id": process, "offset": 0, "data": bytes(300_000)})
    second = peer.request("stdin.write", {"id": process, "offset": 300_000, "data": b"x"})
    peer.call("ping")
    peer.notify("cancel", {"id": second})
    with pytest.raises(Refused) as caught:
        peer.answer(second)
    assert (caught.value.code, caught.value.data["executed"]) == ("cancelled", "no")
    assert first not in peer.replies
    peer.call("process.stop", id=process, grace=0)


def test_stop_while_exited(peer: Peer) -> None:
    """The main process has ended, a descendant has not."""
    process = peer.shell("sleep 1000 & exit 4", descendants="wait")
    peer.event(process, "exited")
    found = peer.call("process.stop", id=process)["process"]
    assert (found["state"], found["outcome"]["code"], found["cause"]) == ("closed", 4, "own")
    assert found["tree"]["verdict"] == "empty"


def test_timeout_while_exited(peer: Peer) -> None:
    process = peer.shell("sleep 1000 & exit 4", descendants="wait", timeout=0.3)
    found = peer.wait(process)
    assert (found["outcome"]["code"], found["tree"]["verdict"]) == (4, "empty")
    assert found["acts"][0]["cause"] == "timeout"


def test_owner_leaves_while_exited(peer: Peer, watcher: Peer) -> None:
    process = peer.shell("sleep 1000 & exit 4", descendants="wait")
    peer.event(process, "exited")
    peer.reset()
    found = watcher.wait(process)
    assert found["acts"][0]["cause"] == "disconnect"
    assert found["tree"]["verdict"] == "empty"
