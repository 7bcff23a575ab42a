"""Every way in which a start fails, with its stage and errno, on a live daemon."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procnursery.client.blocking import Connection, connect
from procnursery.errors import RequestError, StartFailed
from procnursery.model import IoNice, Scheduler
from tests.daemons import NOBODY, Daemon, running_daemon, why_no_other_user

Make = Callable[[Path], tuple[list[Any], dict[str, Any]]]


@pytest.fixture
def connection(daemon: Daemon) -> Iterator[Connection]:
    with connect(daemon.address) as made:
        yield made


def _script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def _busy(path: Path) -> tuple[list[Any], dict[str, Any]]:
    """A program that is open for writing; the descriptor lives as long as the test process."""
    target = path / "busy"
    target.write_bytes(Path("/bin/true").read_bytes())
    target.chmod(0o755)
    os.open(target, os.O_WRONLY)
    return [str(target)], {}


def _noexec(path: Path) -> tuple[list[Any], dict[str, Any]]:
    broken = path / "broken"
    broken.write_bytes(b"\x7fELF\x02nonsense")
    broken.chmod(0o755)
    return [str(broken)], {}


CASES: dict[str, tuple[Make, str, str | None]] = {
    "missing file": (lambda _: (["/no/such/file"], {}), "exec", "ENOENT"),
    "missing command": (lambda _: (["no-such-command-anywhere"], {}), "exec", "ENOENT"),
    "empty command": (lambda _: ([""], {}), "exec", "ENOENT"),
    "not executable": (lambda p: ([_script(p / "x", "", 0o644)], {}), "exec", "EACCES"),
    "directory": (lambda _: (["/"], {}), "exec", "EACCES"),
    "below a file": (lambda _: (["/etc/passwd/x"], {}), "exec", "ENOTDIR"),
    "no format": (_noexec, "exec", "ENOEXEC"),
    "no shebang": (lambda p: ([_script(p / "x", "echo hello\n")], {}), "exec", "ENOEXEC"),
    "missing interpreter": (
        lambda p: ([_script(p / "x", "#!/no/such/interpreter\n")], {}),
        "exec",
        "ENOENT",
    ),
    "busy": (_busy, "exec", "ETXTBSY"),
    "long argument": (lambda _: (["true", "x" * 131_072], {}), "exec", "E2BIG"),
    "too much": (lambda _: (["true", *["x" * 100_000] * 70], {}), "exec", "E2BIG"),
    "long name": (lambda _: (["/" + "x" * 300], {}), "exec", "ENAMETOOLONG"),
    "executable missing": (lambda _: (["true"], {"executable": "/no/such"}), "exec", "ENOENT"),
    "cwd missing": (lambda _: (["true"], {"cwd": "/no/such"}), "cwd", "ENOENT"),
    "cwd a file": (lambda _: (["true"], {"cwd": "/etc/passwd"}), "cwd", "ENOTDIR"),
    "user unknown": (lambda _: (["true"], {"user": "no-such-user"}), "user", None),
    "group unknown": (lambda _: (["true"], {"group": "no-such-group"}), "group", None),
    "extra group unknown": (lambda _: (["true"], {"groups": ["no-such-group"]}), "groups", None),
    "stdin missing": (lambda p: (["true"], {"stdin": p / "none"}), "stdin", "ENOENT"),
    "stdin a directory": (lambda p: (["true"], {"stdout": p}), "stdout", "EISDIR"),
    "stdout nowhere": (lambda p: (["true"], {"stdout": p / "a" / "b"}), "stdout", "ENOENT"),
    "stderr nowhere": (lambda p: (["true"], {"stderr": p / "a" / "b"}), "stderr", "ENOENT"),
    "no such CPU": (lambda _: (["true"], {"affinity": [8191]}), "affinity", "EINVAL"),
}


@pytest.mark.parametrize(("make", "stage", "errno"), CASES.values(), ids=CASES.keys())
def test_failed_start(
    connection: Connection, tmp_path: Path, make: Make, stage: str, errno: str | None
) -> None:
    argv, options = make(tmp_path)
    with pytest.raises(StartFailed) as caught:
        connection.start(argv, **options)
    failure = caught.value
    assert failure.data.get("errno") == errno
    assert failure.stage in (stage, "group" if stage == "groups" else stage)
    assert failure.executed == "no"
    assert str(failure)
    assert connection.list() == []


def test_permissions_of_another_user(connection: Connection, tmp_path: Path) -> None:
    """Files are opened as the target user, not as the daemon."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    tmp_path.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"stdin": secret}, "stdin"),
        ({"stdout": secret}, "stdout"),
        ({"cwd": closed}, "cwd"),
    )
    for options, stage in cases:
        with pytest.raises(StartFailed) as caught:
            connection.start(["true"], **({"user": "nobody", "cwd": "/"} | options))
        assert (caught.value.stage, caught.value.data["errno"]) == (stage, "EACCES")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() == "x"


def test_forbidden_settings(connection: Connection) -> None:
    """A limit above what the kernel allows anybody, beside one that it does not mind."""
    with pytest.raises(RequestError) as caught:
        connection.start(["true"], rlimits={"core": (0, 0), "nofile": (1 << 40, 1 << 40)})
    assert caught.value.data == {"stage": "rlimits", "errno": "EPERM", "errno_number": 1}
    most = Path("/proc/sys/fs/nr_open").read_text().strip()
    assert f"nofile: the hard limit cannot be {1 << 40}" in str(caught.value)
    assert f"allows {most} at most" in str(caught.value)


def test_forbidden_cpus(connection: Connection) -> None:
    """One that the machine has, and some that it has not."""
    present = min(os.sched_getaffinity(0))
    with pytest.raises(StartFailed, match=r"affinity: EINVAL \(CPU 8190 may not be used") as caught:
        connection.start(["true"], affinity=[present, 8190])
    assert caught.value.data["errno"] == "EINVAL"
    with pytest.raises(StartFailed, match="CPUs 8188,8190-8191 may not be used"):
        connection.start(["true"], affinity=[8188, 8190, 8191])


NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
FORBIDDEN: dict[str, tuple[dict[str, Any], str]] = {
    "uid": ({"user": "root", "group": NOBODY, "groups": []}, "only root can change user"),
    "gid": ({"group": 0}, "only root can change user or groups"),
    "groups": ({"groups": [0]}, "only root can change user or groups"),
    "rlimits": (
        {"rlimits": {"core": (0, 0), "nofile": (NOFILE, NOFILE + 1)}},
        "nofile: the hard limit ",
    ),
    "nice": ({"nice": -3}, "-3 needs root"),
    "scheduler": (
        {"scheduler": Scheduler(policy="fifo", priority=3)},
        "fifo with priority 3 needs root",
    ),
    "ionice": ({"ionice": IoNice(class_="realtime")}, "class realtime needs root"),
    "oom_score_adj": ({"oom_score_adj": -999}, "lowering it to -999 needs root"),
}


def test_what_only_root_may(short_path: Path) -> None:
    """An unprivileged daemon names the setting and what it would take."""
    if (reason := why_no_other_user()) is not None:
        pytest.skip(reason)
    with (
        running_daemon(short_path / "d", user=NOBODY) as daemon,
        connect(daemon.address) as client,
    ):
        for what, (options, words) in FORBIDDEN.items():
            with pytest.raises(StartFailed) as caught:
                client.start(["true"], **({"cwd": "/"} | options))
            assert f"stage {what}: E" in str(caught.value)
            assert words in str(caught.value)
            assert caught.value.data["errno"] in ("EPERM", "EACCES")


def test_two_megabytes_of_arguments(connection: Connection) -> None:
    """Just within the kernel's limit (a quarter of an 8 MiB stack) every byte arrives."""
    if os.sysconf("SC_ARG_MAX") < 2_097_152:
        pytest.skip("the stack limit of this machine allows less")
    words = [b"\xff" * 100_000] * 20
    result = connection.run(["sh", "-c", 'printf %s "$@" | sha256sum', "sh", *words])
    wanted = subprocess.run(
        ["sha256sum"], input=b"".join(words), capture_output=True, check=True
    ).stdout
    assert result.stdout == wanted


def test_fifo_that_never_opens(connection: Connection, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for name in ("stdin", "stdout"):
        options: dict[str, Any] = {name: fifo}
        with pytest.raises(StartFailed) as caught:
            connection.start(["true"], start_timeout=0.2, **options)
        assert caught.value.stage == name
        assert caught.value.data["errno"] == "ETIMEDOUT"
    assert connection.list() == []
    assert connection.info().counts.live == 0
