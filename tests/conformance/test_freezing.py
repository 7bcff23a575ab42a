"""Section 9.12: process trees that stand still."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer
from tests.conformance.test_events import subscribe
from tests.conformance.test_gate import SOON, hold, later, nanoseconds
from tests.conformance.test_processes import READY, alive, line
from tests.daemons import Daemon, eventually

OBEDIENT = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done"


def writing(file: Path) -> str:
    """A loop of a shell that forks, and writes as long as it goes on."""
    return f"while :; do echo x >> {file}; sleep 0.005; done"


def lengths(files: list[Path]) -> list[int]:
    """How far each has come."""
    return [file.stat().st_size for file in files]


def go_on(files: list[Path]) -> None:
    """Wait until each writer has written something new."""
    before = lengths(files)
    eventually(lambda: all(map(int.__lt__, before, lengths(files))), "they go on", 20)


def stand_still(peer: Peer, files: list[Path]) -> None:
    """See that no writer writes while another process does the same many times."""
    before = lengths(files)
    for _ in range(2):
        peer.wait(peer.shell("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.005; done"))
    assert lengths(files) == before


@pytest.fixture
def tree(peer: Peer, tmp_path: Path) -> Iterator[tuple[str, list[Path]]]:
    """A process whose main process, a session of its own below it, and an orphan write."""
    files = [tmp_path / name for name in ("main", "session", "orphan")]
    main, session, orphan = map(writing, files)
    process = peer.shell(
        f"setsid sh -c '{session}' & sh -c \"setsid sh -c '{orphan}' &\"; {main}",
        stdout={"mode": "null"},
    )
    eventually(lambda: all(file.exists() for file in files), "all of them write", 20)
    yield process, files
    peer.call("process.stop", id=process, grace=0)


def frozen(peer: Peer, process: str) -> bool:
    """Whether the daemon says so, in both places that tell."""
    told: bool = peer.get(process).get("frozen", False)
    (listed,) = [
        one for one in peer.call("process.list", limit=1000)["processes"] if one["id"] == process
    ]
    assert listed.get("frozen", False) == told
    return told


def acts(peer: Peer, process: str) -> list[str]:
    """What was done to it."""
    return [act["act"] for act in peer.get(process).get("acts", [])]


@pytest.mark.spec("PN-9.12-1", "PN-9.12-2")
def test_a_tree_stands_still_and_goes_on(peer: Peer, tree: tuple[str, list[Path]]) -> None:
    process, files = tree
    for _ in range(3):
        result = peer.call("process.freeze", id=process)
        assert result["frozen"] is True
        assert result["delivered"]["monotonic"] <= result["seen"]["monotonic"]
        stand_still(peer, files)
        result = peer.call("process.thaw", id=process)
        assert result["frozen"] is False
        go_on(files)


@pytest.mark.spec("PN-9.12-1")
def test_what_forks_all_the_time_stands_still(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    script = f"for i in 1 2 3 4; do while :; do date >> {file}; done & done; wait"
    process = peer.shell(script)
    eventually(file.exists, "they write", 20)
    for _ in range(5):
        peer.call("process.freeze", id=process)
        stand_still(peer, [file])
        peer.call("process.thaw", id=process)
        go_on([file])
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.12-2")
def test_what_was_stopped_stays_stopped(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    stat = Path(f"/proc/{peer.get(process)['pid']}/stat")

    def state() -> str:
        return stat.read_text().rpartition(")")[2].split()[0]

    peer.call("process.signal", id=process, signal="SIGSTOP")
    eventually(lambda: state() == "T", "it is stopped", 20)
    peer.call("process.freeze", id=process)
    peer.call("process.thaw", id=process)
    assert state() == "T"
    peer.call("process.signal", id=process, signal="SIGCONT")
    eventually(lambda: state() == "S", "it goes on", 20)
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.12-3")
def test_a_tree_that_is_being_stopped(peer: Peer) -> None:
    process = peer.shell("trap '' TERM; " + READY + "while :; do sleep 0.02; done")
    assert line(peer, process) == b"ready"
    stop = peer.request("process.stop", {"id": process, "grace": 600})
    refusal = peer.refusal("process.freeze", id=process)
    assert (refusal.code, refusal.data["executed"]) == ("freeze_failed", "no")
    assert not frozen(peer, process)
    assert acts(peer, process) == ["stop"]
    peer.call("process.stop", id=process, grace=0)
    assert peer.answer(stop)["process"]["tree"]["verdict"] == "empty"


@pytest.mark.spec("PN-9.12-3", "PN-9.12-5")
def test_requests_one_upon_the_other(peer: Peer, tree: tuple[str, list[Path]]) -> None:
    """They take effect in their order, whether or not the tree has come to a standstill."""
    process, files = tree
    params = {"id": process}
    numbers = [
        peer.request(f"process.{act}", params)
        for act in ("freeze", "freeze", "thaw", "freeze", "thaw")
    ]
    for number in numbers:
        peer.answered(number)
    for number in (numbers[0], numbers[1], numbers[3]):
        error, result = peer.replies[number]
        assert (result or {}).get("frozen") or error["code"] == "freeze_failed"
    assert not frozen(peer, process)
    go_on(files)
    assert peer.call("process.freeze", id=process)["frozen"]
    stand_still(peer, files)


@pytest.mark.spec("PN-9.12-4")
def test_at_an_instant(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    for act, is_frozen in (("freeze", True), ("thaw", False)):
        at, instant = later(SOON)
        result = peer.call(f"process.{act}", id=process, at=instant)
        assert nanoseconds(result["delivered"]["realtime"]) >= at
        assert frozen(peer, process) is result["frozen"] is is_frozen
        done = peer.get(process)["acts"][-1]
        assert (done["act"], done["due"], done["delivered"]) == (
            *(act, instant),
            result["delivered"],
        )
    assert peer.call("process.freeze", id=process, at=[1, 0])["frozen"] is True
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.12-4")
@pytest.mark.parametrize("act", ["freeze", "thaw"])
def test_what_is_given_up_before_its_instant(connect: Connect, tmp_path: Path, act: str) -> None:
    peer, other = connect(), connect()
    file = tmp_path / "file"
    process = peer.shell(writing(file))
    eventually(file.exists, "it writes", 20)
    if act == "thaw":
        peer.call("process.freeze", id=process)
    before = acts(peer, process)
    cancelled = peer.request(f"process.{act}", {"id": process, "at": later(3600)[1]})
    at, instant = later(SOON)
    other.request(f"process.{act}", {"id": process, "at": instant})
    other.call("ping")
    other.close()
    peer.notify("cancel", {"id": cancelled})
    peer.answered(cancelled)
    error, _ = peer.replies.pop(cancelled)
    assert (error["code"], error["data"]["executed"]) == ("cancelled", "no")
    # One for a later instant shows when that of the connection that is gone has passed.
    after = list(divmod(at + 10**8, 10**9))
    peer.call("process.signal", id=process, signal="SIGURG", at=after)
    assert acts(peer, process) == [*before, "signal"]
    assert frozen(peer, process) == (act == "thaw")
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.12-5", "PN-9.12-6")
def test_twice(peer: Peer, tree: tuple[str, list[Path]]) -> None:
    process, files = tree
    assert peer.call("process.thaw", id=process)["frozen"] is False
    assert acts(peer, process) == []
    for act in ("freeze", "thaw"):
        first = peer.call(f"process.{act}", id=process)
        assert peer.call(f"process.{act}", id=process)["delivered"] == first["delivered"]
    go_on(files)
    assert acts(peer, process) == ["freeze", "thaw"]


@pytest.mark.spec("PN-9.12-6")
def test_what_is_told(connect: Connect) -> None:
    peer, other = connect(), connect()
    process = peer.start("sleep", "1000")
    assert not frozen(peer, process)
    number = subscribe(other, ids=[process], kinds=["act"])["subscription"]
    results = []
    for act, is_frozen in (("freeze", True), ("thaw", False), ("freeze", True)):
        results.append(peer.call(f"process.{act}", id=process)["delivered"])
        assert frozen(peer, process) is is_frozen
    done = peer.get(process)["acts"]
    assert [one["act"] for one in done] == ["freeze", "thaw", "freeze"]
    assert [one["delivered"] for one in done] == results
    assert {(one["target"], one["cause"], one["by"]) for one in done} == {
        ("tree", "requested", peer.hello["peer"])
    }

    def told() -> list[Any]:
        return [
            params["act"]
            for method, params in other.notes
            if method == "events.event" and params["subscription"] == number
        ]

    other.until(lambda: len(told()) == 3)
    assert told() == done
    peer.call("process.stop", id=process)
    assert not frozen(peer, process)


@pytest.mark.spec("PN-9.12-7")
def test_a_frozen_tree_obeys_its_stop(peer: Peer) -> None:
    process = peer.shell(OBEDIENT)
    assert line(peer, process) == b"ready"
    peer.call("process.freeze", id=process)
    stopped = peer.call("process.stop", id=process, grace=600)["process"]
    assert stopped["outcome"] == {"kind": "exited", "code": 5}
    assert stopped["tree"]["verdict"] == "empty"
    assert [act["act"] for act in stopped["acts"]] == ["freeze", "stop", "thaw"]
    assert not stopped.get("frozen", False)
    assert peer.read_all(process) == b"ready\nbye\n"


@pytest.mark.spec("PN-9.12-7")
def test_a_frozen_tree_that_does_not_obey(peer: Peer) -> None:
    process = peer.shell(
        "trap '' TERM; setsid sh -c 'echo $$; while :; do sleep 0.02; done' & wait; wait"
    )
    child = int(line(peer, process))
    peer.call("process.freeze", id=process)
    stopped = peer.call("process.stop", id=process, grace=0.05)["process"]
    assert stopped["outcome"]["signal"] == "SIGKILL"
    assert stopped["tree"]["verdict"] == "empty"
    assert not alive(child)


@pytest.mark.spec("PN-9.12-7", "PN-12.1-1")
def test_a_frozen_tree_without_its_owner(connect: Connect) -> None:
    owner, other = connect(), connect()
    process = owner.shell(OBEDIENT)
    assert line(owner, process) == b"ready"
    owner.call("process.freeze", id=process)
    owner.close()
    ended = other.wait(process)
    assert ended["outcome"] == {"kind": "exited", "code": 5}
    assert [(act["act"], act["cause"]) for act in ended["acts"][1:]] == [
        ("stop", "disconnect"),
        ("thaw", "disconnect"),
    ]


@pytest.mark.spec("PN-9.12-7", "PN-12.2-3")
def test_a_frozen_tree_at_the_end_of_the_daemon(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    process = peer.shell(OBEDIENT, on_disconnect="keep")
    assert line(peer, process) == b"ready"
    peer.call("process.freeze", id=process)
    os.kill(mortal.pid, signal.SIGTERM)
    assert peer.farewell() == "shutting_down"
    ended = peer.event(process, "closed")["process"]
    assert (ended["outcome"], ended["tree"]["verdict"]) == ({"kind": "exited", "code": 5}, "empty")
    peer.close()
    assert mortal.process.wait(30) == 0


@pytest.mark.spec("PN-12.2-4")
def test_a_frozen_tree_whose_daemon_is_killed(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    script = "setsid sh -c 'echo $$; sleep 1000' & sleep 1000"
    process = peer.shell(script, on_disconnect="keep")
    pids = [int(line(peer, process)), peer.get(process)["pid"]]
    peer.call("process.freeze", id=process)
    assert all(map(alive, pids))
    mortal.sigkill()
    try:
        eventually(lambda: not any(map(alive, pids)), "they are gone", 10)
    finally:
        peer.close()
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.spec("PN-9.12-8")
def test_where_there_is_no_tree(peer: Peer) -> None:
    held, ended = hold(peer, "true")["id"], peer.start("true")
    peer.wait(ended)
    for method in ("process.freeze", "process.thaw"):
        for process in (held, ended):
            for when in ({}, {"at": later(3600)[1]}):
                refusal = peer.refusal(method, {"id": process} | when)
                assert (refusal.code, refusal.data["executed"]) == ("not_running", "no")
        assert peer.refusal(method, id="p999999").code == "not_found"
    assert peer.get(held)["state"] == "held"
    peer.call("process.release", ids=[held])
    assert peer.wait(held)["outcome"]["code"] == 0


@pytest.mark.spec("PN-9.12-8", "PN-9.12-1")
def test_what_a_process_has_left_behind(peer: Peer, tmp_path: Path) -> None:
    file = tmp_path / "file"
    process = peer.shell(f"setsid sh -c '{writing(file)}' &", descendants="keep")
    assert peer.wait(process)["tree"]["verdict"] == "kept"
    eventually(file.exists, "it writes", 20)
    assert peer.call("process.freeze", id=process)["frozen"] is True
    stand_still(peer, [file])
    peer.call("process.thaw", id=process)
    go_on([file])
    peer.call("process.freeze", id=process)
    stopped = peer.call("process.stop", id=process, grace=600)["process"]
    assert stopped["tree"]["verdict"] == "empty"
    assert not frozen(peer, process)
    assert peer.refusal("process.freeze", id=process).code == "not_running"


@pytest.mark.spec("PN-9.12-9")
def test_signals_wait_until_the_thaw(peer: Peer, tmp_path: Path) -> None:
    caught, file = tmp_path / "caught", tmp_path / "file"
    process = peer.shell(f"trap 'echo x >> {caught}' USR1; {READY}{writing(file)}")
    assert line(peer, process) == b"ready"
    eventually(file.exists, "it writes", 20)
    peer.call("process.freeze", id=process)
    assert peer.call("process.signal", id=process, signal="SIGUSR1")["count"] == 1
    stand_still(peer, [file])
    assert not caught.exists()
    assert frozen(peer, process)
    peer.call("process.thaw", id=process)
    eventually(caught.exists, "the signal takes effect", 20)
    peer.call("process.freeze", id=process)
    peer.call("process.signal", id=process, signal="SIGKILL", target="tree")
    ended = peer.wait(process)
    assert (ended["outcome"]["signal"], ended["cause"]) == ("SIGKILL", "requested")
    assert "thaw" not in acts(peer, process)[3:]
