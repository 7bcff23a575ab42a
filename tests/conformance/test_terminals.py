"""Section 10.2: terminals, and what the form of a spec with one is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import TIMEOUT, Peer
from tests.daemons import NOBODY

PTY = {"rows": 24, "columns": 80}
CAPACITY = 1_048_576
RAW = "stty raw -echo; "


def until(peer: Peer, process: str, wanted: bytes, offset: int = 0) -> bytes:
    """Read the terminal from ``offset`` until ``wanted`` is there."""
    data = b""
    while wanted not in data:
        result = peer.call(
            "output.read", id=process, stream="stdout", offset=offset + len(data), wait=TIMEOUT
        )
        assert result["data"], f"{wanted!r} did not come: {data!r}"
        data += result["data"]
    return data


def type_(peer: Peer, process: str, data: bytes, offset: int = 0) -> int:
    """Type at ``offset``; the offset behind it."""
    end: int = peer.call("stdin.write", id=process, offset=offset, data=data)["offset"]
    return end


@pytest.mark.spec("PN-9.2-1")
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"stdin": {"mode": "pipe"}}, "spec.stdin"),
        ({"stdin": {"mode": "bytes", "data": b"x"}}, "spec.stdin"),
        ({"stdout": {"mode": "pipe"}}, "spec.stdout"),
        ({"stdout": {"capacity": 4096}}, "spec.stdout"),
        ({"stderr": {"mode": "stdout"}}, "spec.stderr"),
        ({"stderr": {"mode": "null"}}, "spec.stderr"),
    ],
)
def test_form(peer: Peer, fields: dict[str, Any], path: str) -> None:
    refusal = peer.refusal("process.start", spec={"argv": ["true"], "pty": PTY} | fields)
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", path)
    assert refusal.data["executed"] == "no"


@pytest.mark.spec("PN-9.2-1")
@pytest.mark.parametrize("size", [{"rows": 0}, {"columns": 65536}])
def test_form_of_the_size(peer: Peer, size: dict[str, int]) -> None:
    refusal = peer.refusal("process.start", spec={"argv": ["true"], "pty": size})
    assert (refusal.code, refusal.data["path"]) == (
        "invalid_params",
        f"spec.pty.{next(iter(size))}",
    )


@pytest.mark.spec("PN-10.2-1")
def test_one_terminal(peer: Peer) -> None:
    """ps(1) knows the terminal of a session and its foreground process group."""
    script = (
        "stty size; for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done; : </dev/tty && echo own; "
        "cut -d ' ' -f 1,5,6,7,8 /proc/$$/stat"
    )
    found = peer.output(script, pty={"rows": 33, "columns": 101}).decode().split("\r\n")
    size, stdin, stdout, stderr, own, numbers, rest = found
    assert (size, own, rest) == ("33 101", "own", "")
    assert stdin == stdout == stderr
    assert stdin.startswith("/dev/pts/")
    pid, group, session, device, foreground = numbers.split()
    assert pid == group == session == foreground
    assert int(device) != 0


@pytest.mark.spec("PN-10.2-1")
def test_size_by_default(peer: Peer) -> None:
    assert peer.output("stty size", pty={}) == b"24 80\r\n"


@pytest.mark.spec("PN-10.2-1")
def test_no_other_descriptors(peer: Peer) -> None:
    process = peer.start("cat", pty=PTY)
    type_(peer, process, b"x\n")
    until(peer, process, b"x\r\nx\r\n")  # its libraries are loaded, too
    fds = os.listdir(f"/proc/{peer.get(process)['pid']}/fd")
    assert sorted(fds) == ["0", "1", "2"]


@pytest.mark.spec("PN-10.2-1")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_terminal_of_another_user(peer: Peer) -> None:
    script = "stat -Lc '%u %a' /dev/stdin; echo typed >/dev/stderr; : </dev/tty && echo own"
    process = peer.shell(script, pty=PTY, user=NOBODY, group=NOBODY, cwd="/")
    owner, rest = peer.read_all(process).split(b"\r\n", 1)
    assert owner in (b"%d 620" % NOBODY, b"%d 600" % NOBODY)
    assert rest == b"typed\r\nown\r\n"


@pytest.mark.spec("PN-10.2-1")
def test_job_control(peer: Peer) -> None:
    """Ctrl-C reaches the foreground process group, and nothing else."""
    script = "trap : INT; sh -c 'trap \"echo caught; exit 3\" INT; echo ready; read x'; echo $?"
    process = peer.shell(script, pty=PTY)
    until(peer, process, b"ready")
    type_(peer, process, b"\x03")
    assert until(peer, process, b"3\r\n").endswith(b"caught\r\n3\r\n")
    assert peer.wait(process)["outcome"]["code"] == 0


@pytest.mark.spec("PN-10.2-2")
def test_one_stream(peer: Peer) -> None:
    process = peer.shell("echo out; echo err >&2; echo out again", pty=PTY)
    assert peer.read_all(process) == b"out\r\nerr\r\nout again\r\n"
    refusal = peer.refusal("output.read", id=process, stream="stderr", offset=0)
    assert refusal.code == "no_stream"
    streams = peer.wait(process)["streams"]
    assert (streams["stdout"]["mode"], streams["stderr"]["mode"]) == ("pty", "stdout")
    assert streams["stdout"]["eof"] == "closed"
    peer.event(process, "closed")
    eofs = [params["stream"] for kind, params in peer.events(process) if kind == "eof"]
    assert eofs == ["stdout"]


@pytest.mark.spec("PN-10.2-2")
def test_no_byte_is_lost(peer: Peer) -> None:
    """Three times what is kept, through a subscription that gives credit bit by bit."""
    count = 3 * CAPACITY // 8
    process = peer.shell(f"{RAW} seq -f %07.0f 1 {count}", pty=PTY)
    number = peer.subscribe(process, credit=65_536)
    reached = 0
    while reached < count * 8:
        peer.until(lambda: peer.reached(number) > reached)  # noqa: B023
        reached = peer.reached(number)
        credit = {"subscription": number, "credit": reached + 65_536, "consumed": reached}
        peer.notify("output.credit", credit)
    assert peer.data(number) == b"".join(b"%07d\n" % one for one in range(1, count + 1))
    assert peer.wait(process)["streams"]["stdout"].get("lost", 0) == 0


@pytest.mark.spec("PN-10.2-2")
def test_the_program_waits_for_a_reader(peer: Peer) -> None:
    process = peer.shell(f"{RAW} yes", pty=PTY)

    def end() -> int:
        found: int = peer.get(process)["streams"]["stdout"]["end"]
        return found

    while end() < CAPACITY:
        pass
    assert peer.call("process.get", id=process)["process"]["streams"]["stdout"]["first"] == 0
    assert end() == CAPACITY
    peer.call("output.read", id=process, stream="stdout", offset=65_536, consumed=65_536)
    while end() < CAPACITY + 65_536:
        pass
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-10.2-2")
def test_a_survivor_that_holds_the_terminal(peer: Peer) -> None:
    """It does not keep the process from being closed, and finds its terminal hung up then."""
    script = (
        "trap '' HUP; (read x </dev/tty; until ! echo >/dev/stdout; do sleep 0.02; done; "
        "exec sleep 1000) 2>/dev/null & echo ready"
    )
    process = peer.shell(script, pty=PTY, descendants="keep")
    found = peer.wait(process)
    assert found["outcome"]["code"] == 0
    assert found["tree"]["verdict"] == "kept"
    stdout = found["streams"]["stdout"]
    assert stdout["eof"] == "held_by_survivor"
    assert b"ready" in peer.read_all(process)
    survivor = found["tree"]["survivors"][0]["pid"]
    command = Path(f"/proc/{survivor}/cmdline")
    while b"1000" not in command.read_bytes():  # writing has failed
        pass
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-10.2-2", "PN-9.7-1")
def test_a_background_process_is_killed(peer: Peer) -> None:
    script = "trap '' HUP; (trap '' HUP TERM; exec sleep 1000) & echo ready"
    process = peer.shell(script, pty=PTY, descendants_grace=0)
    found = peer.wait(process)
    assert found["tree"]["verdict"] == "empty"
    assert found["streams"]["stdout"]["eof"] == "closed"


@pytest.mark.spec("PN-10.2-2")
def test_a_program_that_closes_its_terminal(peer: Peer) -> None:
    """The end of output precedes that of the program, and nobody reads what is typed. It is not
    hung up for that: SIGHUP would end it."""
    process = peer.shell("echo ready; exec sleep 1000 <&- >&- 2>&-", pty=PTY)
    assert peer.read_all(process) == b"ready\r\n"
    assert peer.get(process)["state"] == "running"
    refusal = peer.refusal("stdin.write", id=process, offset=0, data=b"x")
    assert (refusal.code, refusal.data["end"]) == ("reader_gone", 0)
    peer.call("pty.resize", id=process, rows=3, columns=3)
    assert peer.call("stdin.close", id=process)["offset"] == 0
    assert peer.get(process)["state"] == "running"
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-10.2-3")
def test_typing(peer: Peer) -> None:
    process = peer.shell('read line; echo "<$line>"; stty -echo; echo ready; cat', pty=PTY)
    assert type_(peer, process, b"first\r") == 6
    assert until(peer, process, b"ready\r\n") == b"first\r\n<first>\r\nready\r\n"
    assert type_(peer, process, b"first\rsecond\r") == 13  # six of them are taken already
    peer.call("stdin.close", id=process)
    assert peer.wait(process)["outcome"]["code"] == 0
    assert peer.read_all(process).endswith(b"ready\r\nsecond\r\n")


@pytest.mark.spec("PN-10.2-3", "PN-10.1-3", "PN-10.1-7", "PN-10.1-8")
def test_offsets(peer: Peer) -> None:
    process = peer.start("cat", pty=PTY)
    type_(peer, process, b"abc\n")
    refusal = peer.refusal("stdin.write", id=process, offset=5, data=b"x")
    assert (refusal.code, refusal.data["end"]) == ("offset_future", 4)
    assert peer.refusal("stdin.close", id=process, offset=5).code == "offset_future"
    assert peer.call("stdin.close", id=process, offset=4)["offset"] == 4
    assert peer.wait(process)["outcome"]["code"] == 0


@pytest.mark.spec("PN-10.2-3", "PN-10.1-1", "PN-10.1-5", "PN-10.1-6")
def test_typing_waits_for_room(peer: Peer) -> None:
    window = peer.hello["limits"]["stdin_window"]
    process = peer.shell(f"{RAW} echo ready; exec sleep 1000", pty=PTY)
    until(peer, process, b"ready")
    number = peer.request("stdin.write", {"id": process, "offset": 0, "data": bytes(window)})
    refusal = peer.refusal("stdin.write", id=process, offset=window, data=b"x")
    assert refusal.code == "window_exceeded"
    assert number not in peer.replies
    for _ in range(4):  # each round trip lets the daemon go on with what waits
        peer.call("ping")
    peer.call("process.stop", id=process, grace=0)
    peer.answered(number)
    error = peer.replies.pop(number)[0]
    assert error["code"] == "reader_gone"
    assert 0 < error["data"]["end"] < window


@pytest.mark.spec("PN-10.2-3", "PN-10.1-4")
def test_much_typing(peer: Peer) -> None:
    """More than any buffer of the kernel holds, taken as the program reads it."""
    data = b"".join(b"%07d\n" % number for number in range(100_000))
    script = f"{RAW} echo ready; head -c {len(data)} | cksum"
    process = peer.shell(script, pty=PTY)
    until(peer, process, b"ready")
    for offset in range(0, len(data), 8_000):
        chunk = data[offset : offset + 8_000]
        peer.request("stdin.write", {"id": process, "offset": offset, "data": chunk})
    expected = peer.output("cksum", stdin={"mode": "bytes", "data": data})
    assert peer.read_all(process).endswith(expected)


@pytest.mark.spec("PN-10.2-3")
@pytest.mark.parametrize("line", [b"", b"whole\n", b"incomplete"])
def test_end_of_input(peer: Peer, line: bytes) -> None:
    """A pending line comes first; then there is one end, not two: ``cat`` is told, not ``read``."""
    script = 'stty -echo; echo ready; cat; echo "<end>"; read x; echo "<$x>"'
    process = peer.shell(script, pty=PTY)
    until(peer, process, b"ready\r\n")
    if line:
        type_(peer, process, line)
    assert peer.call("stdin.close", id=process)["offset"] == len(line)
    assert peer.call("stdin.close", id=process)["offset"] == len(line)
    seen = until(peer, process, b"<end>\r\n")
    assert seen == b"ready\r\n" + line.replace(b"\n", b"\r\n") + b"<end>\r\n"
    refusal = peer.refusal("stdin.write", id=process, offset=len(line), data=b"x")
    assert (refusal.code, refusal.data["end"]) == ("stdin_closed", len(line))
    assert peer.get(process)["state"] == "running"
    peer.call("pty.resize", id=process, rows=5, columns=5)  # it was not hung up
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-10.2-3")
def test_another_end_of_file_character(peer: Peer) -> None:
    process = peer.shell("stty -echo eof ^N; echo ready; cat; echo '<end>'", pty=PTY)
    until(peer, process, b"ready\r\n")
    type_(peer, process, b"a\x04b\n")
    peer.call("stdin.close", id=process)
    assert peer.wait(process)["outcome"]["code"] == 0
    assert peer.read_all(process) == b"ready\r\na\x04b\r\n<end>\r\n"


@pytest.mark.spec("PN-10.2-3")
def test_end_of_input_in_raw_mode(peer: Peer) -> None:
    """There are no lines, so it is one character; a disabled one is none."""
    script = f"{RAW} echo ready; head -c 5 | od -An -c; stty eof undef; echo next; exec sleep 1000"
    process = peer.shell(script, pty=PTY)
    until(peer, process, b"ready\n")
    type_(peer, process, b"abcd")
    peer.call("stdin.close", id=process)
    assert b"a   b   c   d 004" in until(peer, process, b"next")
    other = peer.shell("stty eof undef; echo ready; cat", pty=PTY)
    until(peer, other, b"ready")
    assert peer.call("stdin.close", id=other)["offset"] == 0
    assert peer.get(other)["state"] == "running"
    for one in (process, other):
        peer.call("process.stop", id=one, grace=0)


@pytest.mark.spec("PN-10.2-3", "PN-10.1-10")
def test_the_end_of_a_connection_types_nothing(connect: Connect) -> None:
    first, second = connect(), connect()
    process = first.shell("stty -echo; echo ready; cat", pty=PTY, on_disconnect="keep")
    until(first, process, b"ready\r\n")
    type_(first, process, b"abc")
    first.close()
    type_(second, process, b"def\n", offset=3)
    assert until(second, process, b"def").endswith(b"abcdef\r\n")
    second.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-10.2-4")
def test_resize(peer: Peer) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    process = peer.shell(script, pty=PTY)
    until(peer, process, b"ready\r\n")
    assert peer.call("pty.resize", id=process, rows=50, columns=132) == {}
    assert until(peer, process, b"132").endswith(b"50 132\r\n")
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-10.2-5")
def test_resize_without_terminal(peer: Peer) -> None:
    size = {"rows": 3, "columns": 3}
    process = peer.start("sleep", "1000", stdin={"mode": "pipe"})
    refusal = peer.refusal("pty.resize", {"id": process} | size)
    assert (refusal.code, refusal.data["executed"]) == ("no_pty", "no")
    peer.call("process.stop", id=process, grace=0)
    assert peer.refusal("pty.resize", {"id": process} | size).code == "no_pty"
    other = peer.start("true", pty=PTY)
    peer.wait(other)
    assert peer.refusal("pty.resize", {"id": other} | size).code == "not_running"
    assert peer.refusal("pty.resize", {"id": "nobody"} | size).code == "not_found"
    wrong = peer.refusal("pty.resize", {"id": other, "rows": 0, "columns": 3})
    assert (wrong.code, wrong.data["path"]) == ("invalid_params", "rows")


@pytest.mark.spec("PN-10.2-1", "PN-9.6-1", "PN-9.6-3")
def test_stop(peer: Peer) -> None:
    """A shell with a stopped job, one in the background, and one of another session."""
    script = "set -m; sleep 1001 & sh -c 'kill -STOP $$'; setsid sleep 1002 & echo ready; cat"
    process = peer.shell(script, pty=PTY)
    until(peer, process, b"ready")
    found = peer.call("process.stop", id=process, grace=0.2)["process"]
    assert found["tree"]["verdict"] == "empty"
    assert found["streams"]["stdout"]["eof"] == "closed"


@pytest.mark.spec("PN-10.2-1", "PN-9.9-1", "PN-9.11-2")
def test_held_until_released_and_ready(peer: Peer) -> None:
    """What waits for a program finds it in its terminal, too."""
    ready = {"mode": "output", "pattern": b"is ready"}
    process = peer.shell("echo it is ready; exec sleep 1000", pty=PTY, hold=True, ready=ready)
    assert peer.get(process)["state"] == "held"
    assert peer.get(process)["streams"]["stdout"]["mode"] == "pty"
    assert peer.refusal("pty.resize", id=process, rows=3, columns=3).code == "not_running"
    peer.call("process.release", ids=[process])
    assert peer.wait(process, until="ready")["ready"]["state"] == "ready"
    peer.call("pty.resize", id=process, rows=3, columns=3)
    found = peer.call("process.stop", id=process, grace=0)["process"]
    assert found["streams"]["stdout"]["eof"] == "closed"
