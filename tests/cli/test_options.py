"""What options mean, what is refused, and what the command says of it."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from procnursery.paths import default_socket, system_socket, user_socket
from tests.cli.command import COMMAND, environment, procnursery, unmeasured
from tests.daemons import NOBODY, Daemon, running_daemon, why_no_other_user

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(params=["local:", "daemon"])
def host(request: pytest.FixtureRequest) -> str:
    """An embedded daemon, and a lasting one."""
    if request.param == "local:":
        return "local:"
    daemon: Daemon = request.getfixturevalue("daemon")
    return daemon.address


def complaint(done: subprocess.CompletedProcess[bytes], status: int = 255) -> str:
    """The one line of a command that failed."""
    assert done.returncode == status, done.stderr
    assert done.stdout == b""
    text = done.stderr.decode()
    assert text.startswith("procnursery: "), text
    assert text.count("\n") == 1, text
    return text


# Refusals


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--timeout", "nan"], "--timeout.*not between 0 and"),
        (["run", "--timeout", "inf"], "--timeout.*not between 0 and"),
        (["run", "--timeout", "-1"], "--timeout.*not between 0 and"),
        (["run", "--timeout", "1s"], "--timeout.*'1s' is no number of seconds"),
        (["run", "--grace", "nan"], "--grace.*not between 0 and"),
        (["run", "--nice", "many"], "--nice.*whole number .-20 to 19"),
        (["run", "--nice", "99"], "--nice.*-20 to 19"),
        (["run", "--cwd", ""], "--cwd.*empty"),
        (["run", "--cwd", "x" * 5000], "--cwd.*4095"),
        (["run", "--user", ""], "--user.*empty"),
        (["run", "--user", "9" * 12], "--user.*more than any id"),
        (["run", "--group", ""], "--group.*empty"),
        (["run", "--umask", "8"], "--umask.*octal"),
        (["run", "--umask", "1777"], "--umask.*octal"),
        (["run", "--rlimit", "nosuchlimit=3"], "--rlimit nosuchlimit: is no resource limit"),
        (["run", "--rlimit", "nofile=3:2"], "--rlimit nofile: the soft limit exceeds"),
        (["run", "--env", "=x"], "--env.*has no name"),
        (["run", "--no-such-option"], r"no such option.*\(see procnursery run --help\)"),
        (["start", "--output-mode", "pipe"], "--output-mode"),
    ],
)
def test_refusals_name_the_option(arguments: list[str], expected: str) -> None:
    text = complaint(procnursery(*arguments, "--", "true"))
    assert re.search(expected, text), text
    assert "spec." not in text
    assert "float range" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["stop", "--grace", "nan", "p1"], "--grace"),
        (["logs", "--offset", "x", "p1"], "--offset.*whole number"),
        (["signal", "p1", "SIGNONE"], "SIGNONE"),
        (["signal", "-s", "x", "p1"], "--signal"),
        (["run"], r"ARGV.*\(see procnursery run --help\)"),
        (["no-such-command"], r"no such command.*\(see procnursery --help\)"),
    ],
)
def test_refusals_of_other_commands(daemon: Daemon, arguments: list[str], expected: str) -> None:
    assert re.search(expected, complaint(procnursery(*arguments, host=daemon.address)))


def test_no_arguments_show_the_help() -> None:
    done = subprocess.run(COMMAND, capture_output=True, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (255, b"")
    assert done.stderr.startswith(b"Usage: ")


# The caller's context


def test_the_environment_of_local_is_the_callers() -> None:
    """Python adds LC_CTYPE where the locale is C, PEP 538; a program has to get what was given."""
    for given in (
        {"A": "1"},
        {"LANG": "C"},
        {"LC_CTYPE": "C"},
        {"LC_CTYPE": "xx_YY"},
        {"LC_CTYPE": "C.UTF-8"},
        {"LC_ALL": "C"},
    ):
        done = subprocess.run(
            [*COMMAND, "-H", "local:", "run", "--", "/usr/bin/env", "-0"],
            capture_output=True,
            env=given,
            check=True,
        )
        found = dict(one.split("=", 1) for one in done.stdout.decode().rstrip("\0").split("\0"))
        markers = {found.pop("PROCNURSERY_ID"), found.pop("PROCNURSERY_INSTANCE")}
        assert len(markers) == 2
        assert found == given


def test_the_environment_of_local_from_python() -> None:
    """What a program has changed itself counts; what Python has does not."""
    code = (
        "import os; os.environ['MINE'] = '1'; from procnursery.client.blocking import connect\n"
        "with connect('local:') as c: print(c.run(['/usr/bin/env']).stdout.decode(), end='')"
    )
    done = subprocess.run(
        [COMMAND[0], "-P", "-c", code], capture_output=True, env={"A": "1"}, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("PROCNURSERY_")]
    assert lines == ["A=1", "MINE=1"]


def test_inherited_environment_of_a_daemon(short_path: Path, monkeypatch: Any) -> None:
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    with running_daemon(short_path / "d") as daemon:
        done = procnursery("run", "--inherit-env", "--", "env", host=daemon.address)
    assert b"LC_CTYPE" not in done.stdout


def test_the_umask(daemon: Daemon) -> None:
    def umask(host: str, *options: str) -> bytes:
        done = procnursery("run", *options, "--", "sh", "-c", "umask", host=host, umask=0o077)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert umask("local:") == b"0077\n"
    assert umask(daemon.address) == b"0022\n"
    for host in ("local:", daemon.address):
        assert umask(host, "--umask", "027") == b"0027\n"
        assert umask(host, "--umask", "0") == b"0000\n"
    code = (
        "from procnursery.client.blocking import connect\n"
        "with connect('local:') as c:\n"
        "  for o in ({}, {'umask': 0o27}): print(c.run(['sh', '-c', 'umask'], **o).stdout)"
    )
    done = subprocess.run([COMMAND[0], "-P", "-c", code], capture_output=True, umask=7, check=True)
    assert done.stdout.splitlines() == [rb"b'0007\n'", rb"b'0027\n'"]


@needs_root
def test_the_group(host: str) -> None:
    for group in ("daemon", "1"):
        done = procnursery("run", "--group", group, "--", "id", "-g", host=host)
        assert done.stdout == b"1\n", done.stderr
    text = complaint(procnursery("run", "--group", "nosuch", "--", "true", host=host), 126)
    assert "no group 'nosuch'" in text


@needs_root
def test_a_user_without_an_account_needs_a_group(host: str) -> None:
    arguments = ("--cwd", "/", "--user", "99999")
    text = complaint(procnursery("run", *arguments, "--", "true", host=host), 126)
    assert "--group" in text
    done = procnursery(
        "run", *arguments, "--group", "77", "--", "sh", "-c", "id -u; id -g", host=host
    )
    assert done.stdout == b"99999\n77\n", done.stderr


@needs_root
def test_a_home_directory_that_does_not_exist(daemon: Daemon) -> None:
    name = next((one.pw_name for one in pwd.getpwall() if not Path(one.pw_dir).exists()), None)
    if name is None:
        pytest.skip("every user here has a home directory")
    done = procnursery("run", "--user", name, "--", "pwd", host=daemon.address)
    text = complaint(done, 126)
    assert f"home directory of the user {name!r}" in text
    assert "--cwd" in text
    done = procnursery("run", "--cwd", "/", "--user", name, "--", "pwd", host=daemon.address)
    assert (done.stdout, done.returncode) == (b"/\n", 0)
    done = procnursery("run", "--cwd", "/no/such", "--", "pwd", host=daemon.address)
    assert "home" not in complaint(done, 126)


def test_help_tells_the_whole_environment() -> None:
    for command in ("run", "start"):
        text = procnursery(command, "--help").stdout.decode()
        for word in ("PROCNURSERY_ID", "PROCNURSERY_INSTANCE", "--umask", "--group"):
            assert word in text
    assert "pipe:" not in procnursery("start", "--help").stdout.decode()
    assert "pipe:" in procnursery("run", "--help").stdout.decode()


# Advice


def without_a_daemon(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    if any(path.exists() for path in (system_socket(), user_socket())):
        pytest.skip("a daemon listens on a default socket of this machine")
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, env=environment(**env), check=False
    )


@pytest.mark.parametrize("arguments", [["ping"], ["ps"], ["start", "--", "true"]])
def test_without_a_daemon(arguments: list[str]) -> None:
    text = complaint(without_a_daemon(*arguments))
    assert "answers" in text
    assert f"procnurseryd --listen unix://{default_socket()}" in text
    assert str(user_socket()) in text


def test_info_without_a_daemon_says_so() -> None:
    done = without_a_daemon("info")
    assert (done.stderr, done.returncode) == (b"", 0)
    assert done.stdout.startswith(b"local: a daemon of this command only\n")
    done = without_a_daemon("info", "--json")
    assert json.loads(done.stdout)["counts"]["live"] == 0
    assert b"local: a daemon of this command only" in done.stderr


def test_local_is_pinged_where_it_was_asked_for() -> None:
    assert procnursery("ping").returncode == 0
    done = without_a_daemon("ping", PROCNURSERY_HOST="local:")
    assert done.returncode == 0


def test_advice_for_local() -> None:
    text = complaint(procnursery("start", "--", "true"))
    assert "local: is a daemon of this command only" in text
    assert "answers" not in text


def test_advice_for_tcp(short_path: Path) -> None:
    text = complaint(procnursery("ping", host="tcp://127.0.0.1:1"))
    matched = re.search(r"Start one with: procnurseryd (.*)$", text)
    assert matched is not None
    assert matched[1].split() == ["--insecure", "--listen", "tcp://127.0.0.1:1"]
    # the same command with a port that everybody may use works
    listen = ["tcp://127.0.0.1:0"]
    with running_daemon(short_path / "d", listen=listen, insecure=True) as daemon:
        assert procnursery("ping", host=daemon.address).returncode == 0


AS_NOBODY = """
import difflib, os, sys, traceback  # whatever is needed is imported by one who may read it
import procnursery.cli.info, procnursery.cli.ps
from procnursery.cli.main import main
os.chdir("/")
os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
main(sys.argv[2:])
"""


def test_a_socket_that_is_not_for_this_user(short_path: Path) -> None:
    if (reason := why_no_other_user()) is not None:
        pytest.skip(reason)
    (short_path / "procnursery").mkdir()
    socket = short_path / "procnursery" / "procnursery.sock"
    env = unmeasured(XDG_RUNTIME_DIR=str(short_path))

    def as_nobody(*arguments: str) -> str:
        command = [COMMAND[0], "-P", "-c", AS_NOBODY, str(NOBODY), *arguments]
        return complaint(subprocess.run(command, capture_output=True, env=env, check=False))

    with running_daemon(short_path / "d", listen=[f"unix://{socket}"]) as daemon:
        text = as_nobody("-H", daemon.address, "ping")
        assert "Permission denied" in text
        assert "allow_users" in text
        assert "Start one" not in text
        text = as_nobody("ps")  # the default is no different
        assert f"{daemon.address}: Permission denied; allow_users" in text
    allowing = 'allow_users = ["daemon"]\n'
    with running_daemon(short_path / "e", listen=[f"unix://{socket}"], config=allowing) as daemon:
        assert "allow_users" in as_nobody("-H", daemon.address, "ping")


def test_instants_and_lists_are_for_people(daemon: Daemon) -> None:
    done = procnursery(
        *("start", "--umask", "027", "--env", "A=b c", "--rlimit", "nofile=100:200"),
        *("--", "sh", "-c", "exit 3"),
        host=daemon.address,
    )
    started = done.stdout.decode().strip()
    assert procnursery("wait", started, host=daemon.address).returncode == 3
    for arguments in (["inspect", started], ["info"]):
        text = procnursery(*arguments, host=daemon.address).stdout.decode()
        assert not re.search(r"[\[(]'|', '|\[\d+, \d+\]|: (True|False|None)$", text, re.M), text
        assert re.search(r": 2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$", text, re.M)
    text = procnursery("inspect", started, host=daemon.address).stdout.decode()
    assert "argv: sh -c 'exit 3'\n" in text
    assert "umask: 0027\n" in text
    assert "env: 'A=b c'\n" in text
    assert "nofile: 100:200\n" in text
    assert f"listen: {daemon.address}\n" in procnursery("info", host=daemon.address).stdout.decode()


# Several ids


def test_several_ids(daemon: Daemon) -> None:
    def start(script: str) -> str:
        done = procnursery("start", "--", "sh", "-c", script, host=daemon.address)
        return done.stdout.decode().strip()

    def state(process_id: str) -> str:
        done = procnursery("inspect", "--json", process_id, host=daemon.address)
        found: str = json.loads(done.stdout)["state"]
        return found

    ended = [start(f"exit {status}") for status in (3, 0, 7, 1)]
    assert procnursery("wait", *ended, host=daemon.address).returncode == 7
    assert procnursery("wait", ended[1], host=daemon.address).returncode == 0

    for form in (["{}", "{}", "USR1"], ["{}", "{}", "10"], ["-s", "usr1", "{}", "{}"]):
        ids = iter(two := [start("sleep 1000"), start("sleep 1000")])
        arguments = [next(ids) if word == "{}" else word for word in form]
        done = procnursery("signal", *arguments, host=daemon.address)
        assert (done.stderr, done.returncode) == (b"", 0)
        assert procnursery("wait", *two, host=daemon.address).returncode == 128 + 10
    two = [start("sleep 1000"), start("sleep 1000")]
    for command in ("signal", "stop"):  # nothing happens unless all are known
        done = procnursery(command, *two, "p999", host=daemon.address)
        assert "p999" in complaint(done)
        assert [state(one) for one in two] == ["running", "running"]
    done = procnursery("stop", *two, host=daemon.address)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert [state(one) for one in two] == ["closed", "closed"]
