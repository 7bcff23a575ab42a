"""Clients in several languages give the same answers to the same scenario."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemons import Daemon, running_daemon

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIMEOUT = 100.0
MODULE = [sys.executable, "-m"]
Command = Callable[[str], list[str]]


def scenario() -> tuple[list[str], list[str]]:
    """(commands, their answers)"""
    commands, answers = [], []
    for line in (HERE / "scenario.txt").read_text().splitlines():
        if line.startswith("> "):
            answers.append(line.removeprefix("> "))
        elif line and not line.startswith("#"):
            commands.append(line)
    assert len(commands) == len(answers)
    return commands, answers


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The client for Node.js, with its library."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node.js with npm here")
    directory = tmp_path_factory.mktemp("javascript")
    for name in ("client.mjs", "package.json"):
        shutil.copy(HERE / "javascript" / name, directory)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--no-update-notifier"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"npm does not install @msgpack/msgpack here: {done.stderr[-300:]}")
    return lambda address: ["node", str(directory / "client.mjs"), address]


@pytest.fixture(scope="session")
def c(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The client in C, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler here")
    program = tmp_path_factory.mktemp("c") / "client"
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]
    done = subprocess.run(
        [compiler, *options, "-o", program, HERE / "c" / "client.c", "-lmsgpackc"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "msgpack.h" in done.stderr:
        pytest.skip("there is no libmsgpack here (Debian: libmsgpack-dev)")
    assert done.returncode == 0, done.stderr
    return lambda address: [str(program), address]


@pytest.fixture
def command(request: pytest.FixtureRequest) -> Command:
    """One of the clients."""
    kind: str = request.param
    if kind in ("javascript", "c"):
        found: Command = request.getfixturevalue(kind)
        return found
    if kind == "blocking":
        return lambda address: [*MODULE, "tests.clients.python.blocking_client", address]
    return lambda address: [*MODULE, "tests.clients.python.async_client", address, kind]


CLIENTS = ["blocking", "trio", "asyncio", "javascript", "c"]


def execute(command: list[str], commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a client on a scenario."""
    return subprocess.run(
        command,
        input="".join(f"{line}\n" for line in commands),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("command", CLIENTS, indirect=True)
def test_scenario(command: Command, transport: str, short_path: Path) -> None:
    commands, answers = scenario()
    listen = [f"unix://{short_path}/s"] if transport == "unix" else ["tcp://127.0.0.1:0"]
    with running_daemon(short_path / "d", listen=listen, insecure=True) as daemon:
        done = execute(command(daemon.address), commands)
    assert done.stderr == ""
    assert list(zip(commands, done.stdout.splitlines(), strict=False)) == list(
        zip(commands, answers, strict=True)
    )
    assert done.returncode == 0


@pytest.mark.parametrize("command", CLIENTS, indirect=True)
def test_without_a_daemon(command: Command, tmp_path: Path) -> None:
    done = execute(command(f"unix://{tmp_path}/none"), ["connect"])
    assert (done.stdout, done.returncode) == ("", 3)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", CLIENTS, indirect=True)
def test_unknown_commands(command: Command, daemon: Daemon) -> None:
    done = execute(command(daemon.address), ["connect", "dance"])
    assert (done.stdout, done.returncode) == ("connected 1\n", 2)
    assert "dance" in done.stderr


@pytest.mark.parametrize("command", CLIENTS, indirect=True)
def test_a_daemon_that_dies(command: Command, short_path: Path) -> None:
    with running_daemon(short_path / "d", listen=[f"unix://{short_path}/s"]) as daemon:
        client = subprocess.Popen(
            command(daemon.address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        with client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write("connect\nstart sleep|1000\nwait\n")
            client.stdin.flush()
            assert client.stdout.readline() == "connected 1\n"
            assert client.stdout.readline() == "started\n"
            daemon.kill()
            assert client.wait(TIMEOUT) == 3


def test_the_foreign_clients_are_small() -> None:
    """The point of a written protocol: little is needed to speak it."""
    lines = (HERE / "javascript" / "client.mjs").read_text().splitlines()
    assert len(lines) <= 200
    assert max(map(len, lines)) <= 100
    json.loads((HERE / "javascript" / "package.json").read_text())
