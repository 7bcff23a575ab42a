"""Sections 9.10, 9.8-9 and 12.1: names, labels, owners."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.conformance.conftest import Connect
from tests.conformance.peer import Peer
from tests.conformance.test_processes import alive, line


def fresh(word: str) -> str:
    """A name that no process of this daemon has."""
    return f"{word}-{secrets.token_hex(6)}"


@pytest.mark.spec("PN-9.10-1")
def test_a_name_is_as_good_as_an_id(peer: Peer) -> None:
    name = fresh("cat")
    process = peer.start("cat", name=name, stdin={"mode": "pipe"})
    assert peer.get(name)["id"] == process
    assert (peer.get(name)["name"], peer.get(name).get("incarnation", 1)) == (name, 1)
    peer.call("stdin.write", id=name, offset=0, data=b"hello\n")
    assert line(peer, name) == b"hello"
    peer.call("process.signal", id=name, signal="SIGCONT")
    number = peer.subscribe(name)
    peer.call("stdin.close", id=name)
    assert peer.wait(name)["outcome"]["code"] == 0
    peer.until(lambda: peer.ended(number))
    assert peer.call("process.stop", id=name)["process"]["id"] == process
    listed = peer.call("process.list", name=name)["processes"]
    assert [(one["id"], one["name"]) for one in listed] == [(process, name)]
    peer.call("process.forget", id=name)
    assert peer.refusal("process.get", id=name).code == "not_found"
    assert peer.refusal("process.get", id=process).code == "not_found"


@pytest.mark.spec("PN-9.10-2")
def test_a_name_in_use(peer: Peer) -> None:
    name = fresh("sleeper")
    process = peer.start("sleep", "1000", name=name)
    started = peer.call("daemon.info")["counts"]["started"]
    refusal = peer.refusal("process.start", spec={"argv": ["true"], "name": name})
    assert (refusal.code, refusal.data["executed"]) == ("name_in_use", "no")
    assert peer.call("daemon.info")["counts"]["started"] == started
    assert peer.get(name)["id"] == process
    peer.call("process.stop", id=name, grace=0)


@pytest.mark.spec("PN-9.10-3", "PN-9.10-1")
def test_incarnations(peer: Peer) -> None:
    name = fresh("again")
    for number in (1, 2, 3):
        result = peer.call("process.start", spec={"argv": ["true"], "name": name})
        assert result.get("incarnation", 1) == number
        peer.wait(result["id"])
        assert peer.get(name)["id"] == result["id"]
        assert peer.get(name).get("incarnation", 1) == number
        # A start that fails is no life of the name.
        peer.refusal("process.start", spec={"argv": ["/no/such"], "name": name})
    listed = peer.call("process.list", name=name)["processes"]
    assert [one.get("incarnation", 1) for one in listed] == [1, 2, 3]
    peer.call("process.forget", id=name)
    assert peer.get(name).get("incarnation", 1) == 2
    assert peer.call("process.start", spec={"argv": ["true"], "name": name})["incarnation"] == 4


@pytest.mark.spec("PN-9.10-4")
def test_restart(connect: Connect) -> None:
    peer, other = connect(), connect()
    name = fresh("server")
    spec = {"argv": ["sh", "-c", "echo $WORD; exec sleep 1000"], "env": [["WORD", "up"]]}
    first = peer.call("process.start", spec=spec | {"name": name})
    assert line(peer, name) == b"up"
    second = other.call("process.restart", id=name, grace=5)
    assert (second["incarnation"], second["state"]) == (2, "running")
    assert not alive(first["pid"])
    old = peer.get(first["id"])
    assert (old["state"], old["outcome"]["signal"], old["cause"]) == (
        *("closed", "SIGTERM"),
        "requested",
    )
    assert line(peer, name) == b"up"
    peer.call("process.signal", id=name, signal="SIGKILL")
    other.event(second["id"], "closed")
    third = peer.call("process.restart", id=second["id"], events=False)
    assert third["incarnation"] == 3
    peer.call("process.stop", id=name, grace=0)
    assert not peer.events(third["id"])


@pytest.mark.spec("PN-9.10-6")
def test_the_owner_of_a_restarted_process(connect: Connect) -> None:
    starter, other, witness = connect(), connect(), connect()
    name = fresh("owned")
    starter.start("sleep", "1000", name=name)
    second = other.call("process.restart", id=name)
    starter.close()
    assert witness.silent(0.3)
    assert witness.get(name)["state"] == "running"
    other.close()
    assert witness.wait(second["id"])["cause"] == "disconnect"


@pytest.mark.spec("PN-9.10-6")
def test_a_restart_that_fails(peer: Peer, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to("/bin/sleep")
    name = fresh("gone")
    first = peer.start(str(program), "1000", name=name)
    program.unlink()
    refusal = peer.refusal("process.restart", id=name)
    assert (refusal.code, refusal.data["stage"]) == ("start_failed", "exec")
    assert refusal.data["executed"] == "yes"
    assert peer.get(first)["state"] == "closed"
    again = peer.refusal("process.restart", id=name)
    assert (again.code, again.data["executed"]) == ("start_failed", "no")


@pytest.mark.spec("PN-9.10-5")
def test_restart_without_a_name(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    refusal = peer.refusal("process.restart", id=process)
    assert (refusal.code, refusal.data["executed"]) == ("no_name", "no")
    assert peer.get(process)["state"] == "running"
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.8-9")
def test_selection(peer: Peer) -> None:
    run = fresh("run")
    ids = [peer.start("true", labels={"run": run, "role": role}) for role in ("a", "b", "a")]
    everyone = peer.call("process.list", labels={"run": run})["processes"]
    assert [one["id"] for one in everyone] == ids
    some = peer.call("process.list", labels={"run": run, "role": "a"})["processes"]
    assert [one["id"] for one in some] == [ids[0], ids[2]]
    assert some[0]["labels"] == {"run": run, "role": "a"}
    assert peer.call("process.list", labels={"run": run, "role": "c"})["processes"] == []
    page = peer.call("process.list", labels={"run": run}, limit=2)
    assert [one["id"] for one in page["processes"]] == ids[:2]
    rest = peer.call("process.list", labels={"run": run}, after=page["next"])
    assert [one["id"] for one in rest["processes"]] == ids[2:]


@pytest.mark.spec("PN-12.1-4")
def test_a_lease_that_runs_out(connect: Connect) -> None:
    owner, other = connect(), connect()
    process = owner.start("sleep", "1000", on_disconnect="keep_for", keep_for=0.3)
    pid = owner.get(process)["pid"]
    owner.close()
    ended = other.wait(process)
    assert (ended["outcome"]["signal"], ended["cause"]) == ("SIGTERM", "disconnect")
    assert not alive(pid)


@pytest.mark.spec("PN-12.1-4", "PN-12.1-5")
def test_a_lease_that_is_taken_over(connect: Connect) -> None:
    owner, other = connect(), connect()
    process = owner.start("sleep", "1000", on_disconnect="keep_for", keep_for=1.0)
    owner.close()
    assert other.call("process.attach", id=process)["process"]["state"] == "running"
    assert other.silent(1.5), "it was stopped although it has an owner"
    assert other.get(process)["state"] == "running"
    witness = connect()
    other.close()
    assert witness.wait(process)["cause"] == "disconnect"


@pytest.mark.spec("PN-12.1-5")
def test_a_new_owner(connect: Connect) -> None:
    owner, second, witness = connect(), connect(), connect()
    process = owner.start("sleep", "1000")
    second.call("process.attach", id=process, events=False)
    owner.close()
    assert witness.silent(0.3)
    assert witness.get(process)["state"] == "running"
    second.close()
    assert witness.wait(process)["cause"] == "disconnect"


@pytest.mark.spec("PN-12.1-5", "PN-9.2-8")
def test_a_retry_after_a_lost_reply(connect: Connect) -> None:
    first, second, witness = connect(), connect(), connect()
    token = secrets.token_hex(8)
    params = {
        "spec": {"argv": ["sleep", "1000"], "on_disconnect": "keep_for", "keep_for": 30},
        "token": token,
    }
    first.request("process.start", params)
    first.reset()  # the reply is lost, and so is the owner
    result = second.call("process.start", params)
    assert witness.get(result["id"])["state"] == "running"
    tokens = [one["id"] for one in witness.call("process.list", limit=1000)["processes"]]
    assert tokens.count(result["id"]) == 1
    again = second.call("process.start", params)
    assert (again["id"], again["existing"]) == (result["id"], True)
    second.call("process.stop", id=result["id"], grace=0)


@pytest.mark.spec("PN-12.1-6")
def test_events_after_attaching(connect: Connect) -> None:
    first, second = connect(), connect()
    process = first.start(
        "sh", "-c", "read x; exit 3", on_disconnect="keep", stdin={"mode": "pipe"}
    )
    second.call("process.attach", id=process)
    first.call("stdin.close", id=process)
    first.event(process, "closed")
    second.event(process, "closed")
    assert second.events(process) == first.events(process)
    third = connect()
    seqs = [params["seq"] for _, params in first.events(process)]
    third.call("process.attach", id=process, after=seqs[0])
    third.event(process, "closed")
    assert third.events(process) == first.events(process)[1:]
    fourth = connect()
    wrong = fourth.refusal("process.attach", id=process, after=seqs[-1] + 10**6)
    assert (wrong.code, wrong.data["path"]) == ("invalid_params", "after")
    fourth.call("process.attach", id=process, after=seqs[-1])
    fourth.call("process.attach", id=process, events=False)
    assert fourth.silent(0.2)
