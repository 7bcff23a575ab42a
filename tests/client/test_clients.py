"""Both clients against a real daemon: the same scenarios, blocking, under Trio and asyncio."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from procnursery.client import blocking, connection
from procnursery.client.samples import KEPT, SampleQueue
from procnursery.errors import (
    ConnectionFailed,
    ConnectionLost,
    OutcomeError,
    RequestError,
    StartFailed,
)
from procnursery.model import PtySpec
from tests.daemons import Daemon

Call = Callable[..., Any]


class Adapter:
    """Makes calls of the async client look like the blocking one's, in a portal's loop."""

    def __init__(self, target: Any, run: Callable[[Awaitable[Any]], Any]) -> None:
        self._target = target
        self._run = run

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if callable(value):

            def call(*arguments: Any, **options: Any) -> Any:
                result = value(*arguments, **options)
                return self._wrap(self._run(result) if isinstance(result, Awaitable) else result)

            return call
        return self._wrap(value)

    def _wrap(self, value: Any) -> Any:
        kind = type(value).__module__
        return Adapter(value, self._run) if kind == "procnursery.client.async_process" else value


@pytest.fixture(params=["blocking", "trio", "asyncio"])
def client(request: pytest.FixtureRequest, daemon: Daemon) -> Any:
    """A connection, its calls blocking whatever the client."""
    if request.param == "blocking":
        with blocking.connect(daemon.address) as plain:
            yield plain
        return

    async def complete(work: Awaitable[Any]) -> Any:
        return await work

    with (
        anyio.from_thread.start_blocking_portal(request.param) as portal,
        portal.wrap_async_context_manager(connection.connect(daemon.address)) as connected,
    ):
        yield Adapter(connected, lambda work: portal.call(complete, work))


def test_run(client: Any) -> None:
    result = client.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"in")
    assert (result.stdout, result.stderr) == (b"in", b"err\n")
    assert (result.outcome.kind, result.outcome.code) == ("exited", 3)
    with pytest.raises(OutcomeError, match="exited with status 3"):
        result.outcome.raise_for_status()
    client.run(["true"]).outcome.raise_for_status()


def test_much_input(client: Any) -> None:
    data = os.urandom(5_000_000)
    assert client.run(["cat"], input=data).stdout == data


def test_input_that_nobody_reads(client: Any) -> None:
    assert client.run(["true"], input=bytes(5_000_000)).outcome.code == 0


def test_talk(client: Any) -> None:
    process = client.start(["cat"], stdin="pipe", stdout="pipe")
    process.stdin.write(b"one\n")
    assert process.stdout.readline() == b"one\n"
    process.stdin.write(b"two\nthree")
    process.stdin.close()
    assert process.stdout.read() == b"two\nthree"
    assert process.wait().code == 0
    with pytest.raises(RequestError) as caught:
        process.stdin.write(b"more")
    assert caught.value.code in ("stdin_closed", "reader_gone")


def test_signal_and_stop(client: Any) -> None:
    process = client.start(["sleep", "1000"])
    process.signal(signal.SIGUSR1)
    outcome = process.wait(until="exited")
    assert outcome.signal == "SIGUSR1"
    assert process.info().cause == "requested"
    with pytest.raises(RequestError) as caught:
        process.signal("SIGTERM")
    assert caught.value.code == "not_running"
    other = client.start(["sleep", "1000"])
    info = other.stop(grace=5)
    assert (info.state, info.outcome.signal, info.cause) == ("closed", "SIGTERM", "requested")
    other.forget()
    with pytest.raises(RequestError) as caught:
        client.get(other.id)
    assert caught.value.code == "not_found"


def test_wait_times_out(client: Any) -> None:
    process = client.start(["sleep", "1000"])
    with pytest.raises(RequestError) as caught:
        process.wait(timeout=0.05)
    assert caught.value.code == "timed_out"
    assert caught.value.executed == "no"


def test_failed_start(client: Any) -> None:
    with pytest.raises(StartFailed) as caught:
        client.start(["/no/such/file"])
    assert caught.value.stage == "exec"
    assert caught.value.data["errno"] == "ENOENT"
    assert client.list() == []


def test_invalid_spec(client: Any) -> None:
    with pytest.raises(RequestError) as caught:
        client.start(["true"], nice=99)
    assert caught.value.code == "invalid_params"
    assert caught.value.data["path"] == "spec.nice"


def test_merged_output(client: Any) -> None:
    script = "for i in 1 2 3; do echo o$i; echo e$i >&2; done"
    result = client.run(["sh", "-c", script], stderr="stdout")
    assert result.stdout == b"o1\ne1\no2\ne2\no3\ne3\n"
    assert result.stderr == b""


def test_files_as_input_and_output(client: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"content")
    result = client.run(["cat"], stdin=source, stdout=target)
    assert result.stdout == b"content"
    assert target.read_bytes() == b"content"


def test_tokens_and_lists(client: Any) -> None:
    first = client.start(["true"], token="t")
    second = client.start(["true"], token="t")
    assert first.id == second.id
    assert second.wait().code == 0
    client.start(["true"]).wait()
    assert [one.id for one in client.list()] == ["p1", "p2"]
    assert client.get("p2").spec.argv == (b"true",)


def test_about_the_daemon(client: Any, daemon: Daemon) -> None:
    assert client.info().daemon.pid == daemon.pid
    assert client.ping().sent.monotonic >= client.hello.now.monotonic
    assert '"process.start"' in client.describe().schema


def test_lost_daemon(client: Any, daemon: Daemon) -> None:
    process = client.start(["sleep", "1000"])
    daemon.sigkill()
    with pytest.raises(ConnectionLost):
        process.wait()


def test_no_daemon() -> None:
    with pytest.raises(ConnectionFailed, match="/no/such"):
        blocking.connect("unix:///no/such")

    async def use() -> None:
        async with connection.connect("unix:///no/such"):
            raise AssertionError

    for backend in ("trio", "asyncio"):
        with pytest.raises(ConnectionFailed, match="/no/such"):
            anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_cancelled_calls(daemon: Daemon, backend: str) -> None:
    async def use() -> None:
        async with connection.connect(daemon.address) as client:
            process = await client.start(["sleep", "1000"])
            with anyio.move_on_after(0.05) as scope:
                await process.wait()
            assert scope.cancelled_caught
            assert (await process.info()).state == "running"
            with anyio.move_on_after(0.2) as scope:
                await client.run(["sleep", "2000"])
            assert scope.cancelled_caught
            found = await client.list()
            assert len(found) == 2
            stopped = await (await client.get(found[1].id)).wait()
            assert stopped.signal == "SIGTERM"

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_many_at_once(daemon: Daemon, backend: str) -> None:
    async def use() -> None:
        async with connection.connect(daemon.address) as client:
            results: dict[int, bytes] = {}

            async def one(number: int) -> None:
                results[number] = (await client.run(["echo", str(number)])).stdout

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(one, number)
            assert results == {number: b"%d\n" % number for number in range(50)}

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_own_exceptions_come_unwrapped(daemon: Daemon, backend: str) -> None:
    async def use() -> None:
        async with connection.connect(daemon.address):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        anyio.run(use, backend=backend)


def test_local_runs_beside_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with blocking.connect("local:") as client:
        assert client.run(["pwd"]).stdout == f"{tmp_path}\n".encode()
        pid = client.hello.daemon.pid
    assert not Path(f"/proc/{pid}").exists()


def test_terminal(client: Any) -> None:
    """A writer, one reader, a size that changes."""
    script = "trap 'stty size' WINCH; stty -echo; stty size; while :; do sleep 0.02; done"
    process = client.start(["sh", "-c", script], pty=(33, 101))
    assert process.stderr is None
    assert process.stdout.readline() == b"33 101\r\n"
    process.resize(50, 132)
    assert process.stdout.readline() == b"50 132\r\n"
    process.stop(grace=0)
    with pytest.raises(RequestError, match="no_pty"):
        client.start(["true"]).resize(3, 3)
    other = client.start(["sh", "-c", "stty -echo; echo ready; cat"], pty=PtySpec(rows=5))
    assert other.stdout.readline() == b"ready\r\n"
    other.stdin.write(b"line\n")
    other.stdin.close()
    assert other.stdout.read() == b"line\r\n"
    assert other.wait().code == 0
    with pytest.raises(RequestError, match="not_running"):
        other.resize(3, 3)
    again = client.get(other.id)
    assert (again.stdin is None, again.stdout is None, again.stderr) == (False, False, None)


def test_run_in_a_terminal(client: Any) -> None:
    result = client.run(["sh", "-c", "cat; tty; echo err >&2"], pty=(24, 80), input=b"in\n")
    assert result.stdout.startswith(b"in\r\nin\r\n/dev/pts/")
    assert result.stdout.endswith(b"\r\nerr\r\n")
    assert result.stderr == b""


def test_sizes_that_are_none(client: Any) -> None:
    with pytest.raises(TypeError, match="rows, columns"):
        client.start(["true"], pty=24)
    with pytest.raises(RequestError, match=r"spec\.stdin"):
        client.start(["true"], pty=(24, 80), stdin="pipe")


def test_a_relative_directory(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the caller's beside the caller, to the user's home on a daemon."""
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path)
    with blocking.connect("local:") as local:
        assert local.run(["pwd"], cwd="inner").stdout == f"{tmp_path}/inner\n".encode()
    with pytest.raises(StartFailed) as caught:
        client.start(["pwd"], cwd="no/such/inner")
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert caught.value.data["file"] == os.fsencode(os.path.join(home, "no/such/inner"))


def test_facts_and_samples(client: Any) -> None:
    assert client.facts().values["kernel.release"] == os.uname().release
    assert client.sample(["load"]).values.keys() == {"load.1m", "load.5m", "load.15m"}
    assert client.sample().values["cpu.count"] == os.cpu_count()
    with pytest.raises(TypeError, match="list of groups"):
        client.sample("load")
    with pytest.raises(RequestError) as caught:
        client.sample(["power"])
    assert caught.value.code == "invalid_params"
    assert caught.value.data["path"] == "groups[0]"


def test_blocking_samples(daemon: Daemon) -> None:
    with blocking.connect(daemon.address) as client:
        found = list(client.samples(0.02, groups=["load"], count=3))
        assert len(found) == 3
        assert found[0].tick == 0
        assert all(one.sample.values.keys() == {"load.1m", "load.5m", "load.15m"} for one in found)
        for _ in range(client.hello.limits.max_subscriptions + 1):
            for one in client.samples(0.02):
                assert one.late_s >= 0
                break  # which ends the subscription
        with pytest.raises(RequestError) as caught:
            next(client.samples(0))
        assert caught.value.code == "invalid_params"


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_async_samples(daemon: Daemon, backend: str) -> None:
    async def use() -> None:
        async with connection.connect(daemon.address) as client:
            found = [one async for one in client.samples(0.02, groups=["load"], count=3)]
            assert len(found) == 3
            assert found[0].tick == 0
            for _ in range(client.hello.limits.max_subscriptions + 1):
                async for one in client.samples(0.02):
                    assert one.late_s >= 0
                    break  # which ends the subscription
            unread = client.samples(86400)
            unread.close()
            assert [one async for one in unread] == []
            with pytest.raises(RequestError) as caught:
                await anext(client.samples(0))
            assert caught.value.code == "invalid_params"
            left = client.samples(0.02)
            await anext(left)
        left.close()  # after the connection's end it does nothing

    anyio.run(use, backend=backend)


def test_samples_that_nobody_reads(daemon: Daemon) -> None:
    with blocking.connect(daemon.address) as client:
        queue = SampleQueue(client.exchange)
        queue.begin(86400, ["load"], 1)
        client.pump_until(lambda: queue.ready)
        first = queue.take()
        assert first is not None
        for tick in range(KEPT + 10):
            queue.take_in(attrs.evolve(first, tick=2 * tick, missed=1))
        oldest = queue.take()
        assert oldest is not None
        assert (oldest.tick, oldest.missed) == (20, 21)
