"""What cannot be printed or delivered: the exit status tells it, and nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import COMMAND, environment, procnursery, unmeasured
from tests.daemons import Daemon, running_daemon

FULL = "/dev/full"
ENOSPC = b"ENOSPC"


def shell(
    script: str, *arguments: str, host: str = "local:", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a script of bash in which ``"$@"`` is the command with these arguments."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, "-H", host, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=env or environment(),
        timeout=60,
        check=False,
    )


def one_line(stderr: bytes) -> bytes:
    assert stderr.startswith(b"procnursery: "), stderr
    assert stderr.count(b"\n") == 1, stderr
    return stderr


# Closed descriptors


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        ("<&-", (b"hi\n", b"err\n")),
        (">&-", (b"", b"err\n")),
        ("2>&-", (b"hi\n", b"")),
        ("<&- >&- 2>&-", (b"", b"")),
    ],
)
@pytest.mark.parametrize("lasting", [False, True])
def test_closed_descriptors(
    short_path: Path, closing: str, expected: tuple[bytes, bytes], lasting: bool
) -> None:
    arguments = ("run", "--", "sh", "-c", "echo hi; echo err >&2; cat; exit 5")
    if not lasting:
        done = shell(f'"$@" {closing}', *arguments)
    else:
        with running_daemon(short_path / "d") as daemon:
            done = shell(f'"$@" {closing}', *arguments, host=daemon.address)
            assert "violation" not in daemon.read_log()
    assert (done.stdout, done.stderr, done.returncode) == (*expected, 5)


@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["run", "--help"], ["run", "--x"]])
def test_other_commands_with_closed_descriptors(arguments: list[str]) -> None:
    done = shell('"$@" <&- >&- 2>&-', *arguments)
    assert done.returncode == (255 if "--x" in arguments else 0)


def test_a_daemon_with_closed_descriptors(short_path: Path) -> None:
    """Its log lines go nowhere, and not to whoever connects."""
    script = 'cd "$1" && shift && exec "$@" --ready-fd 9 9>ready <&- >&- 2>&-'
    python = COMMAND[0]
    ready = short_path / "ready"
    os.mkfifo(ready)
    address = f"unix://{short_path}/s"
    arguments = ["--listen", address, "--state-dir", str(short_path / "state")]
    with subprocess.Popen(
        [
            *("bash", "-c", script, "bash", str(short_path)),
            *(python, "-P", "-m", "procnursery.daemon", *arguments),
        ]
    ) as daemon:
        try:
            assert address in ready.read_text()
            for number in (0, 1, 2):
                assert os.readlink(f"/proc/{daemon.pid}/fd/{number}") == "/dev/null"
            done = procnursery("run", "--", "sh", "-c", "cat; exit 5", host=address)
            assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 5)
        finally:
            daemon.terminate()
        assert daemon.wait(30) == 0


# The command's own lines


def test_a_complaint_that_cannot_be_written_changes_nothing() -> None:
    closed = 'exec 3>&1; { "$@" 2>&1 >/dev/null; echo $? >&3; } | true'
    for arguments, status in (
        (("run", "--", "/no/such/file"), 127),
        (("run", "--", "/etc/passwd"), 126),
        (("run", "--timeout", "0.1", "--", "sleep", "60"), 124),
        (("run", "--", "sh", "-c", "kill -SEGV $$"), 139),
        (("run", "--no-such-option"), 255),
        ((), 255),
    ):
        assert shell('"$@" 2>/dev/full', *arguments).returncode == status, arguments
        # whether the reader is gone before or after the line makes no difference
        assert shell(closed, *arguments).stdout == b"%d\n" % status, arguments


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["info"]])
def test_own_output_to_a_full_disk(arguments: list[str]) -> None:
    done = shell('"$@" >/dev/full', *arguments)
    assert done.returncode == 255
    assert ENOSPC in one_line(done.stderr)
    assert shell('"$@" >/dev/full 2>&1', *arguments).returncode == 255


def test_own_output_of_other_commands_to_a_full_disk(daemon: Daemon) -> None:
    started = procnursery("start", "--", "echo", "x", host=daemon.address).stdout.decode().strip()
    assert procnursery("wait", started, host=daemon.address).returncode == 0
    for arguments in (
        ["ps"],
        ["ps", "--json"],
        ["inspect", started],
        ["logs", started],
        ["ping"],
        ["start", "--", "true"],
        ["info", "--json"],
    ):
        done = shell('"$@" >/dev/full', *arguments, host=daemon.address)
        assert done.returncode == 255, arguments
        assert ENOSPC in one_line(done.stderr)


def test_own_output_without_a_reader(daemon: Daemon) -> None:
    # the reader is gone before the command is started
    script = 'exec 3> >(:); wait $!; "$@" >&3'
    for arguments in (["ps"], ["info"], ["--help"]):
        done = shell(script, *arguments, host=daemon.address)
        assert (done.stderr, done.returncode) == (b"", 141), arguments


def test_stdio_without_a_reader(daemon: Daemon) -> None:
    hello = rb"\0\0\0\x27\x94\0\0\xa5hello\x82\xa8protocol\x01\xa6client\x81\xa4name\xa1x"
    script = f"exec 3> >(:); wait $!; printf '{hello.decode()}' | \"$@\" >&3"
    done = shell(script, "stdio", host=daemon.address)
    assert (done.stderr, done.returncode) == (b"", 141)


# The program's output


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize(
    ("program", "size"),
    [("echo hi", 3), ("echo hi; exit 3", 3), ("head -c 300000 /dev/zero", None), ("yes", None)],
)
def test_output_to_a_full_disk(
    daemon: Daemon, tmp_path: Path, program: str, size: int | None, lasting: bool
) -> None:
    report = tmp_path / "r.json"
    done = shell(
        '"$@" >/dev/full',
        *("run", "--report", str(report), "--", "sh", "-c", program),
        host=daemon.address if lasting else "local:",
    )
    assert done.returncode == 255
    line = one_line(done.stderr)
    assert b"stdout cannot be written: ENOSPC" in line
    stream = json.loads(report.read_text())["streams"]["stdout"]
    assert ENOSPC.decode() in stream["error"]
    assert stream["undelivered"] == stream["bytes"] > 0
    assert stream["undelivered"] == (size or stream["bytes"])
    assert f"{stream['undelivered']} bytes of it were not delivered".encode() in line
    assert stream["lost"] == 0


def test_part_of_the_output_is_delivered(tmp_path: Path) -> None:
    """A file size limit, RLIMIT_FSIZE, lets 1000 bytes through: EFBIG for the rest."""
    report = tmp_path / "r.json"
    target = tmp_path / "target"
    done = subprocess.run(
        [
            *("prlimit", "--fsize=100000"),
            *("bash", "-c", 'trap "" XFSZ; exec "$@" >"$0"', str(target)),
            *(*COMMAND, "-H", "local:", "run", "--report", str(report)),
            *("--", "head", "-c", "150000", "/dev/zero"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=unmeasured(),
        check=False,
    )
    assert done.returncode == 255
    assert b"EFBIG" in one_line(done.stderr)
    stream = json.loads(report.read_text())["streams"]["stdout"]
    assert target.stat().st_size == 100_000
    assert stream["bytes"] - stream["undelivered"] == 100_000


def test_errors_to_a_full_disk_while_output_is_fine() -> None:
    done = shell('"$@" 2>/dev/full', "run", "--", "sh", "-c", "echo out; echo err >&2")
    assert done.returncode == 255


def test_a_reader_that_leaves_is_not_complained_about(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    done = shell(
        '"$@" | head -1; exit ${PIPESTATUS[0]}', "run", "--report", str(report), "--", "yes"
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"y\n", b"", 141)
    stream = json.loads(report.read_text())["streams"]["stdout"]
    assert stream["error"] is None
    assert stream["undelivered"] > 0
    assert stream["lost"] == 0


# The report


def test_a_report_to_a_full_disk() -> None:
    done = procnursery("run", "--report", FULL, "--", "echo", "hi")
    assert (done.stdout, done.returncode) == (b"hi\n", 255)
    assert ENOSPC in one_line(done.stderr)
    assert FULL.encode() in done.stderr


def test_a_report_to_stdout() -> None:
    done = procnursery("run", "--report", "-", "--", "sh", "-c", "echo hi; exit 3")
    assert done.returncode == 3
    first, _, rest = done.stdout.partition(b"\n")
    assert first == b"hi"
    assert json.loads(rest)["outcome"]["code"] == 3
    script = '"$@" >/dev/full'
    failed = shell(script, "run", "--report", "-", "--output-mode", "null", "--", "true")
    assert failed.returncode == 255
    assert ENOSPC in one_line(failed.stderr)


def test_a_report_to_the_file_of_stdout(tmp_path: Path) -> None:
    target = tmp_path / "both"
    for name in ("/dev/stdout", str(target)):
        with target.open("wb") as file:
            done = subprocess.run(
                [*COMMAND, "-H", "local:", "run", "--report", name, "--", "echo", "hi"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                env=environment(),
                check=False,
            )
        assert done.returncode == 0
        first, _, rest = target.read_text().partition("\n")
        assert first == "hi"
        assert json.loads(rest)["outcome"]["code"] == 0


# Limits and defects


@pytest.mark.parametrize("limit", [6, 8, 10, 12, 14])
def test_few_descriptors(limit: int) -> None:
    done = shell(f'ulimit -n {limit}; "$@"', "run", "--", "echo", "x", env=unmeasured())
    assert done.returncode == 255
    assert b"EMFILE" in one_line(done.stderr)


def test_few_descriptors_for_a_lasting_daemon(short_path: Path) -> None:
    done = subprocess.run(
        [
            *("prlimit", "--nofile=12", COMMAND[0], "-P", "-m", "procnursery.daemon"),
            *("--listen", f"unix://{short_path}/s", "--state-dir", str(short_path / "state")),
        ],
        capture_output=True,
        env=unmeasured(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"procnurseryd: "), done.stderr
    assert b"EMFILE" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_defect_is_no_status_of_a_program() -> None:
    code = (
        "import procnursery.cli.info as info; from procnursery.cli.main import main\n"
        "def broken(): raise RuntimeError('planted')\n"
        "info.ping.callback = broken; main(['ping'])"
    )
    done = subprocess.run([COMMAND[0], "-P", "-c", code], capture_output=True, check=False)
    assert done.returncode == 255
    assert b"RuntimeError: planted" in done.stderr
