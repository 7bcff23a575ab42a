"""Gate, names, readiness, owners, instants and events, with both clients."""

from __future__ import annotations

import datetime
import time
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from procnursery.client import blocking, connection
from procnursery.client.instants import instant
from procnursery.errors import RequestError
from procnursery.model import ReadySpec
from procnursery.protocol import messages as m
from tests.client.test_clients import client as client
from tests.daemons import Daemon


def test_hold_and_release(client: Any) -> None:
    processes = [client.start(["sh", "-c", f"exit {code}"], hold=True) for code in range(3)]
    assert [process.info().state for process in processes] == ["held"] * 3
    at = time.time() + 0.3
    releases = client.release([one.id for one in processes], at=at)
    for one in releases:
        seconds, nanoseconds = one.times.exec.realtime
        assert seconds + nanoseconds / 1e9 >= at - 1e-6
        assert one.outcome is None
    assert [process.wait().code for process in processes] == [0, 1, 2]
    wrong = client.start(["/no/such/program"], hold=True)
    released = wrong.release()
    assert (released.outcome.kind, released.outcome.errno) == ("start_failed", "ENOENT")
    with pytest.raises(RequestError) as caught:
        wrong.release()
    assert caught.value.code == "not_held"


def test_names_labels_restart(client: Any) -> None:
    first = client.start(["sleep", "1000"], name="srv", labels={"role": "x"})
    assert [one.id for one in client.list(name="srv")] == [first.id]
    assert [one.id for one in client.list(labels={"role": "x"})] == [first.id]
    assert client.list(labels={"role": "y"}) == []
    second = client.restart("srv", grace=5)
    assert second.id != first.id
    assert client.get("srv").id == second.id
    assert second.info().incarnation == 2
    (info,) = client.stop(["srv"], grace=0)
    assert (info.id, info.state) == (second.id, "closed")
    assert second.wait().kind == "signalled"


def test_readiness(client: Any) -> None:
    ready = ReadySpec(mode="output", pattern=b"listening")
    process = client.start(["sh", "-c", "echo listening; exec sleep 1000"], ready=ready)
    assert process.wait_ready().ready.state == "ready"
    process.stop(grace=0)
    process = client.start(["sh", "-c", "echo broken; exit 1"], ready=ready)
    info = process.wait_ready()
    assert (info.state, info.ready.state) == ("closed", "failed")
    assert info.ready.tails["stdout"] == b"broken\n"
    with pytest.raises(TypeError, match="ReadySpec"):
        client.start(["true"], ready="soon")


def test_acts_at_an_instant(client: Any) -> None:
    process = client.start(["sleep", "1000"])
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.3)
    delivered = process.signal("SIGUSR1", at=at)
    assert delivered.realtime[0] + delivered.realtime[1] / 1e9 >= at.timestamp() - 1e-6
    assert process.wait().signal == "SIGUSR1"


def test_freeze_and_thaw(client: Any) -> None:
    process = client.start(["sleep", "1000"])
    result = process.freeze()
    assert (result.frozen, process.info().frozen) == (True, True)
    assert [one.frozen for one in client.list()] == [True]
    at = time.time() + 0.2
    result = process.thaw(at=at)
    assert (result.frozen, process.info().frozen) == (False, False)
    seconds, nanoseconds = result.delivered.realtime
    assert seconds + nanoseconds / 1e9 >= at - 1e-6
    assert [act.act for act in process.info().acts] == ["freeze", "thaw"]
    process.freeze(at=time.time())
    assert process.stop().outcome.signal == "SIGTERM"
    with pytest.raises(RequestError) as caught:
        process.freeze()
    assert caught.value.code == "not_running"


def test_a_new_owner(daemon: Daemon) -> None:
    with blocking.connect(daemon.address) as first:
        process = first.start(["sleep", "1000"], keep_for=60)
    with blocking.connect(daemon.address) as second:
        attached = second.attach(process.id)
        assert attached.info().state == "running"
        assert attached.info().on_disconnect == "keep_for"
        attached.signal("SIGKILL")
        assert attached.wait_closed().outcome is not None


def test_instants() -> None:
    assert instant(None) is None
    assert instant(1.5) == (1, 500_000_000)
    assert instant((3, 4)) == (3, 4)
    utc = datetime.timezone.utc  # noqa: UP017
    assert instant(datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=utc)) == (1, 0)
    for wrong in (float("nan"), float("inf"), -1, datetime.datetime(2030, 1, 1)):
        with pytest.raises(ValueError, match=r"instant|1970"):
            instant(wrong)


@contextmanager
def some_events(daemon: Daemon) -> Any:
    """What has happened to a process that has exited with 3."""
    with blocking.connect(daemon.address) as other:
        other.run(["sh", "-c", "exit 3"], name="one")
        yield other


def test_events_blocking(daemon: Daemon) -> None:
    with some_events(daemon) as other, blocking.connect(daemon.address) as watching:
        with watching.events(after=0, kinds=["closed"]) as told:
            first = next(told)
            assert isinstance(first, m.EventParams)
            assert (first.kind, first.name, first.outcome.code) == ("closed", "one", 3)  # type: ignore[union-attr]
            other.run(["true"])
            assert next(told).kind == "closed"  # type: ignore[union-attr]
        with watching.events(snapshot=True) as told:
            shown = next(told)
            assert isinstance(shown, m.SnapshotParams)
            assert shown.process.name == "one"
        with pytest.raises(RequestError), watching.events(after=10**6):
            pass
        assert watching.ping() is not None


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_events_async(daemon: Daemon, backend: str) -> None:
    async def watch() -> None:
        async with connection.connect(daemon.address) as watching:
            async with watching.events(after=0, ids=["one"]) as told:
                kinds = []
                async for one in told:
                    assert isinstance(one, m.EventParams)
                    kinds.append(one.kind)
                    if one.kind == "closed":
                        break
                assert kinds[0] == "started"
            await watching.ping()

    with some_events(daemon):
        anyio.run(watch, backend=backend)
