"""Sections 9.9 and the timed parts of 9.5 and 9.6: the gate, and acts at an instant."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer
from tests.conformance.test_processes import READY, alive, line

Instant = tuple[int, int]
SOON = 0.3
"""Seconds that an instant to come is away: more than a request takes."""


def now() -> int:
    """Nanoseconds of CLOCK_REALTIME, which the daemon on this machine shares."""
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def later(seconds: float) -> tuple[int, list[int]]:
    """(nanoseconds, instant on the wire)."""
    at = now() + int(seconds * 1e9)
    return at, list(divmod(at, 10**9))


def nanoseconds(instant: list[int]) -> int:
    """Of an instant on the wire."""
    return instant[0] * 10**9 + instant[1]


def hold(peer: Peer, *argv: str, **spec: Any) -> dict[str, Any]:
    """Start a program that waits at its gate; the reply."""
    result: dict[str, Any] = peer.call(
        "process.start", spec={"argv": list(argv), "hold": True} | spec
    )
    return result


def release(peer: Peer, *ids: str, at: list[int] | None = None) -> list[dict[str, Any]]:
    """Let held processes go."""
    result = peer.call("process.release", {"ids": list(ids)} | ({"at": at} if at else {}))
    releases: list[dict[str, Any]] = result["releases"]
    return releases


@pytest.mark.spec("PN-9.9-1")
def test_held(peer: Peer, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    held = hold(peer, "sh", "-c", f"echo ran > {trace}; echo $PPID")
    assert held["state"] == "held"
    assert held["times"]["held"]["monotonic"] >= held["times"]["requested"]["monotonic"]
    process = peer.get(held["id"])
    assert (process["state"], process["pid"]) == ("held", held["pid"])
    assert alive(held["pid"])
    # It has become nothing yet: its image is still that of whoever cloned it.
    assert Path(f"/proc/{held['pid']}/comm").read_text() != "sh\n"
    assert not trace.exists()
    assert "exec" not in process["times"]
    release(peer, held["id"])
    assert peer.wait(held["id"])["outcome"] == {"kind": "exited", "code": 0}
    assert trace.read_text() == "ran\n"


@pytest.mark.spec("PN-9.9-1")
def test_a_start_that_fails_before_the_gate(peer: Peer) -> None:
    refusal = peer.refusal(
        "process.start", spec={"argv": ["true"], "hold": True, "cwd": "/no/such/directory"}
    )
    assert (refusal.code, refusal.data["stage"]) == ("start_failed", "cwd")


@pytest.mark.spec("PN-9.9-2")
def test_release(peer: Peer) -> None:
    ids = [hold(peer, "sh", "-c", f"exit {code}")["id"] for code in range(5)]
    releases = release(peer, *reversed(ids))
    assert [one["id"] for one in releases] == ids[::-1]
    for one in releases:
        assert "outcome" not in one
        assert one["times"]["exec_seen"]["monotonic"] >= one["times"]["exec"]["monotonic"]
        assert one["release"]["requested"]["monotonic"] <= one["times"]["exec"]["monotonic"]
        assert "late_s" not in one["release"]
    assert [peer.wait(one)["outcome"]["code"] for one in ids] == [0, 1, 2, 3, 4]


@pytest.mark.spec("PN-9.9-3")
def test_release_of_what_is_not_held(peer: Peer) -> None:
    held, running = hold(peer, "true")["id"], peer.start("sleep", "1000")
    refusal = peer.refusal("process.release", ids=[held, running])
    assert (refusal.code, refusal.data["path"]) == ("not_held", "ids[1]")
    assert refusal.data["executed"] == "no"
    assert peer.refusal("process.release", ids=[held, "p999999"]).code == "not_found"
    assert peer.get(held)["state"] == "held"
    twice = peer.refusal("process.release", ids=[held, held])
    assert (twice.code, twice.data["path"]) == ("invalid_params", "ids[1]")
    release(peer, held)
    assert peer.wait(held)["outcome"]["code"] == 0
    assert peer.refusal("process.release", ids=[held]).code == "not_held"
    peer.call("process.stop", id=running, grace=0)


@pytest.mark.spec("PN-9.9-4", "PN-9.9-5")
def test_release_at_an_instant(peer: Peer) -> None:
    ids = [hold(peer, "date", "+%s%N")["id"] for _ in range(4)]
    at, instant = later(SOON)
    for one in release(peer, *ids, at=instant):
        executed = nanoseconds(one["times"]["exec"]["realtime"])
        assert executed >= at
        assert one["release"]["due"] == instant
        assert one["release"]["late_s"] == pytest.approx((executed - at) / 1e9, abs=1e-8)
        # Missed only if this machine took longer to tell it than there was time.
        if now() - at < 10**9 and one["release"]["late_s"] < SOON / 2:
            assert not one["release"].get("missed", False)
        assert int(line(peer, one["id"])) >= at
        assert peer.wait(one["id"])["release"] == one["release"]


@pytest.mark.spec("PN-9.9-4", "PN-9.9-5")
def test_a_missed_instant(peer: Peer) -> None:
    held = hold(peer, "true")["id"]
    at, instant = later(-1)
    before = time.monotonic()
    (one,) = release(peer, held, at=instant)
    assert one["release"]["missed"] is True
    assert one["release"]["late_s"] >= 1
    assert now() >= at
    assert time.monotonic() - before < 20
    assert peer.wait(held)["outcome"]["code"] == 0


@pytest.mark.spec("PN-9.9-6")
def test_exec_that_fails_after_release(peer: Peer) -> None:
    held = hold(peer, "/no/such/program")["id"]
    (one,) = release(peer, held)
    outcome = one["outcome"]
    assert (outcome["kind"], outcome["stage"], outcome["errno"], outcome["errno_number"]) == (
        *("start_failed", "exec", "ENOENT"),
        2,
    )
    assert peer.event(held, "closed")["process"]["outcome"] == outcome
    kinds = [kind for kind, _ in peer.events(held)]
    assert sorted(kinds) == ["closed", "eof", "eof", "exited"]
    assert kinds[-1] == "closed"
    assert peer.event(held, "exited")["outcome"] == outcome
    assert peer.get(held)["tree"]["verdict"] == "empty"


@pytest.mark.spec("PN-9.9-7")
@pytest.mark.parametrize("at", [None, 3600])
def test_stop_of_a_held_process(peer: Peer, tmp_path: Path, at: float | None) -> None:
    trace = tmp_path / "trace"
    held = hold(peer, "touch", str(trace))
    if at is not None:
        waiting = peer.request("process.release", {"ids": [held["id"]], "at": later(at)[1]})
    process = peer.call("process.stop", id=held["id"], grace=60)["process"]
    assert process["outcome"]["kind"] == "start_failed"
    assert (process["outcome"]["stage"], process["outcome"]["signal"]) == ("gate", "SIGKILL")
    assert (process["cause"], process["tree"]["verdict"]) == ("requested", "empty")
    if at is not None:
        assert peer.answer(waiting)["releases"][0]["outcome"] == process["outcome"]
    assert not alive(held["pid"])
    assert not trace.exists()


@pytest.mark.spec("PN-9.9-7")
def test_a_held_process_without_its_owner(connect: Connect, tmp_path: Path) -> None:
    owner, other = connect(), connect()
    trace = tmp_path / "trace"
    held = hold(owner, "touch", str(trace))
    owner.close()
    process = other.wait(held["id"])
    assert (process["outcome"]["kind"], process["outcome"]["stage"]) == ("start_failed", "gate")
    assert process["cause"] == "disconnect"
    assert not alive(held["pid"])
    assert not trace.exists()


@pytest.mark.spec("PN-9.9-8")
def test_signal_to_a_held_process(peer: Peer) -> None:
    held = hold(peer, "true")["id"]
    assert peer.refusal("process.signal", id=held, signal="SIGTERM").code == "not_running"
    assert peer.get(held)["state"] == "held"
    release(peer, held)
    assert peer.wait(held)["outcome"]["code"] == 0


@pytest.mark.spec("PN-9.2-6")
def test_start_timeout_ends_at_the_gate(peer: Peer) -> None:
    held = hold(peer, "true", start_timeout=5)["id"]
    assert not peer.silent(0.1) or peer.get(held)["state"] == "held"
    release(peer, held)
    assert peer.wait(held)["outcome"]["code"] == 0


@pytest.mark.spec("PN-9.5-4")
def test_signal_at_an_instant(peer: Peer) -> None:
    process = peer.shell("trap 'date +%s%N; exit 0' USR1; echo ready; while :; do sleep 0.01; done")
    assert line(peer, process) == b"ready"
    at, instant = later(SOON)
    delivered = peer.call("process.signal", id=process, signal="SIGUSR1", at=instant)["delivered"]
    assert nanoseconds(delivered["realtime"]) >= at
    assert peer.wait(process)["outcome"] == {"kind": "exited", "code": 0}
    assert int(peer.read_all(process).split()[1]) >= at
    (act,) = peer.get(process)["acts"]
    assert (act["due"], act["delivered"]) == (instant, delivered)


@pytest.mark.spec("PN-9.5-4")
def test_signal_at_an_instant_that_has_passed(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    peer.call("process.signal", id=process, signal="SIGKILL", at=[1, 0])
    assert peer.wait(process)["outcome"]["signal"] == "SIGKILL"
    assert peer.refusal("process.signal", id=process, signal="SIGKILL", at=[1, 0]).code == (
        "not_running"
    )


@pytest.mark.spec("PN-9.5-5")
def test_a_timed_signal_that_is_given_up(connect: Connect) -> None:
    peer, other = connect(), connect()
    process = peer.shell("trap 'echo caught' USR1; echo ready; while :; do sleep 0.02; done")
    assert line(peer, process) == b"ready"
    at, instant = later(1)
    params = {"id": process, "signal": "SIGUSR1", "at": instant}
    cancelled = peer.request("process.signal", params)
    other.request("process.signal", params)
    other.call("ping")
    other.close()
    peer.notify("cancel", {"id": cancelled})
    peer.answered(cancelled)
    error, _ = peer.replies.pop(cancelled)
    assert (error["code"], error["data"]["executed"]) == ("cancelled", "no")
    # A third one for a later instant shows when the two would have been delivered.
    peer.call("process.signal", id=process, signal="SIGUSR2", at=list(divmod(at + 10**8, 10**9)))
    assert peer.wait(process)["outcome"]["signal"] == "SIGUSR2"
    assert peer.read_all(process) == b"ready\n"
    assert [act["signal"] for act in peer.get(process)["acts"]] == ["SIGUSR2"]


@pytest.mark.spec("PN-9.6-7")
def test_stop_at_an_instant(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    at, instant = later(SOON)
    stopped = peer.call("process.stop", id=process, at=instant)["process"]
    assert stopped["outcome"]["signal"] == "SIGTERM"
    assert nanoseconds(stopped["acts"][0]["delivered"]["realtime"]) >= at
    again = peer.shell(READY + "sleep 1000")
    assert line(peer, again) == b"ready"
    waiting = peer.request("process.stop", {"id": again, "at": later(3600)[1]})
    peer.notify("cancel", {"id": waiting})
    peer.answered(waiting)
    error, _ = peer.replies.pop(waiting)
    assert (error["code"], error["data"]["executed"]) == ("cancelled", "no")
    assert peer.get(again)["state"] == "running"
    peer.call("process.stop", id=again, grace=0)
