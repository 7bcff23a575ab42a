"""Completion, by the function that bash itself calls, and by a bash at a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from procnursery.client.blocking import connect
from tests.cli.command import environment, procnursery
from tests.daemons import DEADLINE, Daemon

BREAKS = " \t\n\"'@><=;|&(:"  # as bash sets COMP_WORDBREAKS


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH where the command is, whatever it was installed as."""
    script = tmp_path / "bin" / "procnursery"
    script.parent.mkdir()
    python = shlex.quote(sys.executable)
    script.write_text(f'#!/bin/sh\nexec {python} -P -m procnursery.cli "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}:{os.environ['PATH']}"


class Bash:
    """Completes lines in a fresh bash without a terminal."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, line: str, **variables: str) -> list[str]:
        """What completes the last word; options of compopt(1) as ``-o NAME``."""
        code = (
            'eval "$(procnursery completion bash)"\n'
            'compopt() { echo "$@"; }\n'  # bash has it only while it completes
            "_procnursery_completion procnursery\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", code],
            env=environment(PATH=self._path, COMP_LINE=line, COMP_WORDBREAKS=BREAKS)
            | {"COMP_POINT": str(len(line))}
            | variables,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()


@pytest.fixture
def bash(path: str) -> Bash:
    return Bash(path)


def test_commands_and_options(bash: Bash) -> None:
    assert bash("procnursery i") == ["inspect", "info"]
    assert {"run", "start", "completion"} <= set(bash("procnursery "))
    assert bash("procnursery --ho") == ["--host"]
    assert bash("procnursery run --inh") == ["--inherit-env"]
    assert bash("procnursery run --output-mode s") == ["spool"]
    assert bash("procnursery completion ") == ["bash", "zsh", "fish"]


def test_what_stands_behind_the_cursor_does_not_matter(bash: Bash) -> None:
    line = "procnursery inf --json"
    assert bash(line, COMP_POINT=str(len("procnursery inf"))) == ["info"]


def test_signals(bash: Bash) -> None:
    assert bash("procnursery signal p1 SIGUSR") == ["SIGUSR1", "SIGUSR2"]
    assert bash("procnursery signal p1 us") == ["USR1", "USR2"]
    assert bash("procnursery stop --signal=SIGTE") == ["SIGTERM"]
    assert "SIGKILL" in bash("procnursery signal p1 ")


def test_files_and_directories_are_left_to_the_shell(bash: Bash) -> None:
    assert bash("procnursery run -- ./pro") == ["-o", "default"]
    assert bash("procnursery start cat fi") == ["-o", "default"]
    assert bash("procnursery run --report re") == ["-o", "default"]
    assert bash("procnursery run --cwd /t") == ["-o", "dirnames"]


def test_addresses(bash: Bash, short_path: Path) -> None:
    (short_path / "sub").mkdir()
    (short_path / "some-file").touch()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(short_path / "socket"))
        # Behind the colon, since bash replaces nothing before it; no blank behind a directory.
        expected = [f"//{short_path}/socket", "-o", "nospace", f"//{short_path}/sub/"]
        for begin in ("-H ", "--host=", "--host "):
            found = bash(f"procnursery {begin}unix://{short_path}/s")
            assert sorted(found) == sorted(expected)
    assert bash("procnursery -H l") == ["local:"]
    assert "unix:///somewhere" in bash("procnursery -H ", PROCNURSERY_HOST="unix:///somewhere")
    assert bash(f"procnursery -H unix://{short_path}/no/such") == []


def test_process_ids(bash: Bash, daemon: Daemon) -> None:
    with connect(daemon.address) as client:
        client.run(["true"])
        process = client.start(["sleep", "1000"])
        for command in ("logs -f", "wait", "inspect --json"):
            assert bash(f"procnursery -H {daemon.address} {command} ") == ["p1", "p2"]
        for command in ("signal", "stop --grace 5", "freeze", "thaw --at +1"):
            assert bash(f"procnursery {command} p", PROCNURSERY_HOST=daemon.address) == ["p2"]
        assert bash(f"procnursery --host={daemon.address} wait 'p") == ["p1", "p2"]
        process.stop()


def test_names(bash: Bash, daemon: Daemon) -> None:
    with connect(daemon.address) as client:
        client.start(["sleep", "1000"], name="server")
        client.start(["sleep", "1000"], name="client", hold=True)
        ask = f"procnursery -H {daemon.address}"
        assert bash(f"{ask} stop ") == ["p1", "server", "p2", "client"]
        assert bash(f"{ask} stop p1 server p") == ["p2"]
        assert bash(f"{ask} release ") == ["p2", "client"]
        assert bash(f"{ask} restart ") == ["server", "client"]
        assert bash(f"{ask} events --json cl") == ["client"]


@pytest.mark.parametrize(
    "address", ["unix:///no/such/socket", "tcp://127.0.0.1:1", "nonsense", "local:"]
)
def test_no_daemon_no_ids_no_errors(bash: Bash, address: str) -> None:
    assert bash(f"procnursery -H {address} wait ") == []


def test_a_daemon_that_does_not_answer(bash: Bash, short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short_path / "s"))
        silent.listen()
        assert bash(f"procnursery -H unix://{short_path}/s wait ") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str, daemon: Daemon) -> None:
    script = procnursery("completion", shell)
    assert script.returncode == 0
    assert f"_PROCNURSERY_COMPLETE={shell}_complete".encode() in script.stdout
    with connect(daemon.address) as client:
        client.run(["true"])
    fish = shell == "fish"
    for words, number, expected in (
        (f"procnursery -H {daemon.address} wait p", 4, b"p1"),
        ("procnursery sta", 1, b"start"),
    ):
        done = procnursery(
            env=environment(
                _PROCNURSERY_COMPLETE=f"{shell}_complete",
                COMP_WORDS=words,
                COMP_CWORD=words.rpartition(" ")[2] if fish else str(number),
            ),
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert re.search(b"(^|[\n,])" + expected + b"\\b", done.stdout)
        assert b"closed: true" in done.stdout or b"Start a program" in done.stdout


@pytest.mark.parametrize("line", ["procnursery ", "procnursery stop --signal SIG"])
def test_completing_imports_little(line: str) -> None:
    done = procnursery(
        env=environment(
            _PROCNURSERY_COMPLETE="bash_complete",
            _PROCNURSERY_LINE=line,
            PYTHONPROFILEIMPORTTIME="1",
        )
    )
    assert done.stdout
    loaded = {row.rpartition("|")[2].strip() for row in done.stderr.decode().splitlines()}
    assert "procnursery.cli.main" in loaded
    for heavy in ("procnursery.client", "procnursery.model", "attr", "msgpack"):
        assert heavy not in loaded


class Terminal:
    """A bash at a terminal of its own."""

    PROMPT = b"<next>"

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._seen = b""

    def wait_for(self, text: bytes) -> bytes:
        """What is shown up to ``text``."""
        deadline = time.monotonic() + DEADLINE
        while text not in self._seen:
            ready, _, _ = select.select([self._fd], [], [], deadline - time.monotonic())
            assert ready, f"bash does not show {text!r}: {self._seen!r}"
            self._seen += os.read(self._fd, 4096)
        shown, _, self._seen = self._seen.partition(text)
        return shown

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())


@contextlib.contextmanager
def bash_at_terminal(path: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    try:
        shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=environment(PATH=path, TERM="dumb", COLUMNS="500")
            | {"PS1": Terminal.PROMPT.decode(), "INPUTRC": "/dev/null", "HISTFILE": "/dev/null"},
        )
    finally:
        os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        shell.kill()
        shell.wait(DEADLINE)
        os.close(ours)


def test_the_tabulator_key(path: str, daemon: Daemon, short_path: Path) -> None:
    with connect(daemon.address) as client, bash_at_terminal(path) as terminal:
        client.run(["true"])
        terminal.wait_for(terminal.PROMPT)
        terminal.type('eval "$(procnursery completion bash)"\n')
        terminal.wait_for(terminal.PROMPT)
        terminal.type(f"procnursery -H unix://{short_path}/\ts pi\t\n")  # the directory d
        terminal.wait_for(b"answered in")
        terminal.wait_for(terminal.PROMPT)
        terminal.type(f"procnursery --host={daemon.address} insp\t--json p\t\n")
        terminal.wait_for(b'"id": "p1"')
