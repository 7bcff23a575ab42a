"""Sections 4 to 8: the envelope, opening and closing, errors, cancellation, limits."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.conformance.conftest import Connect, started_again
from tests.conformance.peer import TIMEOUT, Ended, Peer, Refused, frame, pack
from tests.daemons import Daemon, children_of, eventually

HELLO = {"protocol": 1, "client": {"name": "x"}}


@pytest.mark.spec("PN-4.1-1")
@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        [3, 1, "ping", {}],
        [0, 1, "ping"],
        [0, 1, "ping", []],
        [0, 2**32, "ping", {}],
        [0, -1, "ping", {}],
        [0, True, "ping", {}],
        [False, 1, "ping", {}],
        [0, 1, b"ping", {}],
        [2, "cancel", {"id": 1}, None],
        [1, 1, None, None],
    ],
)
def test_other_messages(connect: Connect, message: object) -> None:
    peer = connect()
    peer.send(message)
    assert peer.farewell() == "bad_envelope"


@pytest.mark.spec("PN-4.1-2")
def test_one_reply_each(peer: Peer) -> None:
    process = peer.start("sleep", "0.2")
    waits = [peer.request("process.wait", {"id": process}) for _ in range(10)]
    pings = [peer.request("ping", {}) for _ in range(10)]
    wrong = [peer.request("no.such", {}) for _ in range(10)]
    nobody = [peer.request("process.get", {"id": "nobody"}) for _ in range(10)]
    late = [peer.request("process.wait", {"id": process, "timeout": 0}) for _ in range(10)]
    for number in waits + pings:
        peer.answer(number)
    for numbers, code in ((wrong, "unknown_method"), (nobody, "not_found"), (late, "timed_out")):
        for number in numbers:
            assert peer.refusal_of(number) == code
    peer.notify("goodbye", {"code": "done"})
    assert peer.farewell() == "done"
    answered = [message[1] for message in peer.order if message[0] == 1]
    assert sorted(answered) == list(range(waits[0] + 50))


@pytest.mark.spec("PN-4.1-3")
def test_waiting_requests_delay_nobody(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    waiting = peer.request("process.wait", {"id": process})
    reading = peer.request(
        "output.read", {"id": process, "stream": "stdout", "offset": 0, "wait": 60}
    )
    peer.call("ping")
    assert peer.wait(peer.start("true"))["state"] == "closed"
    assert waiting not in peer.replies
    assert reading not in peer.replies
    peer.call("process.stop", id=process, grace=0)
    assert peer.answer(waiting)["process"]["state"] == "closed"
    assert peer.answer(reading)["eof"] == "closed"


@pytest.mark.spec("PN-4.1-4")
def test_outstanding_ids_are_unique(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    number = peer.request("process.wait", {"id": process})
    peer.request("ping", {}, number)
    assert peer.farewell() == "duplicate_request_id"


@pytest.mark.spec("PN-4.1-5")
def test_ids_can_be_used_again(peer: Peer) -> None:
    for _ in range(3):
        peer.request("ping", {}, 2**32 - 1)
        peer.answer(2**32 - 1)
        peer.request("process.get", {"id": "nobody"}, 2**32 - 1)
        assert peer.refusal_of(2**32 - 1) == "not_found"
        peer.request("process.wait", {"id": "nobody"}, 2**32 - 1)
        assert peer.refusal_of(2**32 - 1) == "not_found"


@pytest.mark.spec("PN-4.1-6")
@pytest.mark.parametrize("message", [[1, 1, None, {}], [1, 1, {}, None]])
def test_replies_from_the_client(peer: Peer, message: object) -> None:
    peer.send(message)
    assert peer.farewell() == "unexpected_reply"


@pytest.mark.spec("PN-4.1-7")
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("no.such", {}),
        ("process.closed", {}),
        ("ping", {}),
        ("cancel", {}),
        ("cancel", {"id": "1"}),
        ("cancel", {"id": 1, "x": 1}),
    ],
)
def test_wrong_notifications(peer: Peer, method: str, params: object) -> None:
    peer.notify(method, params)
    assert peer.farewell() == "bad_notification"


@pytest.mark.spec("PN-4.1-8")
@pytest.mark.parametrize("method", ["no.such", "", "PING", "process.pause", "errors.read"])
def test_unknown_methods(peer: Peer, method: str) -> None:
    refusal = peer.refusal(method)
    assert (refusal.code, refusal.data["executed"]) == ("unknown_method", "no")
    peer.call("ping")


@pytest.mark.spec("PN-4.1-10")
@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("process.start", {}, "spec"),
        ("process.start", {"spec": {}}, "spec.argv"),
        ("process.start", {"spec": {"argv": []}}, "spec.argv"),
        ("process.start", {"spec": {"argv": ["a", "b", None]}}, "spec.argv[2]"),
        ("process.start", {"spec": {"argv": ["true"], "hold": 1}}, "spec.hold"),
        ("process.start", {"spec": {"argv": ["true"], "env": [["A"]]}}, "spec.env[0]"),
        ("process.start", {"spec": {"argv": ["true"]}, "x": 1}, "x"),
        ("process.start", {"spec": {"argv": ["true"], "stdin": {"mode": "x"}}}, "spec.stdin.mode"),
        ("process.wait", {"id": "p1", "until": "running"}, "until"),
        ("process.list", {"states": ["closed", "gone"]}, "states[1]"),
        ("ping", {"payload": 1}, "payload"),
        ("describe", {"x": None}, "x"),
    ],
)
def test_wrong_params(peer: Peer, method: str, params: dict[str, object], path: str) -> None:
    refusal = peer.refusal(method, params)
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", path)
    peer.call("ping")


@pytest.mark.spec("PN-4.1-11")
def test_wrong_params_have_no_effect(peer: Peer) -> None:
    before = peer.call("daemon.info")["counts"]["started"]
    for extra in ({"x": 1}, {"nice": 99}, {"rlimits": {"nosuch": [1, 1]}}, {"stop_signal": "SIGX"}):
        refusal = peer.refusal("process.start", spec={"argv": ["true"]} | extra)
        assert (refusal.code, refusal.data["executed"]) == ("invalid_params", "no")
    assert peer.call("daemon.info")["counts"]["started"] == before
    process = peer.start("sleep", "1000")
    for method in ("process.signal", "process.stop"):
        refusal = peer.refusal(method, id=process, signal="SIGNONE")
        assert (refusal.code, refusal.data["executed"]) == ("invalid_params", "no")
    found = peer.get(process)
    assert (found["state"], found.get("acts", [])) == ("running", [])
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-4.1-12")
def test_other_connections_are_not_affected(connect: Connect) -> None:
    bystander = connect()
    process = bystander.start("cat", stdin={"mode": "pipe"}, stdout={"mode": "pipe"})
    number = bystander.subscribe(process)
    bystander.call("stdin.write", id=process, offset=0, data=b"one")
    waiting = bystander.request("process.wait", {"id": process})
    for nonsense in (
        bytes(4),
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"\xc1"),
        frame(pack([9])),
        frame(pack([2, "x", {}])),
        frame(b"\xdc\xff\xff" * 5000),
        b"\0\0\1",
    ):
        vandal = connect()
        vandal.send_raw(nonsense)
        vandal.reset()
    connect(greet=False).reset()
    other = connect()  # numbers of another connection mean nothing on this one
    for outstanding in range(waiting + 1):
        other.notify("cancel", {"id": outstanding})
    other.notify("output.credit", {"subscription": number, "credit": 0, "consumed": 3})
    assert other.refusal("output.unsubscribe", subscription=number).code == "not_found"
    other.notify("goodbye", {"code": "done"})
    assert other.farewell() == "done"
    bystander.call("stdin.write", id=process, offset=3, data=b"two")
    bystander.call("stdin.close", id=process)
    bystander.until(lambda: bystander.ended(number))
    assert bystander.data(number) == b"onetwo"
    assert bystander.answer(waiting)["process"]["outcome"]["code"] == 0


@pytest.mark.spec("PN-5.1-1")
def test_first_request(connect: Connect) -> None:
    peer = connect(greet=False)
    peer.request("ping", {}, 5)
    assert peer.refusal_of(5) == "hello_expected"
    assert peer.farewell() == "hello_expected"


@pytest.mark.spec("PN-5.1-2")
@pytest.mark.parametrize("message", [[2, "cancel", {"id": 1}], [1, 1, None, {}]])
def test_first_message(connect: Connect, message: object) -> None:
    peer = connect(greet=False)
    peer.send(message)
    assert peer.farewell() == "hello_expected"


@pytest.mark.spec("PN-5.1-3")
@pytest.mark.parametrize(
    "params",
    [{}, {"protocol": 0, "client": {"name": "x"}}, {"protocol": 1}, HELLO | {"colour": 1}],
)
def test_wrong_hello(connect: Connect, params: object) -> None:
    peer = connect(greet=False)
    peer.request("hello", params, 5)
    assert peer.refusal_of(5) == "invalid_params"
    assert peer.farewell() == "hello_failed"


@pytest.mark.spec("PN-5.1-4")
def test_version(connect: Connect) -> None:
    assert connect(protocol=1).hello["protocol"] == 1
    newest = connect(protocol=65535).hello["protocol"]
    assert newest < 65535
    assert connect(protocol=newest).hello["protocol"] == newest


@pytest.mark.spec("PN-5.1-5")
def test_second_hello(peer: Peer) -> None:
    assert peer.refusal("hello", HELLO).code == "hello_repeated"
    peer.call("ping")


@pytest.mark.spec("PN-5.1-6")
def test_hello_timeout(connect: Connect, hello_timeout: float) -> None:
    peer = connect(greet=False)
    dripping = connect(greet=False)
    began = time.monotonic()
    dripping.send_raw(b"\0\0")
    assert peer.farewell(hello_timeout + 20) == "hello_timeout"
    assert time.monotonic() - began >= 0.8 * hello_timeout
    assert dripping.farewell(hello_timeout + 20) == "hello_timeout"
    lasting = connect()
    assert lasting.silent(hello_timeout + 0.5)
    lasting.call("ping")


@pytest.mark.spec("PN-5.1-7")
def test_hello_names_the_instance(connect: Connect) -> None:
    first, second = connect().hello, connect().hello
    assert first["daemon"]["instance"] == second["daemon"]["instance"] != ""
    assert first["boot_id"] == second["boot_id"] != ""


@pytest.mark.spec("PN-5.1-7")
def test_instances_differ(mortal: Daemon) -> None:
    hellos = []
    peer = Peer(mortal.address)
    hellos.append(peer.hello)
    peer.close()
    assert mortal.stop() == 0
    with started_again(mortal) as again:
        peer = Peer(again.address)
        hellos.append(peer.hello)
        peer.close()
    assert hellos[0]["daemon"]["instance"] != hellos[1]["daemon"]["instance"]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert [hello["boot_id"] for hello in hellos] == [boot_id, boot_id]


@pytest.mark.spec("PN-5.1-8")
def test_unknown_capabilities(connect: Connect) -> None:
    assert connect(capabilities=["x-unheard-of", "teleport"]).hello["protocol"] >= 1


@pytest.mark.spec("PN-5.2-1")
def test_goodbye_before_every_close(connect: Connect) -> None:
    peers = [connect(greet=False) for _ in range(3)]
    peers[0].send_raw(bytes(4))
    peers[1].request("ping", {})
    peers[2].sock.shutdown(1)
    for peer in peers:
        assert peer.farewell() is not None
        assert peer.notes[-1][0] == "goodbye"


@pytest.mark.spec("PN-5.2-2")
def test_goodbye_of_the_client(connect: Connect) -> None:
    watcher, peer = connect(), connect()
    numbers = [peer.request("describe", {}) for _ in range(20)]  # more than a socket's buffer
    peer.notify("goodbye", {"code": "done"})
    for _ in range(2):  # by the second the daemon has replied until nothing more fitted
        watcher.call("ping")
    code = peer.farewell()
    assert set(numbers) <= set(peer.replies)
    assert code == "done"
    other = connect()
    ping = other.request("ping", {})
    other.sock.shutdown(1)
    assert other.farewell() == "done"
    assert ping in other.replies


@pytest.mark.spec("PN-5.2-3")
def test_nothing_after_goodbye(peer: Peer) -> None:
    process = peer.start("yes", stdout={"mode": "pipe"}, on_disconnect="kill")
    peer.subscribe(process, credit=200_000)
    peer.notify("goodbye", {"code": "done"})
    assert peer.farewell() == "done"
    assert peer.order[-1][1] == "goodbye"
    assert [name for name, _ in peer.notes].count("goodbye") == 1


@pytest.mark.spec("PN-5.3-1")
def test_silence(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    peer.subscribe(process)
    assert peer.silent(2.5)


@pytest.mark.spec("PN-5.3-2")
def test_stalled_reader(connect: Connect, write_timeout: float) -> None:
    watcher, peer = connect(), connect()
    script = "head -c 60000000 /dev/zero; exec sleep 1000"
    process = peer.shell(script, stdout={"mode": "spool"}, on_disconnect="kill")
    peer.request("output.subscribe", {"id": process, "stream": "stdout", "credit": 2**40})
    # It does not read. The daemon ends the connection, and with it the process.
    found = watcher.call("process.wait", id=process, timeout=write_timeout + 20)["process"]
    assert found["cause"] == "disconnect"


@pytest.mark.spec("PN-5.3-3")
def test_ping(peer: Peer) -> None:
    first = peer.call("ping", payload=b"\x00\xff")
    assert first["payload"] == b"\x00\xff"
    second = peer.call("ping")
    for clock in ("realtime", "monotonic"):
        assert first["received"][clock] <= first["sent"][clock]
        assert all(0 <= part < 2**53 for part in first["sent"][clock])
    assert first["sent"]["monotonic"] <= second["received"]["monotonic"]
    assert abs(first["sent"]["realtime"][0] - time.time()) < 3600


@pytest.mark.spec("PN-6.1-1")
def test_executed(peer: Peer) -> None:
    assert peer.refusal("process.get", id="nobody").data["executed"] == "no"
    assert peer.refusal("process.start", spec={"argv": ["/no/such"]}).data["executed"] == "no"
    process = peer.shell("trap '' TERM; echo ready; while :; do sleep 1; done")
    peer.call("output.read", id=process, stream="stdout", offset=0, wait=20)
    number = peer.request("process.stop", {"id": process, "grace": 600})
    peer.notify("cancel", {"id": number})
    with pytest.raises(Refused) as caught:
        peer.answer(number)
    assert caught.value.data["executed"] == "yes"
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-6.1-2")
def test_errno(peer: Peer) -> None:
    data = peer.refusal("process.start", spec={"argv": ["/etc/passwd"]}).data
    assert (data["errno"], data["errno_number"]) == ("EACCES", 13)


@pytest.mark.spec("PN-6.1-3")
def test_registered_codes(peer: Peer) -> None:
    schema = json.loads(peer.call("describe")["schema"])
    registered = {one["code"] for one in schema["errors"] if one["where"] == "reply"}
    codes = {
        peer.refusal("no.such").code,
        peer.refusal("hello", HELLO).code,
        peer.refusal("process.get", id="nobody").code,
        peer.refusal("process.start", spec={"argv": ["/no/such"]}).code,
        peer.refusal("output.unsubscribe", subscription=99).code,
    }
    assert codes <= registered


@pytest.mark.spec("PN-7.1-1")
def test_cancelled_requests_are_answered(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    for method, params in (
        ("process.wait", {"id": process}),
        ("output.read", {"id": process, "stream": "stdout", "offset": 0, "wait": 600}),
    ):
        number = peer.request(method, params)
        peer.call("ping")
        assert number not in peer.replies
        peer.notify("cancel", {"id": number})
        with pytest.raises(Refused) as caught:
            peer.answer(number)
        assert (caught.value.code, caught.value.data["executed"]) == ("cancelled", "no")
    peer.call("ping")


@pytest.mark.spec("PN-7.1-2")
def test_cancelled_start(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> None:
    fifo = tmp_path_factory.mktemp("fifo") / "fifo"
    os.mkfifo(fifo)

    def known() -> set[str]:
        return {one["id"] for one in peer.call("process.list", limit=1000)["processes"]}

    info, ids = peer.call("daemon.info"), known()
    before, daemon = info["counts"], info["daemon"]["pid"]
    children = children_of(daemon)
    number = peer.request(
        "process.start",
        {"spec": {"argv": ["true"], "stdin": {"mode": "file", "path": str(fifo)}}},
    )
    try:
        eventually(lambda: not children_of(daemon) <= children, "there is a child", TIMEOUT)
        peer.notify("cancel", {"id": number})
        with pytest.raises(Refused) as caught:
            peer.answer(number)
        assert (caught.value.code, caught.value.data["executed"]) == ("cancelled", "no")
        after = peer.call("daemon.info")["counts"]
        assert after["started"] == before["started"]
        assert known() <= ids
        # Orphans of earlier tests can pass through.
        eventually(lambda: children_of(daemon) <= children, "nothing is left", TIMEOUT)
    finally:
        os.close(os.open(fifo, os.O_RDWR))  # whoever still waits for it goes on
    executed = 0
    for _ in range(10):  # and one that may be executed before the cancellation arrives
        number = peer.request("process.start", {"spec": {"argv": ["sleep", "1000"]}})
        peer.notify("cancel", {"id": number})
        peer.answered(number)
        error, result = peer.replies.pop(number)
        if error is not None:
            assert (error["code"], error["data"]["executed"]) == ("cancelled", "no")
        else:
            executed += 1
            assert peer.get(result["id"])["state"] in ("running", "exited", "closed")
            peer.call("process.stop", id=result["id"], grace=0)
    assert peer.call("daemon.info")["counts"]["started"] == before["started"] + executed


def start_cancelled_late(daemon: Daemon, peer: Peer, directory: Path) -> int:
    """The number of a start whose program runs before the daemon takes the cancel. The daemon
    stands still meanwhile, so that it finds both at once; in which order it looks at them is its
    own affair."""
    fifo, trace = directory / "fifo", directory / "trace"
    os.mkfifo(fifo)
    children = children_of(daemon.pid)
    argv = ["sh", "-c", f"echo >{trace}; exec sleep 1000"]
    stdin = {"mode": "file", "path": str(fifo)}
    number = peer.request("process.start", {"spec": {"argv": argv, "stdin": stdin}})
    eventually(lambda: not children_of(daemon.pid) <= children, "there is a child", TIMEOUT)
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        peer.notify("cancel", {"id": number})
        writing = os.open(fifo, os.O_RDWR)
        eventually(trace.exists, "the program runs", TIMEOUT)
        os.close(writing)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    return number


@pytest.mark.spec("PN-7.1-2")
def test_cancel_after_the_execution(mortal: Daemon, tmp_path: Path) -> None:
    peer = Peer(mortal.address)
    for turn in range(8):
        directory = tmp_path / str(turn)
        directory.mkdir()
        process = peer.answer(start_cancelled_late(mortal, peer, directory))["id"]
        peer.call("process.stop", id=process, grace=0)
    peer.close()


@pytest.mark.spec("PN-7.1-3")
def test_cancelled_stop(peer: Peer) -> None:
    process = peer.shell("trap '' TERM; echo ready; while :; do sleep 1; done")
    peer.call("output.read", id=process, stream="stdout", offset=0, wait=20)
    number = peer.request("process.stop", {"id": process, "grace": 0.5})
    peer.notify("cancel", {"id": number})
    with pytest.raises(Refused) as caught:
        peer.answer(number)
    assert (caught.value.code, caught.value.data["executed"]) == ("cancelled", "yes")
    assert peer.wait(process)["outcome"]["signal"] == "SIGKILL"


@pytest.mark.spec("PN-7.1-5")
def test_cancelled_write(peer: Peer) -> None:
    """The program reads one byte, which shows that bytes were taken, and then waits until it is
    told to read the others."""
    script = (
        "trap go=1 USR1; dd bs=1 count=1 2>/dev/null; "
        'while [ -z "$go" ]; do sleep 0.02; done; exec sha256sum'
    )
    process = peer.shell(script, stdin={"mode": "pipe"})
    data = os.urandom(2**20)
    number = peer.request("stdin.write", {"id": process, "offset": 0, "data": data})
    first = peer.call("output.read", id=process, stream="stdout", offset=0, wait=20)["data"]
    assert first == data[:1]
    peer.call("ping")
    assert number not in peer.replies
    peer.notify("cancel", {"id": number})
    taken = peer.answer(number)["offset"]
    assert 0 < taken < len(data)
    peer.call("process.signal", id=process, signal="SIGUSR1")
    assert peer.call("stdin.write", id=process, offset=taken, data=data[taken:])["offset"] == 2**20
    peer.call("stdin.close", id=process, offset=len(data))
    digest = hashlib.sha256(data[1:]).hexdigest()
    assert peer.read_all(process, offset=1) == f"{digest}  -\n".encode()


@pytest.mark.spec("PN-7.1-4")
def test_cancel_of_nothing(peer: Peer) -> None:
    peer.notify("cancel", {"id": 4_000_000})
    number = peer.request("ping", {})
    peer.answer(number)
    peer.notify("cancel", {"id": number})
    peer.call("ping")


@pytest.mark.spec("PN-8.1-1")
def test_outstanding_requests(peer: Peer) -> None:
    limit = peer.hello["limits"]["max_requests"]
    process = peer.start("sleep", "1000")
    waits = [peer.request("process.wait", {"id": process}) for _ in range(limit)]
    refusal = peer.refusal("ping")
    assert (refusal.code, refusal.data["executed"]) == ("too_many_requests", "no")
    peer.notify("cancel", {"id": waits[0]})
    assert peer.refusal_of(waits[0]) == "cancelled"
    peer.call("process.stop", id=process, grace=0)
    for number in waits[1:]:
        assert peer.answer(number)["process"]["state"] == "closed"


@pytest.mark.spec("PN-8.1-2")
def test_bytes_in_flight(peer: Peer) -> None:
    """Many writes to one stdin that nobody reads are outstanding together."""
    window = peer.hello["limits"]["stdin_window"]
    room = peer.hello["limits"]["max_in_flight"]
    writes: list[tuple[str, int]] = []
    for _ in range(room // window + 2):
        process = peer.start("sleep", "1000", stdin={"mode": "pipe"})
        number = peer.request("stdin.write", {"id": process, "offset": 0, "data": bytes(window)})
        writes.append((process, number))
    peer.call("daemon.info")
    refused = [number for _, number in writes if number in peer.replies]
    assert refused
    assert {peer.replies[number][0]["code"] for number in refused} == {"too_many_requests"}
    assert len(writes) - len(refused) >= room // (window + 1000)
    for process, _ in writes:
        peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-8.1-3")
def test_subscriptions(peer: Peer) -> None:
    limit = peer.hello["limits"]["max_subscriptions"]
    process = peer.start("sleep", "1000")
    numbers = [peer.subscribe(process) for _ in range(limit)]
    assert len(set(numbers)) == limit
    refusal = peer.refusal("output.subscribe", id=process, stream="stdout", credit=0)
    assert refusal.code == "too_many_subscriptions"
    peer.call("output.unsubscribe", subscription=numbers[0])
    peer.subscribe(process)


@pytest.mark.spec("PN-8.1-4")
def test_results_that_do_not_fit(connect: Connect) -> None:
    peer = connect(limits={"max_frame": 65_536})
    argv = ["true", *("x" * 1000 for _ in range(100))]
    process = peer.start(*argv)
    refusal = peer.refusal("process.get", id=process, spec=True)
    assert (refusal.code, refusal.data["executed"]) == ("result_too_large", "yes")
    peer.call("process.get", id=process)


def test_ended_connections_raise(connect: Connect) -> None:
    """The suite's own client notices the end."""
    peer = connect()
    peer.send_raw(bytes(4))
    peer.farewell()
    with pytest.raises(Ended):
        peer.take()
