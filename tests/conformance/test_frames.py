"""Sections 2 and 3: frames and the MessagePack profile."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from pathlib import Path

import msgpack
import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer, frame, pack

PING = [0, 1, "ping", {}]
HELLO = {"protocol": 1, "client": {"name": "x"}}


def refused(connect: Connect, payload: bytes) -> str | None:
    """Code of the goodbye after a payload behind the hello."""
    peer = connect()
    peer.send_raw(frame(payload))
    return peer.farewell()


@pytest.mark.spec("PN-2.1-1")
def test_any_chunking(connect: Connect) -> None:
    peer = connect(greet=False)
    data = frame(pack([0, 0, "hello", HELLO])) + frame(pack(PING)) + frame(pack([0, 2, "ping", {}]))
    for position in range(len(data)):
        peer.send_raw(data[position : position + 1])
        if position % 16 == 0:
            time.sleep(0.001)  # lets the pieces travel apart; the result does not depend on it
    peer.answer(0)
    peer.answer(1)
    peer.answer(2)
    peer.send_raw(b"".join(frame(pack([0, number, "ping", {}])) for number in range(3, 60)))
    for number in range(3, 60):
        peer.answer(number)


@pytest.mark.spec("PN-2.1-1")
def test_every_cut(peer: Peer) -> None:
    """The reply to the first request shows that the piece of the second one, which was sent
    together with it, was taken before the others are sent."""
    for cut in range(1, len(frame(pack([0, 101, "ping", {}])))):
        first, second = (frame(pack([0, number, "ping", {}])) for number in (100, 101))
        peer.send_raw(first + second[:cut])
        peer.answer(100)
        peer.send_raw(second[cut:])
        peer.answer(101)


@pytest.mark.spec("PN-2.1-2")
def test_empty_frame(connect: Connect) -> None:
    peer = connect()
    peer.send_raw(bytes(4))
    assert peer.farewell() == "empty_frame"


@pytest.mark.spec("PN-2.1-3")
def test_too_large_a_frame(connect: Connect) -> None:
    peer = connect()
    limit = peer.hello["limits"]["max_frame"]
    peer.send_raw(struct.pack(">I", limit + 1))
    assert peer.farewell() == "frame_too_large"


@pytest.mark.spec("PN-2.1-4")
@pytest.mark.parametrize("first", [b"\x01", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"\xff"])
def test_first_byte(connect: Connect, first: bytes) -> None:
    peer = connect(greet=False)
    peer.send_raw(first[:1])
    assert peer.farewell(5) == "frame_too_large"


@pytest.mark.spec("PN-2.1-5")
def test_frames_before_hello(connect: Connect) -> None:
    peer = connect(greet=False)
    hello = HELLO | {"capabilities": ["c" * 64] * 64}
    payload = pack([0, 0, "hello", hello])
    name = HELLO | {"client": {"name": "x", "version": "v" * 64}}
    assert len(payload) < 65_536
    peer.send_raw(frame(payload))
    peer.answer(0)
    other = connect(greet=False)
    fill = 65_536 - len(pack([0, 0, "hello", name | {"x" * 60: b""}])) - 1  # bin 16 for bin 8
    padded = pack([0, 0, "hello", name | {"x" * 60: bytes(fill)}])
    assert len(padded) == 65_536
    other.send_raw(frame(padded))
    assert other.refusal_of(0) == "invalid_params"
    third = connect(greet=False)
    third.send_raw(struct.pack(">I", 65_537))
    assert third.farewell() == "frame_too_large"


@pytest.mark.spec("PN-2.1-6")
def test_largest_frame(connect: Connect) -> None:
    peer = connect()
    limit = peer.hello["limits"]["max_frame"]
    shell = len(pack([0, 9, "process.start", {"spec": {"argv": [bytes(limit - 200)]}}]))
    size = limit - 200 + (limit - shell)
    payload = pack([0, 9, "process.start", {"spec": {"argv": [b"x" * size]}}])
    assert len(payload) == limit
    peer.send_raw(frame(payload))
    assert peer.refusal_of(9) == "start_failed"


@pytest.mark.spec("PN-2.1-7")
def test_frames_to_the_client(connect: Connect) -> None:
    peer = connect(limits={"max_frame": 65_536})
    process = peer.start("head", "-c", "1000000", "/dev/zero", stdout={"mode": "spool"})
    number = peer.subscribe(process)
    peer.until(lambda: peer.ended(number))
    assert len(peer.data(number)) == 1_000_000
    assert len(peer.call("output.read", id=process, stream="stdout", offset=0, max=2**20)["data"])
    assert peer.largest <= 65_536
    default = connect()
    process = default.start("head", "-c", "5000000", "/dev/zero", stdout={"mode": "spool"})
    default.wait(process)
    for _ in range(3):
        default.call("output.read", id=process, stream="stdout", offset=0, max=2**20)
    assert default.largest <= 2**20


@pytest.mark.spec("PN-2.1-8")
@pytest.mark.parametrize("piece", [b"\0", b"\0\0\0", b"\0\0\0\5", b"\0\0\0\5abcd"])
def test_end_inside_a_frame(connect: Connect, piece: bytes) -> None:
    peer = connect()
    peer.send_raw(piece)
    peer.sock.shutdown(1)
    assert peer.farewell() == "truncated"


@pytest.mark.spec("PN-3.1-1")
@pytest.mark.parametrize(
    "payload", [pack(PING) + b"\xc0", pack(PING)[:-1], b"\xc1", b"\x94", b"\xdb\xff\xff\xff\xff"]
)
def test_exactly_one_value(connect: Connect, payload: bytes) -> None:
    assert refused(connect, payload) == "bad_msgpack"


@pytest.mark.spec("PN-3.1-2")
@pytest.mark.parametrize("key", [1, b"payload", None, True])
def test_keys_are_str(connect: Connect, key: object) -> None:
    assert refused(connect, pack([0, 1, "ping", {key: b""}])) == "bad_msgpack"


@pytest.mark.spec("PN-3.1-3")
def test_keys_are_unique(connect: Connect) -> None:
    payload = b"\x94\x00\x01\xa4ping\x82\xa7payload\xa0\xa7payload\xa0"
    assert refused(connect, payload) == "bad_msgpack"


@pytest.mark.spec("PN-3.1-4")
@pytest.mark.parametrize(
    "value",
    [
        *(msgpack.ExtType(1, bytes(size)) for size in (1, 2, 3, 4, 8, 16, 300, 70_000)),
        *(msgpack.Timestamp(0), msgpack.Timestamp(0, 1), msgpack.Timestamp(2**40)),
    ],
)
def test_no_extensions(connect: Connect, value: object) -> None:
    assert refused(connect, pack([0, 1, "ping", {"payload": value}])) == "bad_msgpack"


@pytest.mark.spec("PN-3.1-5")
def test_no_nan(connect: Connect) -> None:
    params = {"id": "p1", "timeout": float("nan")}
    assert refused(connect, pack([0, 1, "process.wait", params])) == "bad_msgpack"
    peer = connect()
    assert peer.refusal("process.wait", id="p1", timeout=float("inf")).code == "invalid_params"


@pytest.mark.spec("PN-3.1-6")
@pytest.mark.parametrize("number", [2**53, -(2**53), 2**64 - 1, -(2**63)])
def test_integers(connect: Connect, number: int) -> None:
    assert refused(connect, pack([0, 1, "process.wait", {"timeout": number}])) == "bad_msgpack"
    peer = connect()
    refusal = peer.refusal("stdin.close", id="nobody", offset=2**53 - 1)
    assert refusal.code == "not_found"


@pytest.mark.spec("PN-3.1-7")
def test_depth(connect: Connect) -> None:
    def nested(levels: int) -> bytes:
        """A message whose params have so many levels in all."""
        return b"\x94\x00\x01\xa4ping\x81\xa1x" + b"\x91" * (levels - 3) + b"\x90"

    assert refused(connect, nested(17)) == "bad_msgpack"
    peer = connect()
    peer.send_raw(frame(nested(16)))
    assert peer.refusal_of(1) == "invalid_params"


@pytest.mark.spec("PN-3.1-8")
def test_number_of_values(connect: Connect) -> None:
    def message(values: int) -> bytes:
        # the array, 0, id, method, the map, its key, the inner array: 7 values
        count = values - 7
        head = b"\x94\x00\x01\xa4ping\x81\xa1x\xdd" + struct.pack(">I", count)
        return head + b"\xc0" * count

    assert refused(connect, message(400_001)) == "bad_msgpack"
    peer = connect()
    peer.send_raw(frame(message(400_000)))
    assert peer.refusal_of(1) == "invalid_params"


@pytest.mark.spec("PN-3.1-9")
def test_utf8(connect: Connect) -> None:
    for payload in (
        b"\x94\x00\x01\xa4pin\xff\x80",
        b"\x94\x00\x01\xa4ping\x81\xa1\xff\xa0",
        b"\x94\x00\x01\xa4ping\x81\xa7payload\xa1\xff",
        b"\x94\x00\x01\xa4ping\x81\xa7payload\xa3\xed\xa0\x80",  # half of a surrogate pair
    ):
        assert refused(connect, payload) == "bad_msgpack"


def peak(pid: int) -> int:
    """Most bytes of memory that a process has had since :func:`forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def forget_peak(pid: int) -> None:
    """Begin anew; where only root may, a peak of before can hide one of now."""
    with contextlib.suppress(PermissionError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.spec("PN-3.1-10")
def test_memory(connect: Connect) -> None:
    watcher = connect()
    daemon = watcher.call("daemon.info")["daemon"]
    before, pid = daemon["rss_bytes"], daemon["pid"]
    forget_peak(pid)
    before_peak = peak(pid)
    for bomb in (
        b"\xdc\xff\xff" * 5000,
        b"\xdd\xff\xff\xff\xff" * 1000,
        b"\xdf\x7f\xff\xff\xff" * 1000,
        b"\xdb\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\xdc\x3f\x00" * 1000 + bytes(0x3F00),  # each claims what the frame could just hold
    ):
        assert refused(connect, bomb) == "bad_msgpack"
    assert peak(pid) - before_peak < 16 * 2**20
    idle = [connect() for _ in range(4)]
    for peer in idle:
        peer.send_raw(struct.pack(">I", 8 * 2**20)[:4] + b"\xc6")
    after = watcher.call("daemon.info")["daemon"]["rss_bytes"]
    assert after - before < 16 * 2**20


@pytest.mark.spec("PN-3.2-1")
def test_str_for_bin(peer: Peer) -> None:
    assert peer.call("ping", payload="é")["payload"] == "é".encode()


@pytest.mark.spec("PN-3.2-2")
def test_float_for_integer(peer: Peer) -> None:
    assert peer.output("nice", nice=5.0) == b"5\n"
    refusal = peer.refusal("process.start", spec={"argv": ["true"], "nice": 5.5})
    assert refusal.data["path"] == "spec.nice"


@pytest.mark.spec("PN-3.2-3")
@pytest.mark.parametrize("field", ["nice", "umask", "grace", "timeout", "user"])
def test_boolean_is_no_number(peer: Peer, field: str) -> None:
    refusal = peer.refusal("process.start", spec={"argv": ["true"], field: True})
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", f"spec.{field}")


@pytest.mark.spec("PN-3.2-4")
def test_bins_from_the_daemon(peer: Peer) -> None:
    odd = os.urandom(8).replace(b"\0", b"x")
    stdin = {"mode": "bytes", "data": odd}
    process = peer.start("printf", "%s", odd, env=[["A", odd]], cwd="/", stdin=stdin)
    assert peer.read_all(process) == odd
    found = peer.call("process.get", id=process, spec=True)["process"]
    assert found["argv"] == [b"printf", b"%s", odd]
    assert found["spec"]["env"] == [[b"A", odd]]
    assert found["spec"]["stdin"]["data"] == odd
    assert found["spec"]["cwd"] == b"/"
    path = found["streams"]["stdout"]["path"]
    assert isinstance(path, bytes)
    assert Path(os.fsdecode(path)).read_bytes() == odd
    state = peer.call("daemon.info")["daemon"]["state_dir"]
    assert isinstance(state, bytes)
    assert path.startswith(state)
    refusal = peer.refusal("process.start", spec={"argv": [b"x"], "executable": b"/no/such"})
    assert refusal.data["file"] == b"/no/such"
