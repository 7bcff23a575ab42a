"""Section 9.11: when a process is ready for use."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.peer import Peer

NOTIFY = """
import os, socket, sys, time
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ["NOTIFY_SOCKET"]
address = "\\0" + address[1:] if address[0] == "@" else address
for message in sys.argv[1:]:
    sock.sendto(message.encode(), address)
time.sleep(1000)
"""
PYTHON = sys.executable


def notifying(peer: Peer, *messages: str, **spec: Any) -> str:
    """Start a program that sends notifications."""
    ready = {"mode": "notify", "timeout": 60}
    return peer.start(PYTHON, "-c", NOTIFY, *messages, **({"ready": ready} | spec))


def ready(peer: Peer, process: str) -> dict[str, Any]:
    """What is known of a process's readiness, once it is ready or has failed to be."""
    result: dict[str, Any] = peer.wait(process, until="ready")
    return result


@pytest.mark.spec("PN-9.11-1", "PN-9.11-4", "PN-9.11-6")
def test_ready_by_notification(peer: Peer) -> None:
    process = notifying(peer, "STATUS=waiting", "STATUS=up\nREADY=1", "READY=1\nSTATUS=again")
    found = ready(peer, process)
    assert found["state"] == "running"
    assert found["ready"]["state"] == "ready"
    event = peer.event(process, "ready")
    assert event["at"] == found["ready"]["at"]
    peer.call("process.stop", id=process, grace=0)
    closed = peer.event(process, "closed")
    assert closed["process"]["ready"] == found["ready"]
    assert [kind for kind, _ in peer.events(process)].count("ready") == 1


@pytest.mark.spec("PN-9.11-1")
def test_ready_by_a_descendant(peer: Peer) -> None:
    script = f'{PYTHON} -c "$0" READY=1 & wait'
    process = peer.start("sh", "-c", script, NOTIFY, ready={"mode": "notify"})
    assert ready(peer, process)["ready"]["state"] == "ready"
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.11-2", "PN-9.11-4")
@pytest.mark.parametrize("mode", ["pipe", "spool", "direct"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_ready_by_output(peer: Peer, mode: str, stream: str) -> None:
    script = "printf 'not yet\\nserver lis'; sleep 0.1; printf 'tening on port 80'; exec sleep 1000"
    process = peer.shell(
        f"exec 2>&1; {script}" if stream == "stdout" else f"exec >&2; {script}",
        **{stream: {"mode": mode}},
        ready={"mode": "output", "stream": stream, "pattern": "listening on port [0-9]*"},
    )
    assert ready(peer, process)["ready"]["state"] == "ready"
    peer.event(process, "ready")
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.11-2")
def test_a_pattern_matches_within_a_line(peer: Peer) -> None:
    script = "echo listening; echo on; sleep 1000"
    pattern = {"mode": "output", "pattern": "listening*on", "timeout": 1}
    found = ready(peer, peer.shell(script, ready=pattern))
    assert found["ready"]["state"] == "failed"


@pytest.mark.spec("PN-9.11-3", "PN-9.11-4")
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_ready_by_connection(peer: Peer, family: str, tmp_path: Path) -> None:
    if family == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        address, bind = (
            f"tcp://127.0.0.1:{port}",
            f"s = socket.create_server(('127.0.0.1', {port}))",
        )
    else:
        path = tmp_path / "s"
        address = f"unix://{path}"
        bind = f"s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen()"
    program = (
        f"import socket, time; {bind}; s.accept(); print('seen', flush=True); time.sleep(1000)"
    )
    process = peer.start(PYTHON, "-c", program, ready={"mode": "connect", "address": address})
    assert ready(peer, process)["ready"]["state"] == "ready"
    peer.event(process, "ready")
    assert peer.call("output.read", id=process, stream="stdout", offset=0, wait=20)["data"] == (
        b"seen\n"
    )
    peer.call("process.stop", id=process, grace=0)


READY_SPECS = [
    {"mode": "notify"},
    {"mode": "output", "pattern": "never"},
    {"mode": "connect", "address": "unix:///no/such/socket"},
]


@pytest.mark.spec("PN-9.11-5", "PN-9.11-6")
@pytest.mark.parametrize("spec", READY_SPECS)
def test_not_ready_in_time(peer: Peer, spec: dict[str, Any]) -> None:
    process = peer.shell(
        "echo last words; echo and errors >&2; exec sleep 1000", ready=spec | {"timeout": 0.5}
    )
    found = ready(peer, process)
    assert found["state"] == "closed"
    assert (found["outcome"]["signal"], found["cause"]) == ("SIGTERM", "timeout")
    assert found["ready"]["state"] == "failed"
    assert "0.5" in found["ready"]["reason"]
    assert found["ready"]["tails"] == {"stdout": b"last words\n", "stderr": b"and errors\n"}
    peer.event(process, "closed")
    assert "ready" not in [kind for kind, _ in peer.events(process)]


@pytest.mark.spec("PN-9.11-5", "PN-9.11-6")
@pytest.mark.parametrize("spec", READY_SPECS)
def test_ended_before_it_was_ready(peer: Peer, spec: dict[str, Any]) -> None:
    process = peer.shell("seq 10000 >&2; echo cannot bind; exit 3", ready=spec)
    found = ready(peer, process)
    assert found["state"] == "closed"
    assert (found["outcome"]["code"], found["cause"]) == (3, "own")
    assert found["ready"]["state"] == "failed"
    assert "exited" in found["ready"]["reason"]
    peer.event(process, "closed")
    assert "ready" not in [kind for kind, _ in peer.events(process)]


@pytest.mark.spec("PN-9.11-5", "PN-9.11-6")
@pytest.mark.parametrize("program", ["sleep", "/no/such/program"])
def test_what_is_never_executed_is_never_ready(peer: Peer, program: str) -> None:
    spec = {"mode": "output", "pattern": "x"}
    process = peer.start(program, "1000", hold=True, ready=spec)
    if program == "sleep":
        peer.call("process.stop", id=process)
    else:
        peer.call("process.release", ids=[process])
    found = ready(peer, process)
    assert (found["state"], found["ready"]["state"]) == ("closed", "failed")
    assert "not executed" in found["ready"]["reason"]


@pytest.mark.spec("PN-9.11-6")
def test_waiting_for_the_readiness_of_what_has_none(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    refusal = peer.refusal("process.wait", id=process, until="ready")
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", "until")
    timed = notifying(peer)
    assert peer.refusal("process.wait", id=timed, until="ready", timeout=0.1).code == "timed_out"
    for one in (process, timed):
        peer.call("process.stop", id=one, grace=0)
