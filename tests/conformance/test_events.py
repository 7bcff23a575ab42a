"""Section 14.3: the events of all processes."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer
from tests.daemons import Daemon


def subscribe(peer: Peer, **params: Any) -> dict[str, Any]:
    """Subscribe to events; the reply."""
    result: dict[str, Any] = peer.call("events.subscribe", params)
    return result


def told(peer: Peer, number: int, what: str = "events.event") -> list[dict[str, Any]]:
    """What has arrived on a subscription."""
    return [
        params
        for method, params in peer.notes
        if method == what and params["subscription"] == number
    ]


def until(peer: Peer, number: int, kind: str, process: str) -> list[dict[str, Any]]:
    """What has arrived once an event of this kind and process has."""

    def there() -> bool:
        return any((one["kind"], one["id"]) == (kind, process) for one in told(peer, number))

    peer.until(there)
    return told(peer, number)


@pytest.mark.spec("PN-14.3-1", "PN-14.3-4")
def test_numbers(connect: Connect) -> None:
    peer, other = connect(), connect()
    reply = subscribe(peer)
    ids = [other.shell(f"exit {code}") for code in range(3)]
    last = other.wait(ids[-1])["id"]
    for one in ids:
        other.wait(one)
        until(peer, reply["subscription"], "closed", one)
    events = until(peer, reply["subscription"], "closed", last)
    seqs = [one["seq"] for one in events]
    assert seqs == list(range(reply["seq"] + 1, reply["seq"] + 1 + len(seqs)))
    assert reply["seq"] >= 0
    kinds = [one["kind"] for one in events if one["id"] == ids[0]]
    assert kinds[0] == "started"
    assert kinds[-1] == "closed"
    assert sorted(kinds) == ["closed", "eof", "eof", "exited", "started"]
    # They have the numbers that the process's own events have.
    own = {params["seq"] for _, params in other.events(ids[1])}
    assert own <= {one["seq"] for one in events if one["id"] == ids[1]}


@pytest.mark.spec("PN-14.3-1")
def test_what_events_tell(connect: Connect) -> None:
    peer, other = connect(), connect()
    number = subscribe(peer)["subscription"]
    labels = {"run": secrets.token_hex(4)}
    name = f"n-{labels['run']}"
    held = other.start("sleep", "1000", hold=True, name=name, labels=labels)
    other.call("process.release", ids=[held])
    other.call("process.signal", id=held, signal="SIGUSR1")
    pid = other.wait(held)["pid"]
    other.call("process.forget", id=held)
    events = [one for one in until(peer, number, "forgotten", held) if one["id"] == held]
    by_kind = {one["kind"]: one for one in events}
    assert list(by_kind)[:3] == ["held", "started", "act"]
    assert all((one["name"], one["labels"]) == (name, labels) for one in events)
    assert by_kind["started"]["pid"] == by_kind["held"]["pid"] == pid
    assert by_kind["act"]["act"]["signal"] == "SIGUSR1"
    assert by_kind["exited"]["outcome"]["signal"] == "SIGUSR1"
    assert by_kind["exited"]["cause"] == "requested"
    assert by_kind["eof"]["final_offset"] == 0
    assert by_kind["closed"]["verdict"] == "empty"


@pytest.mark.spec("PN-14.3-2")
def test_snapshot(connect: Connect) -> None:
    peer, other = connect(), connect()
    labels = {"run": secrets.token_hex(4)}
    closed = other.start("true", labels=labels)
    other.wait(closed)
    running = other.start("sleep", "1000", labels=labels)
    stranger = other.start("sleep", "1000")
    reply = subscribe(peer, snapshot=True, labels=labels)
    number = reply["subscription"]
    assert reply["snapshot"] == 2
    peer.until(lambda: len(told(peer, number, "events.process")) == 2)
    shown = [one["process"] for one in told(peer, number, "events.process")]
    assert [(one["id"], one["state"]) for one in shown] == [
        (closed, "closed"),
        (running, "running"),
    ]
    for one in (stranger, running):
        other.call("process.stop", id=one, grace=0)
    events = until(peer, number, "closed", running)
    assert {one["id"] for one in events} == {running}
    assert all(one["seq"] > reply["seq"] for one in events)
    assert events[0]["kind"] == "act"
    methods = [method for method, params in peer.notes if params.get("subscription") == number]
    assert methods[:2] == ["events.process"] * 2
    assert "events.process" not in methods[2:]


@pytest.mark.spec("PN-14.3-3")
def test_resuming(connect: Connect) -> None:
    first, other = connect(), connect()
    reply = subscribe(first)
    process = other.shell("exit 1")
    seen = until(first, reply["subscription"], "closed", process)
    second = connect()
    resumed = subscribe(second, after=seen[1]["seq"])
    again = until(second, resumed["subscription"], "closed", process)
    assert not told(second, resumed["subscription"], "events.lost")

    def bare(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: one[key] for key in one if key != "subscription"} for one in events]

    assert bare(again)[: len(seen) - 2] == bare(seen[2:])


@pytest.mark.spec("PN-14.3-3", "PN-14.3-6")
def test_events_that_are_not_kept(few: Daemon) -> None:
    peer, idle = Peer(few.addresses[0]), Peer(few.addresses[0])
    for _ in range(10):
        process = peer.shell("exit 0")
        peer.event(process, "closed")
    reply = subscribe(idle, after=0)
    number = reply["subscription"]
    assert reply["first"] > 1
    events = until(idle, number, "closed", process)
    (lost,) = told(idle, number, "events.lost")
    assert (lost["from"], lost["to"]) == (1, reply["first"])
    assert events[0]["seq"] == lost["to"]
    peer.close()
    idle.close()


@pytest.mark.spec("PN-14.3-6")
def test_a_subscriber_that_does_not_keep_up(few: Daemon) -> None:
    idle, peer = Peer(few.addresses[0]), Peer(few.addresses[0])
    # Every event tells of these labels, so that not many fit into what the kernel takes.
    labels = {f"l{index}": "x" * 256 for index in range(64)}
    number = subscribe(idle)["subscription"]
    process = peer.start("sleep", "1000", labels=labels)
    for _ in range(400):
        peer.call("process.signal", id=process, signal="SIGCONT")
    peer.call("process.stop", id=process, grace=0)
    events = until(idle, number, "closed", process)
    lost = told(idle, number, "events.lost")
    assert lost, "nothing was lost, so nothing was tested"
    covered = {one["seq"] for one in events}
    for one in lost:
        covered |= set(range(one["from"], one["to"]))
    assert covered == set(range(min(covered), max(covered) + 1))
    peer.close()
    idle.close()


@pytest.mark.spec("PN-14.3-5")
def test_choice(connect: Connect) -> None:
    peer, other = connect(), connect()
    run = secrets.token_hex(4)
    name = f"chosen-{run}"
    by_kind = subscribe(peer, kinds=["closed"])["subscription"]
    by_id = subscribe(peer, ids=[name])["subscription"]
    by_label = subscribe(peer, labels={"run": run}, kinds=["started"])["subscription"]
    named = other.shell("exit 0", name=name)
    labelled = other.shell("exit 0", labels={"run": run, "more": "x"})
    for one in (named, labelled):
        other.wait(one)
        until(peer, by_kind, "closed", one)
    assert {one["kind"] for one in told(peer, by_kind)} == {"closed"}
    assert {one["id"] for one in told(peer, by_id)} == {named}
    assert [(one["kind"], one["id"]) for one in told(peer, by_label)] == [("started", labelled)]


@pytest.mark.spec("PN-14.3-7")
def test_unsubscribing(connect: Connect) -> None:
    peer, other = connect(), connect()
    number = subscribe(peer)["subscription"]
    process = other.shell("exit 0")
    events = until(peer, number, "closed", process)
    assert peer.call("events.unsubscribe", subscription=number)["seq"] >= events[-1]["seq"]
    before = len(told(peer, number))
    other.wait(other.shell("exit 0"))
    assert peer.silent(0.2)
    assert len(told(peer, number)) == before
    assert peer.refusal("events.unsubscribe", subscription=number).code == "not_found"
    assert peer.refusal("output.unsubscribe", subscription=number).code == "not_found"


@pytest.mark.spec("PN-14.3-8")
def test_wrong_subscriptions(peer: Peer) -> None:
    latest = subscribe(peer)["seq"]
    refusal = peer.refusal("events.subscribe", after=latest + 10**6)
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", "after")
    refusal = peer.refusal("events.subscribe", after=0, snapshot=True)
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", "snapshot")
