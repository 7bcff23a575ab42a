"""Sections 12 to 14: ends, time, the daemon about itself."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer
from tests.conformance.test_processes import alive, line
from tests.daemons import Daemon, eventually, wait_for_fifo


@pytest.mark.spec("PN-12.1-1")
@pytest.mark.parametrize("how", ["goodbye", "close", "reset", "violation"])
def test_disconnect_kills(connect: Connect, how: str) -> None:
    watcher, peer = connect(), connect()
    plain = peer.start("sleep", "1000", grace=600)
    stubborn = peer.shell("trap '' TERM; echo up; while :; do sleep 0.02; done", grace=600)
    line(peer, stubborn)
    began = time.monotonic()
    if how == "goodbye":
        peer.notify("goodbye", {"code": "done"})
        assert peer.farewell() == "done"
    elif how == "close":
        peer.close()
    elif how == "reset":
        peer.reset()
    else:
        peer.send_raw(bytes(4))
        assert peer.farewell() == "empty_frame"
    found = watcher.wait(plain)
    assert (found["cause"], found["outcome"]["signal"]) == ("disconnect", "SIGTERM")
    found = watcher.wait(stubborn)
    assert (found["cause"], found["outcome"]["signal"]) == ("disconnect", "SIGKILL")
    assert found["tree"]["verdict"] == "empty"
    assert time.monotonic() - began < 10


@pytest.mark.spec("PN-12.1-2")
def test_disconnect_keeps(connect: Connect) -> None:
    watcher, peer = connect(), connect()
    process = peer.start("sleep", "1000", on_disconnect="keep")
    other = connect()
    other.get(process)
    peer.reset()
    other.close()
    refusal = watcher.refusal("process.wait", id=process, timeout=0.5)
    assert refusal.code == "timed_out"
    assert watcher.get(process).get("acts", []) == []
    watcher.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-12.1-3")
def test_nothing_is_left_of_connections(connect: Connect) -> None:
    watcher = connect()
    before = watcher.call("daemon.info")
    pid = before["daemon"]["pid"]
    descriptors = Path(f"/proc/{pid}/fd")
    process = watcher.start("sleep", "1000")
    open_before = len(list(descriptors.iterdir()))
    for _ in range(10):
        peer = connect()
        for _ in range(5):
            peer.subscribe(process)
            peer.request("process.wait", {"id": process})
            peer.request(
                "output.read", {"id": process, "stream": "stdout", "offset": 0, "wait": 600}
            )
        peer.reset()
    eventually(
        lambda: (
            watcher.call("daemon.info")["counts"]["connections"] <= before["counts"]["connections"]
        ),
        "the connections are gone",
    )
    assert len(list(descriptors.iterdir())) <= open_before + 1
    watcher.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-12.1-3")
def test_no_reader_is_left_of_connections(connect: Connect) -> None:
    """A reader that is gone does not hold back the program, which waits for the slowest."""
    watcher = connect()
    ring = {"mode": "pipe", "capacity": 4096}
    process = watcher.start("head", "-c", "800000", "/dev/zero", stdout=ring)
    for end in ("close", "reset"):
        peer = connect()
        number = peer.subscribe(process)
        peer.until(lambda peer=peer, number=number: peer.data(number))  # type: ignore[misc]
        getattr(peer, end)()
    assert watcher.read_all(process) == bytes(800_000)


@pytest.mark.spec("PN-12.2-1")
def test_announcement(mortal: Daemon) -> None:
    peers = [Peer(mortal.address) for _ in range(3)]
    peers[0].shell("trap '' TERM; while :; do sleep 0.1; done", grace=0.5)
    os.kill(mortal.pid, signal.SIGTERM)
    for peer in peers:
        assert peer.farewell() == "shutting_down"
        goodbyes = [params for name, params in peer.notes if name == "goodbye"]
        assert goodbyes[0]["grace"] >= 0
        assert goodbyes[-1].get("grace") is None
        peer.close()
    assert mortal.process.wait(30) == 0


@pytest.mark.spec("PN-12.2-2")
def test_no_start_during_the_end(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    process = peer.shell("trap '' TERM; echo up; while :; do sleep 0.1; done", grace=1)
    line(peer, process)
    os.kill(mortal.pid, signal.SIGTERM)
    peer.until(lambda: peer.goodbye)
    refusal = peer.refusal("process.start", spec={"argv": ["true"]})
    assert (refusal.code, refusal.data["executed"]) == ("shutting_down", "no")
    peer.call("ping")
    peer.farewell()
    peer.close()
    assert mortal.process.wait(30) == 0


@pytest.mark.spec("PN-12.2-3")
def test_ends_are_told_at_the_end(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    kept = peer.start("sleep", "1000", on_disconnect="keep")
    own = peer.start("sleep", "1000")
    os.kill(mortal.pid, signal.SIGTERM)
    assert peer.farewell() == "shutting_down"
    for process in (kept, own):
        assert [kind for kind, _ in peer.events(process)][-1] == "closed"
        found = peer.event(process, "closed")["process"]
        assert (found["cause"], found["outcome"]["signal"]) == ("shutdown", "SIGTERM")
    assert peer.order[-1][1] == "goodbye"
    peer.close()
    assert mortal.process.wait(30) == 0


@pytest.mark.spec("PN-12.2-4")
def test_killed_daemon(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    script = "trap '' TERM; setsid sh -c 'echo \\$\\$; sleep 1000' & echo $$; sleep 1000"
    process = peer.shell(script.replace("\\$", "$"), on_disconnect="keep")
    data = b""
    while data.count(b"\n") < 2:
        data = peer.call("output.read", id=process, stream="stdout", offset=0)["data"]
    pids = [int(text) for text in data.split()]
    assert all(alive(pid) for pid in pids)
    mortal.sigkill()
    try:
        eventually(lambda: not any(alive(pid) for pid in pids), "they are gone", 5)
    finally:
        peer.close()
        for pid in filter(alive, pids):
            os.killpg(os.getpgid(pid), signal.SIGKILL)


@pytest.mark.spec("PN-13.1-1")
def test_stamps(peer: Peer) -> None:
    for argv in (["true"], ["sleep", "0.2"]):
        times = peer.wait(peer.start(*argv))["times"]
        steps = [times[name]["monotonic"] for name in ("requested", "exec", "exited", "closed")]
        assert steps == sorted(steps)
        for stamp in times.values():
            for seconds, nanoseconds in stamp.values():
                assert seconds >= 0
                assert 0 <= nanoseconds < 10**9
            assert abs(stamp["realtime"][0] - time.time()) < 3600


@pytest.mark.spec("PN-13.1-2")
def test_where_stamps_are_taken(peer: Peer) -> None:
    """The program itself reads the clock, just after its execution and just before its end."""
    code = "import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC)); time.sleep(0.3)"
    process = peer.start("/usr/bin/env", "python3", "-c", code, env=[["PATH", os.environ["PATH"]]])
    times = peer.wait(process)["times"]
    own = int(peer.read_all(process)) / 1e9
    begin, end = (
        times[name]["monotonic"][0] + times[name]["monotonic"][1] / 1e9
        for name in ("exec", "exited")
    )
    assert begin <= own <= end - 0.3
    assert times["exec"]["monotonic"] < times["exec_seen"]["monotonic"]


@pytest.mark.spec("PN-13.1-2")
def test_stamps_while_the_daemon_sleeps(mortal: Daemon, tmp_path: Path) -> None:
    """The program runs from beginning to end while the daemon is stopped."""
    peer = Peer(mortal.address)
    fifo, mark = tmp_path / "fifo", tmp_path / "mark"
    os.mkfifo(fifo)
    code = (
        "import os, sys, time; now = time.clock_gettime_ns(time.CLOCK_MONOTONIC); "
        "open(sys.argv[1] + '.new', 'w').write(str(now)); "
        "os.rename(sys.argv[1] + '.new', sys.argv[1])"
    )
    spec = {
        "argv": [sys.executable, "-c", code, str(mark)],
        "stdin": {"mode": "file", "path": str(fifo)},
    }
    number = peer.request("process.start", {"spec": spec})
    wait_for_fifo(mortal.pid)
    os.kill(mortal.pid, signal.SIGSTOP)
    stat = Path(f"/proc/{mortal.pid}/stat")
    eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    fifo.write_bytes(b"")
    eventually(mark.exists, "the program has run")
    continued = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    os.kill(mortal.pid, signal.SIGCONT)
    times = peer.wait(peer.answer(number)["id"])["times"]
    begin, end = (
        times[name]["monotonic"][0] * 10**9 + times[name]["monotonic"][1]
        for name in ("exec", "exited")
    )
    assert begin <= int(mark.read_text()) <= continued <= end
    peer.close()


@pytest.mark.spec("PN-14.1-1")
def test_describe(peer: Peer) -> None:
    result = peer.call("describe")
    schema = json.loads(result["schema"])
    assert schema["protocol"] >= 1
    assert {one["name"] for one in schema["methods"]} >= {"hello", "process.start", "describe"}
    containment = result["containment"]
    assert containment["kind"] in ("cgroup", "session")
    assert containment["reason"]
    assert containment["limitations"]


@pytest.mark.spec("PN-14.1-2")
def test_info(peer: Peer) -> None:
    before = peer.call("daemon.info")
    assert before["daemon"]["pid"] == peer.hello["daemon"]["pid"]
    assert alive(before["daemon"]["pid"])
    assert alive(before["spawner"]["pid"])
    stat = Path(f"/proc/{before['spawner']['pid']}/stat").read_text()
    assert int(stat.rpartition(")")[2].split()[1]) == before["daemon"]["pid"]
    assert before["counts"]["connections"] >= 1
    process = peer.start("sleep", "1000")
    after = peer.call("daemon.info")
    assert after["counts"]["started"] == before["counts"]["started"] + 1
    assert after["counts"]["live"] >= 1
    assert peer.get(process)["pid"] != after["daemon"]["pid"]
    stat = Path(f"/proc/{peer.get(process)['pid']}/stat").read_text()
    assert int(stat.rpartition(")")[2].split()[1]) == after["daemon"]["pid"]
