"""A live daemon and several clients, driven by Hypothesis: whatever they do in whatever order, each
process has one truthful end, streams have every byte, and nothing is left in the end."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from tests.conformance.peer import Peer
from tests.daemons import Daemon, eventually

TEXT = b"".join(b"%05d\n" % number for number in range(2000))
PROGRAMS = {
    "sleeper": ["sleep", "1000"],
    "writer": ["seq", "-f", "%05.0f", "0", "1999"],
    "copier": ["cat"],
    "failure": ["sh", "-c", "exit 3"],
    "suicide": ["sh", "-c", "kill -KILL $$"],
    "family": ["sh", "-c", "sleep 1000 & setsid sleep 1000 & exec sleep 1000"],
    "stubborn": ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"],
}
OWN_END = {"writer": ("exited", 0), "failure": ("exited", 3), "suicide": ("signalled", "SIGKILL")}


@attrs.define(eq=False)
class Started:
    """What the test knows of a process."""

    id: str
    kind: str
    owner: Peer
    on_disconnect: str
    mode: str
    fed: bytes = b""
    disturbed: bool = False
    outcome: Any = None


class LiveDaemon(RuleBasedStateMachine):
    """Clients of one daemon."""

    peers = Bundle("peers")
    processes = Bundle("processes")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="pn-", dir="/tmp")
        self.daemon = Daemon(Path(self.directory.name) / "d")
        self.watcher = Peer(self.daemon.address)
        self.known: list[Started] = []
        self.open: list[Peer] = []

    @rule(target=peers)
    def connect(self) -> Any:
        if len(self.open) >= 4:
            return multiple()
        peer = Peer(self.daemon.address)
        self.open.append(peer)
        return peer

    @rule(
        target=processes,
        peer=peers,
        kind=st.sampled_from(sorted(PROGRAMS)),
        keep=st.booleans(),
        mode=st.sampled_from(["spool", "pipe", "direct"]),
    )
    def start(self, peer: Peer, kind: str, keep: bool, mode: str) -> Any:
        if peer not in self.open:
            return multiple()
        on_disconnect = "keep" if keep else "kill"
        stdin = {"mode": "pipe"} if kind == "copier" else {"mode": "null"}
        identifier = peer.start(
            *PROGRAMS[kind],
            on_disconnect=on_disconnect,
            stdin=stdin,
            stdout={"mode": mode},
            grace=0.3,
        )
        assert identifier not in {one.id for one in self.known}
        started = Started(identifier, kind, peer, on_disconnect, mode)
        self.known.append(started)
        return started

    @rule(one=processes, data=st.binary(min_size=1, max_size=5000))
    def feed(self, one: Started, data: bytes) -> None:
        if one.kind != "copier" or one.disturbed:
            return
        result = self.watcher.call("stdin.write", id=one.id, offset=len(one.fed), data=data)
        one.fed += data
        assert result["offset"] == len(one.fed)

    @rule(one=processes, offset=st.integers(0, 20_000), maximum=st.integers(1, 5000))
    def read(self, one: Started, offset: int, maximum: int) -> None:
        number = self.watcher.request(
            "output.read", {"id": one.id, "stream": "stdout", "offset": offset, "max": maximum}
        )
        self.watcher.answered(number)
        error, result = self.watcher.replies.pop(number)
        if error is not None:
            assert error["code"] == "offset_future"
            assert error["data"]["end"] < offset
            return
        wanted = self.expected(one)[offset : offset + maximum]
        assert wanted.startswith(result["data"])

    def expected(self, one: Started) -> bytes:
        return {"writer": TEXT, "copier": one.fed}.get(one.kind, b"")

    @rule(one=processes, name=st.sampled_from(["SIGTERM", "SIGKILL", "SIGHUP", "SIGCONT"]))
    def signal(self, one: Started, name: str) -> None:
        number = self.watcher.request("process.signal", {"id": one.id, "signal": name})
        self.watcher.answered(number)
        error, _ = self.watcher.replies.pop(number)
        if error is not None:
            assert error["code"] == "not_running"
        elif name != "SIGCONT":
            one.disturbed = True

    @rule(one=processes)
    def stop(self, one: Started) -> None:
        one.disturbed = True
        found = self.watcher.call("process.stop", id=one.id)["process"]
        assert found["state"] == "closed"
        assert found["tree"]["verdict"] == "empty"

    @rule(one=processes, credit=st.integers(0, 30_000))
    def subscribe_and_leave(self, one: Started, credit: int) -> None:
        peer = Peer(self.daemon.address)
        number = peer.subscribe(one.id, credit=credit)
        peer.call("ping")
        assert len(peer.data(number)) <= credit
        assert self.expected(one).startswith(peer.data(number))
        peer.reset()

    @rule(peer=consumes(peers), how=st.sampled_from(["goodbye", "close", "reset", "nonsense"]))
    def disconnect(self, peer: Peer, how: str) -> None:
        if peer not in self.open:
            return
        self.open.remove(peer)
        if how == "goodbye":
            peer.notify("goodbye", {"code": "done"})
            assert peer.farewell() == "done"
        elif how == "nonsense":
            peer.send_raw(os.urandom(1) + bytes(3))
            peer.farewell()
        elif how == "reset":
            peer.reset()
        peer.close()
        for one in self.known:
            if one.owner is peer and one.on_disconnect == "kill":
                one.disturbed = True

    @invariant()
    def outcomes_do_not_change(self) -> None:
        for one in self.known:
            found = self.watcher.get(one.id)
            outcome = found.get("outcome")
            if one.outcome is not None:
                assert outcome == one.outcome
            one.outcome = outcome
            if outcome is not None and not one.disturbed and one.kind in OWN_END:
                kind, value = OWN_END[one.kind]
                assert (outcome["kind"], outcome.get("code", outcome.get("signal"))) == (
                    kind,
                    value,
                )
                assert found["cause"] == "own"
            if outcome is not None and one.kind in ("sleeper", "family", "stubborn", "copier"):
                assert one.disturbed

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            for peer in (*self.open, self.watcher):
                peer.close()
            self.daemon.kill()
            self.directory.cleanup()

    def finish(self) -> None:
        for peer in self.open:
            peer.close()
        for one in self.known:
            if one.on_disconnect == "kill":
                self.watcher.wait(one.id)
            else:
                self.watcher.call("process.stop", id=one.id, grace=0)
            if one.kind == "writer" and not one.disturbed and one.on_disconnect == "keep":
                assert self.watcher.read_all(one.id) in (TEXT, TEXT[: self.end_of(one)])
        counts = self.watcher.call("daemon.info")
        assert counts["counts"]["live"] == 0
        spawner = counts["spawner"]["pid"]
        children = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children")
        eventually(lambda: children.read_text().split() == [str(spawner)], "no child is left")
        assert self.daemon.stop() == 0
        assert "Traceback" not in self.daemon.read_log(), self.daemon.read_log()

    def end_of(self, one: Started) -> int:
        end: int = self.watcher.get(one.id)["streams"]["stdout"]["end"]
        return end


TestLiveDaemon = LiveDaemon.TestCase
TestLiveDaemon.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
