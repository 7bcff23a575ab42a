"""Section 14.2: the machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import OWN_CONFIG, Connect
from tests.conformance.peer import Peer
from tests.daemons import Daemon, hiding, running_daemon, why_no_hiding

FIELDS = {
    "cpu": {
        *(f"cpu.{name}_s" for name in ("user", "system", "idle", "iowait", "irq", "steal")),
        *("cpu.count", "cpu.context_switches_total", "cpu.interrupts_total"),
    },
    "load": {"load.1m", "load.5m", "load.15m"},
    "memory": {
        f"memory.{name}_bytes" for name in ("total", "available", "used", "cached", "swap_used")
    },
    "disk": set(),
    "network": set(),
    "processes": set(),
}
"""What each group has on every machine."""
PREFIX = {group: f"{group}." for group in FIELDS} | {"processes": "process."}
OF_A_PROCESS = ("user_s", "system_s", "rss_bytes", "tasks", "processes")


def lacking(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is unavailable, by field."""
    return {one["field"]: one for one in told.get("unavailable", [])}


def check(told: dict[str, Any]) -> None:
    """What is unavailable has no value, and a reason."""
    assert told["cost_ns"] > 0
    for field, one in lacking(told).items():
        assert one["reason"]
        assert field not in told["values"]
        assert not any(name.startswith(f"{field}.") for name in told["values"])


def sample(peer: Peer, *groups: str) -> dict[str, Any]:
    """A sample that is well-formed."""
    found: dict[str, Any] = peer.call("host.sample", {"groups": list(groups)} if groups else {})
    check(found["sample"])
    return found["sample"]  # type: ignore[no-any-return]


def data(peer: Peer, number: int) -> list[dict[str, Any]]:
    """Samples that have arrived on a subscription."""
    return [
        params
        for method, params in peer.notes
        if method == "host.data" and params["subscription"] == number
    ]


def ended(peer: Peer, number: int) -> Any:
    """The host.end of a subscription, if it has arrived."""
    return next(
        (
            params
            for method, params in peer.notes
            if method == "host.end" and params["subscription"] == number
        ),
        None,
    )


def nanoseconds(instant: dict[str, Any]) -> int:
    """The monotonic reading of a stamp."""
    seconds, rest = instant["monotonic"]
    return int(seconds * 1_000_000_000 + rest)


def check_ticks(samples: list[dict[str, Any]], first: dict[str, Any], interval: float) -> None:
    """No sample before its tick, no tick twice, and what is missing is counted."""
    expected = 0
    for one in samples:
        assert one["tick"] == expected + one.get("missed", 0)
        expected = one["tick"] + 1
        due = nanoseconds(first) + one["tick"] * round(interval * 1e9)
        late = nanoseconds(one["sample"]["at"]) - due
        assert late >= 0
        assert one["late_s"] * 1e9 == pytest.approx(late, abs=1000)


@pytest.mark.spec("PN-14.2-1")
def test_what_cannot_be_read(own: Daemon | None, transport: str, short_path: Path) -> None:
    if own is None:
        pytest.skip("hides files from the daemon, which is done only to the suite's own")
    if (reason := why_no_hiding()) is not None:
        pytest.skip(reason)
    listen = [f"unix://{short_path}/s" if transport == "unix" else "tcp://127.0.0.1:0"]
    with running_daemon(
        short_path / "d",
        listen=listen,
        config=OWN_CONFIG,
        insecure=transport == "tcp",
        prefix=hiding("/proc/meminfo", "/proc/diskstats"),
    ) as blind:
        peer = Peer(blind.address)
        found = sample(peer)
        assert FIELDS["memory"] <= lacking(found).keys()
        assert not any(name.startswith(("memory.", "disk.")) for name in found["values"])
        assert FIELDS["load"] <= found["values"].keys()
        facts = peer.call("host.facts")["facts"]
        check(facts)
        assert "memory.total_bytes" in lacking(facts)
        peer.close()


@pytest.mark.spec("PN-14.2-1")
def test_every_field_is_told_or_unavailable(peer: Peer) -> None:
    process = peer.shell("sleep 1000 & sleep 1000 & wait")
    found = sample(peer)
    told = found["values"].keys() | lacking(found).keys()
    assert set().union(*FIELDS.values()) <= told
    assert (
        f"process.{process}" in told
        or {f"process.{process}.{name}" for name in OF_A_PROCESS} <= told
    )
    peer.call("process.stop", id=process, grace=0)
    after = sample(peer, "processes")
    assert not any(name.startswith(f"process.{process}.") for name in after["values"])


@pytest.mark.spec("PN-14.2-1")
def test_of_the_whole_tree(peer: Peer) -> None:
    process = peer.shell("sleep 1000 & sleep 1000 & echo; wait")
    peer.until(lambda: peer.call("process.get", id=process)["process"]["streams"]["stdout"]["end"])
    values = sample(peer, "processes")["values"]
    assert values[f"process.{process}.processes"] == 3
    assert values[f"process.{process}.tasks"] >= 3
    assert values[f"process.{process}.rss_bytes"] > 0


@pytest.mark.spec("PN-14.2-2")
def test_groups(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    for group in FIELDS:
        found = sample(peer, group)
        told = found["values"].keys() | lacking(found).keys()
        assert all(name == group or name.startswith(PREFIX[group]) for name in told)
        assert FIELDS[group] <= told
    assert any(name.startswith(f"process.{process}") for name in told)
    two = sample(peer, "load", "memory")
    told = two["values"].keys() | lacking(two).keys()
    assert FIELDS["load"] | FIELDS["memory"] <= told
    assert all(name.startswith(("load.", "memory.")) for name in told)
    everything = sample(peer)
    told = everything["values"].keys() | lacking(everything).keys()
    assert set().union(*FIELDS.values()) <= told
    subscription = peer.call("host.subscribe", interval=0.01, groups=["load"], count=1)
    peer.until(lambda: ended(peer, subscription["subscription"]))
    [one] = data(peer, subscription["subscription"])
    assert one["sample"]["values"].keys() == FIELDS["load"]
    for groups in ([], ["power"]):
        assert peer.refusal("host.sample", groups=groups).code == "invalid_params"


@pytest.mark.spec("PN-14.2-3")
@pytest.mark.parametrize("interval", [0.01, 0.05])
def test_ticks(peer: Peer, interval: float) -> None:
    peer.start("sleep", "1000")
    begun = peer.call("host.subscribe", interval=interval, count=20)
    peer.until(lambda: ended(peer, begun["subscription"]))
    samples = data(peer, begun["subscription"])
    assert len(samples) == 20
    for one in samples:
        check(one["sample"])
    check_ticks(samples, begun["first"], interval)


@pytest.mark.spec("PN-14.2-3")
def test_missed_ticks(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    begun = peer.call("host.subscribe", interval=0.02, groups=["load"])
    number = begun["subscription"]
    peer.until(lambda: data(peer, number))
    os.kill(mortal.pid, signal.SIGSTOP)
    time.sleep(0.5)  # the ticks of this time are missed
    stopped = len(data(peer, number))
    os.kill(mortal.pid, signal.SIGCONT)
    peer.until(lambda: any(one.get("missed", 0) >= 20 for one in data(peer, number)))
    peer.until(lambda: len(data(peer, number)) > stopped + 3)
    check_ticks(data(peer, number), begun["first"], 0.02)
    peer.close()


@pytest.mark.spec("PN-14.2-3")
def test_a_client_that_does_not_read(connect: Connect) -> None:
    slow, other = connect(), connect()
    begun = slow.call("host.subscribe", interval=0.01)
    number = begun["subscription"]
    pause = 0.5
    while not any(one.get("missed", 0) for one in data(slow, number)):
        time.sleep(pause)  # until what is under way fills the socket
        other.call("ping")
        count = len(data(slow, number))
        ping = slow.request("ping", {})
        slow.answered(ping)
        assert len(data(slow, number)) > count
        pause = min(2 * pause, 3.0)
    check_ticks(data(slow, number), begun["first"], 0.01)


@pytest.mark.spec("PN-14.2-4")
def test_count(peer: Peer) -> None:
    number = peer.call("host.subscribe", interval=0.01, groups=["load"], count=3)["subscription"]
    end = peer.until(lambda: ended(peer, number))
    assert end["ticks"] == len(data(peer, number)) == 3
    assert peer.refusal("host.unsubscribe", subscription=number).code == "not_found"
    assert peer.silent(0.1)


@pytest.mark.spec("PN-14.2-4")
def test_unsubscribe(peer: Peer) -> None:
    peer.start("sleep", "1000")
    for groups in (["load"], ["load", "processes"]):
        begun = peer.call("host.subscribe", interval=0.01, groups=groups)
        number = begun["subscription"]
        peer.until(lambda number=number: len(data(peer, number)) >= 2)  # type: ignore[misc]
        result = peer.call("host.unsubscribe", subscription=number)
        assert result["ticks"] == len(data(peer, number))
        assert peer.silent(0.1)
        assert peer.refusal("host.unsubscribe", subscription=number).code == "not_found"


@pytest.mark.spec("PN-14.2-4")
def test_kinds_of_subscriptions(peer: Peer) -> None:
    samples = peer.call("host.subscribe", interval=86400)["subscription"]
    output = peer.subscribe(peer.start("sleep", "1000"))
    assert samples != output
    assert peer.refusal("output.unsubscribe", subscription=samples).code == "not_found"
    assert peer.refusal("host.unsubscribe", subscription=output).code == "not_found"
    peer.notify("output.credit", {"subscription": samples, "credit": 2**40, "consumed": 0})
    assert peer.call("host.unsubscribe", subscription=samples)["ticks"] <= 1
    assert peer.call("output.unsubscribe", subscription=output)["offset"] == 0


@pytest.mark.spec("PN-8.1-3")
def test_all_kinds_share_the_limit(peer: Peer) -> None:
    limit = peer.hello["limits"]["max_subscriptions"]
    process = peer.start("sleep", "1000")
    numbers = [
        peer.call("host.subscribe", interval=86400, groups=["load"])["subscription"]
        for _ in range(limit - 1)
    ]
    peer.subscribe(process)
    refusal = peer.refusal("host.subscribe", interval=1)
    assert (refusal.code, refusal.data["limit"]) == ("too_many_subscriptions", limit)
    peer.call("host.unsubscribe", subscription=numbers[0])
    peer.call("host.subscribe", interval=86400)


@pytest.mark.spec("PN-14.2-5")
def test_facts(peer: Peer) -> None:
    facts = peer.call("host.facts")["facts"]
    check(facts)
    told = facts["values"].keys() | lacking(facts).keys()
    for subject in ("kernel", "cpu", "memory", "clock", "containment"):
        assert any(name.startswith(f"{subject}.") for name in told), subject
    described = peer.call("describe")["containment"]
    assert facts["values"]["containment.kind"] == described["kind"]
