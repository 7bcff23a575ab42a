"""Sections 10 and 11: input and output."""

from __future__ import annotations

import itertools
import resource
import time
from typing import Any

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer
from tests.conformance.test_processes import READY, line
from tests.daemons import Daemon, eventually

PIPE = {"mode": "pipe"}
SPOOL = {"mode": "spool"}


def pattern(size: int) -> bytes:
    """Bytes that show where they belong."""
    return b"".join(b"%07d\n" % number for number in range(size // 8))


def writer(peer: Peer, size: int, **spec: Any) -> str:
    """A program that writes pattern(size)."""
    return peer.shell(f"seq -f %07.0f 0 {size // 8 - 1}", **spec)


def until_end(peer: Peer, process: str, end: int) -> None:
    """Wait until the daemon has so many bytes of a program that then waits."""

    def there() -> bool:
        return bool(peer.get(process)["streams"]["stdout"]["end"] == end)

    eventually(there, f"stdout has {end} bytes")


def in_order(delivered: list[tuple[str, Any]], position: int, data: bytes) -> int:
    """Check that each message of a subscription begins where the one before ended, and brings
    the bytes of ``data`` that belong there; where the last one ended."""
    for method, params in delivered:
        if method == "output.data":
            assert params["offset"] == position
            assert params["data"]
            assert data[position : position + len(params["data"])] == params["data"]
            position += len(params["data"])
        elif method == "output.gap":
            assert params["from"] == position < params["to"]
            position = params["to"]
        else:
            assert params["offset"] == position
    return position


# 10.1 input


def reading_at_usr1(peer: Peer) -> str:
    """A program that copies its input behind the six bytes of a line, once it gets SIGUSR1."""
    script = "trap 'exec cat' USR1; " + READY + "while :; do sleep 0.02; done"
    process = peer.shell(script, stdin=PIPE)
    line(peer, process)
    return process


@pytest.mark.spec("PN-10.1-1")
def test_write_is_answered_when_taken(peer: Peer) -> None:
    process = peer.start("cat", stdin=PIPE)
    assert peer.call("stdin.write", id=process, offset=0, data=b"abc")["offset"] == 3
    assert peer.call("stdin.write", id=process, offset=3, data=b"")["offset"] == 3
    idle = peer.start("sleep", "1000", stdin=PIPE)
    number = peer.request("stdin.write", {"id": idle, "offset": 0, "data": bytes(1_000_000)})
    peer.call("ping")
    time.sleep(0.1)  # nothing must happen
    peer.call("ping")
    assert number not in peer.replies
    peer.call("process.stop", id=idle, grace=0)
    peer.answered(number)
    assert peer.call("stdin.close", id=process)["offset"] == 3
    assert peer.read_all(process) == b"abc"


@pytest.mark.spec("PN-10.1-2")
def test_repeated_writes(peer: Peer) -> None:
    process = peer.start("cat", stdin=PIPE)
    peer.call("stdin.write", id=process, offset=0, data=b"abcd")
    assert peer.call("stdin.write", id=process, offset=0, data=b"abcd")["offset"] == 4
    assert peer.call("stdin.write", id=process, offset=2, data=b"cdef")["offset"] == 6
    assert peer.call("stdin.write", id=process, offset=1, data=b"b")["offset"] == 6
    peer.call("stdin.close", id=process)
    assert peer.read_all(process) == b"abcdef"


@pytest.mark.spec("PN-10.1-3")
def test_write_beyond(peer: Peer) -> None:
    process = peer.start("cat", stdin=PIPE)
    peer.call("stdin.write", id=process, offset=0, data=b"abcd")
    refusal = peer.refusal("stdin.write", id=process, offset=5, data=b"x")
    assert (refusal.code, refusal.data["end"]) == ("offset_future", 4)
    peer.call("stdin.close", id=process)
    assert peer.read_all(process) == b"abcd"


@pytest.mark.spec("PN-10.1-4")
def test_order_of_writes(peer: Peer) -> None:
    """All of them wait before the program reads the first."""
    process = reading_at_usr1(peer)
    data = pattern(800_000)
    for offset in range(0, len(data), 8_000):
        peer.request(
            "stdin.write", {"id": process, "offset": offset, "data": data[offset : offset + 8_000]}
        )
    closing = peer.request("stdin.close", {"id": process})
    peer.call("process.signal", id=process, signal="SIGUSR1")
    assert peer.answer(closing)["offset"] == len(data)
    assert peer.read_all(process, offset=6) == data


@pytest.mark.spec("PN-10.1-5")
def test_window(peer: Peer) -> None:
    window = peer.hello["limits"]["stdin_window"]
    data = pattern(window)
    process = reading_at_usr1(peer)
    first = peer.request("stdin.write", {"id": process, "offset": 0, "data": data})
    for size in (window // 2 + 1, window):
        refusal = peer.refusal("stdin.write", id=process, offset=window, data=bytes(size))
        assert (refusal.code, refusal.data["executed"]) == ("window_exceeded", "no")
    peer.call("process.signal", id=process, signal="SIGUSR1")
    assert peer.answer(first)["offset"] == window
    assert peer.call("stdin.write", id=process, offset=window, data=b"tail")["offset"] == window + 4
    peer.call("stdin.close", id=process)
    assert peer.read_all(process, offset=6) == data + b"tail"


@pytest.mark.spec("PN-10.1-6")
def test_reader_gone(peer: Peer) -> None:
    process = peer.shell("exec <&-; echo gone; exec sleep 1000", stdin=PIPE)
    peer.call("output.read", id=process, stream="stdout", offset=0, wait=20)
    refusal = peer.refusal("stdin.write", id=process, offset=0, data=b"x")
    assert (refusal.code, refusal.data["end"]) == ("reader_gone", 0)
    other = peer.shell("head -c 8 >/dev/null; " + READY + "exec sleep 1000", stdin=PIPE)
    peer.call("stdin.write", id=other, offset=0, data=b"abc")
    number = peer.request("stdin.write", {"id": other, "offset": 3, "data": bytes(1_000_000)})
    line(peer, other)
    peer.call("process.stop", id=other, grace=0)
    peer.answered(number)
    error = peer.replies.pop(number)[0]
    assert error["code"] == "reader_gone"
    assert 8 <= error["data"]["end"] < 1_000_000


@pytest.mark.spec("PN-10.1-7")
def test_close(peer: Peer) -> None:
    process = peer.start("cat", stdin=PIPE)
    peer.call("stdin.write", id=process, offset=0, data=b"abc")
    assert peer.call("stdin.close", id=process)["offset"] == 3
    assert peer.call("stdin.close", id=process)["offset"] == 3
    refusal = peer.refusal("stdin.write", id=process, offset=3, data=b"d")
    assert refusal.code == "stdin_closed"
    assert peer.wait(process)["outcome"]["code"] == 0
    assert peer.read_all(process) == b"abc"


@pytest.mark.spec("PN-10.1-8")
def test_close_at_the_wrong_offset(peer: Peer) -> None:
    process = peer.start("cat", stdin=PIPE)
    peer.call("stdin.write", id=process, offset=0, data=b"abc")
    for offset in (2, 4):
        assert peer.refusal("stdin.close", id=process, offset=offset).code in (
            "offset_future",
            "invalid_params",
        )
    peer.call("stdin.write", id=process, offset=3, data=b"d")
    assert peer.call("stdin.close", id=process, offset=4)["offset"] == 4
    assert peer.read_all(process) == b"abcd"


@pytest.mark.spec("PN-10.1-9")
@pytest.mark.parametrize("stdin", [{"mode": "null"}, {"mode": "bytes", "data": b"x"}])
def test_no_stdin(peer: Peer, stdin: dict[str, Any]) -> None:
    process = peer.start("sleep", "1000", stdin=stdin)
    assert peer.refusal("stdin.write", id=process, offset=0, data=b"").code == "no_stdin"
    assert peer.refusal("stdin.close", id=process).code == "no_stdin"


@pytest.mark.spec("PN-10.1-10")
def test_stdin_outlives_connections(connect: Connect) -> None:
    first, second = connect(), connect()
    process = first.start("cat", stdin=PIPE, on_disconnect="keep")
    first.call("stdin.write", id=process, offset=0, data=b"one")
    first.close()
    refusal = second.refusal("process.wait", id=process, timeout=0.3)
    assert refusal.code == "timed_out"
    second.call("stdin.write", id=process, offset=3, data=b"two")
    second.call("stdin.close", id=process)
    assert second.read_all(process) == b"onetwo"


# 11.1 modes


@pytest.mark.spec("PN-11.1-1")
@pytest.mark.parametrize("mode", ["pipe", "spool", "direct"])
def test_every_byte_once(peer: Peer, mode: str) -> None:
    data = pattern(3_000_000)
    process = writer(peer, len(data), stdout={"mode": mode})
    number = peer.subscribe(process)
    while not peer.ended(number):
        peer.take()
        peer.notify(
            "output.credit",
            {"subscription": number, "credit": 2**40, "consumed": peer.reached(number)},
        )
    assert peer.data(number) == data
    found = peer.wait(process)["streams"]["stdout"]
    assert (found["end"], found.get("lost", 0)) == (len(data), 0)
    dropping = writer(
        peer, len(data), stdout={"mode": "pipe", "full": "drop_oldest", "capacity": 4096}
    )
    number = peer.subscribe(dropping, credit=2**40)
    peer.until(lambda: peer.ended(number))
    assert in_order(peer.delivered(number), 0, data) == len(data)


@pytest.mark.spec("PN-11.1-1")
def test_gaps_between_bytes(peer: Peer) -> None:
    """The reader pauses inside of what is kept, and is overtaken."""
    data = pattern(240_000)
    script = "seq -f %07.0f 0 9999; read x; seq -f %07.0f 10000 19999; read x; "
    script += "seq -f %07.0f 20000 29999"
    ring = {"mode": "pipe", "full": "drop_oldest", "capacity": 4096}
    process = peer.shell(script, stdin=PIPE, stdout=ring)
    until_end(peer, process, 80_000)
    number = peer.subscribe(process, credit=78_000)
    peer.until(lambda: peer.reached(number) == 78_000)
    peer.call("stdin.write", id=process, offset=0, data=b"\n")
    until_end(peer, process, 160_000)
    peer.notify("output.credit", {"subscription": number, "credit": 158_000, "consumed": 0})
    peer.until(lambda: peer.reached(number) == 158_000)
    peer.call("stdin.close", id=process)
    peer.wait(process)
    peer.notify("output.credit", {"subscription": number, "credit": 2**40, "consumed": 0})
    peer.until(lambda: peer.ended(number))
    assert in_order(peer.delivered(number), 0, data) == len(data)
    gaps = [params for method, params in peer.delivered(number) if method == "output.gap"]
    kept = 80_000 - 4096
    assert [(gap["from"], gap["to"]) for gap in gaps] == [
        (0, kept),
        (78_000, 80_000 + kept),
        (158_000, 160_000 + kept),
    ]


def refused_by_the_disk(daemon: Daemon, peer: Peer) -> str:
    """A process that has written 12,004 bytes, 8,000 of which behind the first 4,000 the disk
    did not take. RLIMIT_FSIZE stands for a full disk: writing fails, then works again."""
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    script = "head -c 4000 /dev/zero; read x; head -c 8000 /dev/zero; read x; printf tail"
    process = peer.shell(script, stdin=PIPE, stdout=SPOOL)
    until_end(peer, process, 4000)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4000, before[1]))
    peer.call("stdin.write", id=process, offset=0, data=b"\n")
    until_end(peer, process, 12_000)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)
    peer.call("stdin.close", id=process)
    peer.wait(process)
    return process


@pytest.mark.spec("PN-11.1-1")
def test_bytes_that_the_disk_refuses(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    process = refused_by_the_disk(mortal, peer)
    stream = peer.get(process)["streams"]["stdout"]
    assert [(gap["from"], gap["to"]) for gap in stream["gaps"]] == [(4000, 12_000)]
    assert (stream["end"], stream["lost"]) == (12_004, 8000)
    number = peer.subscribe(process)
    peer.until(lambda: peer.ended(number))
    assert in_order(peer.delivered(number), 0, bytes(12_000) + b"tail") == 12_004
    peer.close()


@pytest.mark.spec("PN-11.1-2")
def test_block(peer: Peer) -> None:
    data = pattern(400_000)
    process = writer(peer, len(data), stdout={"mode": "pipe", "capacity": 4096})
    refusal = peer.refusal("process.wait", id=process, timeout=0.3, until="exited")
    assert refusal.code == "timed_out"
    assert peer.read_all(process) == data
    assert peer.wait(process)["streams"]["stdout"].get("lost", 0) == 0


@pytest.mark.spec("PN-11.1-3")
def test_drop_oldest(peer: Peer) -> None:
    data = pattern(4_000_000)
    process = writer(
        peer, len(data), stdout={"mode": "pipe", "full": "drop_oldest", "capacity": 65_536}
    )
    stream = peer.wait(process)["streams"]["stdout"]
    assert stream["end"] == len(data)
    assert stream["first"] + 65_536 >= len(data)
    assert stream["lost"] == stream["first"]
    assert stream["gaps"][0]["from"] == 0
    assert stream["gaps"][-1]["to"] == stream["first"]
    assert peer.read_all(process, offset=stream["first"]) == data[stream["first"] :]


@pytest.mark.spec("PN-11.1-4")
def test_merged(peer: Peer) -> None:
    script = "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done"
    wanted = b"".join(b"o%d\ne%d\n" % (number, number) for number in range(1, 6))
    for mode in ("pipe", "spool", "direct"):
        assert peer.output(script, stdout={"mode": mode}, stderr={"mode": "stdout"}) == wanted


# 11.2 read


@pytest.mark.spec("PN-11.2-1")
def test_read(peer: Peer) -> None:
    process = writer(peer, 80)
    peer.wait(process)
    for offset in (0, 1, 8, 79):
        for maximum in (1, 10, 1000):
            result = peer.call(
                "output.read", id=process, stream="stdout", offset=offset, max=maximum
            )
            assert result["offset"] == offset
            assert result["data"] == pattern(80)[offset : offset + maximum]
            assert result["end"] == 80


@pytest.mark.spec("PN-11.2-2")
def test_read_waits(peer: Peer) -> None:
    process = peer.shell("read x; echo got; read x", stdin=PIPE)
    began = time.monotonic()
    result = peer.call("output.read", id=process, stream="stdout", offset=0, wait=0.3)
    assert time.monotonic() - began >= 0.3
    assert result["data"] == b""
    assert peer.call("output.read", id=process, stream="stdout", offset=0)["data"] == b""
    number = peer.request(
        "output.read", {"id": process, "stream": "stdout", "offset": 0, "wait": 600}
    )
    peer.call("stdin.write", id=process, offset=0, data=b"\n")
    assert peer.answer(number)["data"] == b"got\n"
    number = peer.request(
        "output.read", {"id": process, "stream": "stdout", "offset": 4, "wait": 600}
    )
    peer.call("stdin.close", id=process)
    assert peer.answer(number)["eof"] == "closed"


@pytest.mark.spec("PN-11.2-3")
def test_read_to_the_end(peer: Peer) -> None:
    process = peer.shell("echo abc; read x", stdin=PIPE)
    read = {"id": process, "stream": "stdout"}
    first = peer.call("output.read", read | {"offset": 0, "wait": 20})
    assert (first["data"], first.get("eof")) == (b"abc\n", None)
    peer.call("stdin.close", id=process)
    peer.wait(process)
    part = peer.call("output.read", read | {"offset": 0, "max": 3})
    assert (part["data"], part.get("eof")) == (b"abc", None)
    assert peer.call("output.read", read | {"offset": 0, "max": 4})["eof"] == "closed"
    assert peer.call("output.read", read | {"offset": 4})["eof"] == "closed"


def dropped(peer: Peer) -> tuple[str, int]:
    """(a process that has dropped output, the first byte that is kept)"""
    ring = {"mode": "pipe", "full": "drop_oldest", "capacity": 4096}
    process = writer(peer, 80_000, stdout=ring)
    stream = peer.wait(process)["streams"]["stdout"]
    return process, stream["first"]


@pytest.mark.spec("PN-11.2-4")
def test_read_at_a_gap(peer: Peer) -> None:
    """What is below the first byte is expired, and reading behind it goes on as usual."""
    process, first = dropped(peer)
    result = peer.call("output.read", id=process, stream="stdout", offset=first)
    assert result["offset"] == first
    assert result["data"] == pattern(80_000)[first:]


@pytest.mark.spec("PN-11.2-4")
def test_read_at_a_gap_between_bytes(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    read = {"id": refused_by_the_disk(mortal, peer), "stream": "stdout"}
    result = peer.call("output.read", read | {"offset": 4000})
    assert (result["offset"], result["data"]) == (12_000, b"tail")
    assert peer.call("output.read", read | {"offset": 3999})["data"] == b"\0"
    peer.close()


@pytest.mark.spec("PN-11.2-5")
def test_expired_offsets(peer: Peer) -> None:
    process, first = dropped(peer)
    assert first > 0
    for offset in (0, first - 1):
        refusal = peer.refusal("output.read", id=process, stream="stdout", offset=offset)
        assert (refusal.code, refusal.data["first"]) == ("offset_expired", first)


@pytest.mark.spec("PN-11.2-6")
def test_future_offsets(peer: Peer) -> None:
    process = writer(peer, 80)
    peer.wait(process)
    refusal = peer.refusal("output.read", id=process, stream="stdout", offset=81)
    assert (refusal.code, refusal.data["end"]) == ("offset_future", 80)


@pytest.mark.spec("PN-11.2-7")
def test_no_stream(peer: Peer) -> None:
    process = peer.start("true", stdout={"mode": "null"})
    merged = peer.start("true", stderr={"mode": "stdout"})
    for identifier, stream in ((process, "stdout"), (merged, "stderr")):
        for method, extra in (("output.read", {}), ("output.subscribe", {"credit": 1})):
            refusal = peer.refusal(
                method, {"id": identifier, "stream": stream, "offset": 0} | extra
            )
            assert refusal.code == "no_stream"


@pytest.mark.spec("PN-11.2-8")
def test_consumed_by_read(peer: Peer) -> None:
    data = pattern(800_000)  # more than any pipe holds, so the program has to wait
    process = writer(peer, len(data), stdout={"mode": "pipe", "capacity": 4096})
    offset, parts = 0, []
    while offset < len(data):
        result = peer.call(
            "output.read", id=process, stream="stdout", offset=offset, wait=20, consumed=offset
        )
        parts.append(result["data"])
        offset += len(result["data"])
    assert b"".join(parts) == data
    peer.call("output.read", id=process, stream="stdout", offset=offset, wait=20, consumed=offset)
    refusal = peer.refusal("output.read", id=process, stream="stdout", offset=0)
    assert refusal.code == "offset_expired"


# 11.3 subscribe


@pytest.mark.spec("PN-11.3-1")
def test_reply_before_data(peer: Peer) -> None:
    ring = {"mode": "pipe", "full": "drop_oldest", "capacity": 4096}
    processes = [writer(peer, 8000, stdout=one) for one in (SPOOL, PIPE, ring)]
    for process in processes:
        peer.wait(process)
    for process, offset in itertools.product([*processes] * 3, (0, 8000)):
        number = peer.request(
            "output.subscribe",
            {"id": process, "stream": "stdout", "offset": offset, "credit": 2**40},
        )
        subscription = peer.answer(number)["subscription"]
        peer.until(lambda subscription=subscription: peer.ended(subscription))  # type: ignore[misc]
        reply = next(
            index
            for index, one in enumerate(peer.order)
            if one[0] == 1 and one[3] is not None and one[3].get("subscription") == subscription
        )
        first = next(
            index
            for index, one in enumerate(peer.order)
            if one[0] == 2 and one[2].get("subscription") == subscription
        )
        assert reply < first


@pytest.mark.spec("PN-11.3-2")
def test_order_of_data(peer: Peer) -> None:
    process = writer(peer, 2_000_000)
    while peer.call("output.read", id=process, stream="stdout", offset=0, wait=20)["end"] < 100:
        pass
    number = peer.subscribe(process, offset=100)
    peer.until(lambda: peer.ended(number))
    delivered = peer.delivered(number)
    assert {method for method, _ in delivered[:-1]} == {"output.data"}
    assert in_order(delivered, 100, pattern(2_000_000)) == 2_000_000


@pytest.mark.spec("PN-11.3-2")
def test_order_of_data_from_memory(peer: Peer) -> None:
    """The daemon takes the bytes from the program in pieces."""
    script = "seq -f %07.0f 0 9999; read x; seq -f %07.0f 10000 19999"
    process = peer.shell(script, stdin=PIPE, stdout=PIPE)
    until_end(peer, process, 80_000)
    peer.call("stdin.close", id=process)
    peer.wait(process)
    number = peer.subscribe(process)
    peer.until(lambda: peer.ended(number))
    assert in_order(peer.delivered(number), 0, pattern(160_000)) == 160_000


@pytest.mark.spec("PN-11.3-3")
def test_credit(peer: Peer) -> None:
    process = writer(peer, 80_000)
    peer.wait(process)
    number = peer.subscribe(process, credit=10)
    peer.silent(0.3)
    peer.call("ping")
    assert peer.data(number) == pattern(80_000)[:10]
    for credit in (11, 5000, 5001):
        peer.notify("output.credit", {"subscription": number, "credit": credit, "consumed": 0})
        peer.until(lambda credit=credit: len(peer.data(number)) >= credit)  # type: ignore[misc]
        peer.silent(0.1)
        assert peer.data(number) == pattern(80_000)[:credit]
    none = peer.subscribe(process, offset=50, credit=50)
    peer.silent(0.1)
    assert peer.data(none) == b""


@pytest.mark.spec("PN-11.3-4")
def test_lower_credit(peer: Peer) -> None:
    process = peer.shell("echo abc; read x; echo def", stdin=PIPE)
    number = peer.subscribe(process, credit=1000)
    peer.until(lambda: peer.data(number) == b"abc\n")
    peer.notify("output.credit", {"subscription": number, "credit": 2, "consumed": 0})
    peer.call("stdin.close", id=process)
    peer.until(lambda: peer.ended(number))
    assert peer.data(number) == b"abc\ndef\n"


@pytest.mark.spec("PN-11.3-5")
def test_end(peer: Peer) -> None:
    for size in (0, 8, 800_000):
        process = writer(peer, size) if size else peer.start("true")
        number = peer.subscribe(process)
        end = peer.until(lambda number=number: peer.ended(number))  # type: ignore[misc]
        assert (end["offset"], end["reason"]) == (size, "closed")
        assert peer.delivered(number)[-1][0] == "output.end"
        assert len(peer.data(number)) == size
        assert peer.refusal("output.unsubscribe", subscription=number).code == "not_found"


@pytest.mark.spec("PN-11.3-6")
def test_subscribe_below_the_first(peer: Peer) -> None:
    process, first = dropped(peer)
    number = peer.subscribe(process, offset=7)
    peer.until(lambda: peer.ended(number))
    method, params = peer.delivered(number)[0]
    assert (method, params["from"], params["to"]) == ("output.gap", 7, first)
    assert params["reason"]
    assert peer.data(number) == pattern(80_000)[first:]


@pytest.mark.spec("PN-11.3-7")
def test_subscribe_beyond(peer: Peer) -> None:
    process = writer(peer, 80)
    peer.wait(process)
    refusal = peer.refusal("output.subscribe", id=process, stream="stdout", offset=81, credit=100)
    assert (refusal.code, refusal.data["end"]) == ("offset_future", 80)
    number = peer.subscribe(process, offset=80)
    assert peer.until(lambda: peer.ended(number))["offset"] == 80


@pytest.mark.spec("PN-11.3-8")
def test_size_of_data(connect: Connect) -> None:
    for limit, most in ((2**23, 262_144), (65_536, 65_536)):
        peer = connect(limits={"max_frame": limit})
        process = peer.start("head", "-c", "3000000", "/dev/zero", stdout=SPOOL)
        peer.wait(process)
        number = peer.subscribe(process)
        peer.until(lambda peer=peer, number=number: peer.ended(number))  # type: ignore[misc]
        sizes = [
            len(params["data"])
            for method, params in peer.delivered(number)
            if method == "output.data"
        ]
        assert max(sizes) <= most
        assert sum(sizes) == 3_000_000
        assert peer.largest <= limit


@pytest.mark.spec("PN-11.3-9")
def test_streams_are_independent(peer: Peer) -> None:
    script = "seq -f %07.0f 0 99999 >&2 & seq -f %07.0f 0 99999; wait"
    process = peer.shell(script, stdout=PIPE, stderr=SPOOL)
    stuck = peer.subscribe(process, "stdout", credit=0)
    number = peer.subscribe(process, "stderr")
    peer.until(lambda: len(peer.data(number)) == 800_000)
    peer.call("ping")
    assert peer.data(stuck) == b""
    other = peer.start("true")
    peer.event(other, "closed")


@pytest.mark.spec("PN-11.3-10")
def test_unsubscribe(peer: Peer) -> None:
    process = peer.start("yes", stdout={"mode": "pipe", "full": "drop_oldest"})
    number = peer.subscribe(process)
    peer.until(lambda: peer.data(number))
    result = peer.call("output.unsubscribe", subscription=number)
    count = len(peer.delivered(number))
    method, last = peer.delivered(number)[-1]
    sent_to = last["offset"] + len(last["data"]) if method == "output.data" else last["to"]
    assert result["offset"] == sent_to
    peer.silent(0.2)
    assert len(peer.delivered(number)) == count
    assert peer.refusal("output.unsubscribe", subscription=number).code == "not_found"


@pytest.mark.spec("PN-11.3-11")
def test_consumed_by_credit(peer: Peer) -> None:
    data = pattern(800_000)  # more than any pipe holds, so the program has to wait
    process = writer(peer, len(data), stdout={"mode": "pipe", "capacity": 4096})
    fast, slow = peer.subscribe(process), peer.subscribe(process)
    peer.until(lambda: len(peer.data(fast)) >= 4096 and len(peer.data(slow)) >= 4096)
    credit = {"credit": 2**40}
    peer.notify("output.credit", credit | {"subscription": fast, "consumed": 4096})
    while not peer.silent(0.3):
        pass
    assert len(peer.data(fast)) == len(peer.data(slow)) == 4096
    while not (peer.ended(fast) and peer.ended(slow)):
        for number in (fast, slow):
            consumed = peer.reached(number)
            peer.notify("output.credit", credit | {"subscription": number, "consumed": consumed})
        peer.take()
    assert peer.data(fast) == peer.data(slow) == data


@pytest.mark.spec("PN-11.3-12")
def test_late_credit(peer: Peer) -> None:
    process = peer.start("true")
    number = peer.subscribe(process)
    peer.until(lambda: peer.ended(number))
    for subscription in (number, 4_000_000):
        peer.notify("output.credit", {"subscription": subscription, "credit": 100, "consumed": 100})
    peer.call("ping")


@pytest.mark.spec("PN-11.3-13")
@pytest.mark.parametrize("mode", ["spool", "direct"])
def test_same_bytes_everywhere(connect: Connect, mode: str) -> None:
    data = pattern(400_000)
    peer, other = connect(), connect()
    script = "seq -f %07.0f 0 24999; read x; seq -f %07.0f 25000 49999"
    process = peer.shell(script, stdin=PIPE, stdout={"mode": mode})
    early = other.subscribe(process)
    other.until(lambda: len(other.data(early)) == 200_000)
    late = peer.subscribe(process, offset=100_000)
    peer.call("stdin.close", id=process)
    peer.until(lambda: peer.ended(late))
    other.until(lambda: other.ended(early))
    assert other.data(early) == data
    assert peer.data(late) == data[100_000:]
    broken = connect()
    broken.subscribe(process)
    broken.take()
    broken.reset()
    for offset in (0, 1, 12_345, 399_999):
        assert connect().read_all(process, offset=offset) == data[offset:]
