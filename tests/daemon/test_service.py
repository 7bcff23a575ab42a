"""What a service manager hears, and what a reload changes."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from procnursery.client.blocking import Connection, connect
from procnursery.daemon.config import Config, ConfigSource
from procnursery.daemon.reload import FIXED
from procnursery.daemon.units import UnitError, quoted, unit_text
from procnursery.protocol.messages import EventParams, EventsLostParams
from tests.daemon.service import running_service
from tests.daemons import eventually, running_daemon

ROOT = Path(__file__).parents[2]


def arguments(short_path: Path, config: str = "") -> list[str]:
    (short_path / "daemon.toml").write_text(config)
    return ["--listen", f"unix://{short_path}/s", "--config", f"{short_path}/daemon.toml"]


@pytest.mark.parametrize("abstract", [False, True])
def test_the_life_of_a_service(short_path: Path, abstract: bool) -> None:
    with running_service(short_path, arguments(short_path), abstract=abstract) as service:
        ready = service.said[0]
        assert ready["MAINPID"] == str(service.pid)
        assert f"unix://{short_path}/s" in ready["STATUS"]
        connect(f"unix://{short_path}/s").close()  # no attempt fails any more
        before = time.monotonic_ns() // 1000
        assert service.reload()["STATUS"] == ready["STATUS"]
        reloading = service.said[1]
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        service.stop()
        assert [next(iter(one)) for one in service.said] == [
            *("READY", "RELOADING", "READY", "STOPPING")
        ]
        # shutdown_grace, and time for what follows it
        assert int(service.said[-1]["EXTEND_TIMEOUT_USEC"]) > 10_000_000


@pytest.mark.parametrize("address", ["/no/such/socket", "vsock:2:1", "@no-such-name"])
def test_a_deaf_service_manager_is_no_reason_to_fail(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with running_daemon(short_path / "d") as daemon:
        with connect(daemon.address) as client:
            client.ping()
        eventually(lambda: "cannot be told" in daemon.read_log(), "the log tells it")
        assert address in daemon.read_log()


def test_a_reload_takes_what_it_can(short_path: Path) -> None:
    argv = arguments(short_path, "keep_closed = 10\n")
    config, path = short_path / "daemon.toml", short_path / "s"
    with running_service(short_path, argv) as service, connect(f"unix://{path}") as old:
        for _ in range(4):
            old.run(["true"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        config.write_text(
            "keep_closed = 2\nkeep_events = 1\n"
            'max_requests = 77\nfile_threads = 2\nallow_users = ["nobody"]\n'
            'log_format = "json"\nlog_level = "debug"\nshutdown_grace = 3\ncontainment = "session"'
        )
        service.reload()
        assert [one.id for one in old.list()] == ["p3", "p4"]
        with old.events(after=0) as told:
            assert isinstance(next(told), EventsLostParams)
            assert isinstance(next(told), EventParams)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert old.hello.limits.max_requests == 128
        with connect(f"unix://{path}") as new:
            assert new.hello.limits.max_requests == 77
        eventually(lambda: '"message": "connected"' in service.read_log(), "debug, in JSON")
        assert '"options": "containment"' in service.read_log()
        assert '"changed": "allow_users,' in service.read_log()

        config.write_text('keep_closed = 2\nlog_level = "info"\ncontainment = "session"\n')
        service.reload()
        need = "options that need a restart keep their previous values"
        rows = [row for row in service.read_log().splitlines() if need in row]
        assert len(rows) == 2, "also when it is not new"
        assert rows[1].endswith("options=containment")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with connect(f"unix://{path}") as new:
            assert new.hello.limits.max_requests == 128


def test_a_reload_changes_the_last_grace(short_path: Path) -> None:
    argv = arguments(short_path, "shutdown_grace = 86400\n")
    with running_service(short_path, argv) as service:
        with connect(f"unix://{short_path}/s") as client:
            start_stubborn(client)
        (short_path / "daemon.toml").write_text("shutdown_grace = 0\n")
        service.reload()
        service.stop()


def start_stubborn(client: Connection) -> None:
    """Start a program that outlives this client, and everything short of SIGKILL."""
    argv = ["sh", "-c", "trap '' TERM; exec sleep 1000"]
    process = client.start(argv, grace=86_400.0, on_disconnect="keep")
    eventually(lambda: _ignores_term(process.pid), "SIGTERM is ignored")


def _ignores_term(pid: int | None) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) & 1 << (signal.SIGTERM - 1))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("keep_closed = -1\n", "between"),
        ("keep_closde = 1\n", "keep_closde"),
        ("= = =\n", "not TOML"),
        ('allow_users = ["no-such-user"]\n', "no-such-user"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_file_changes_nothing(short_path: Path, wrong: str | None, complaint: str) -> None:
    argv = arguments(short_path, "max_requests = 77\n")
    config = short_path / "daemon.toml"
    with running_service(short_path, argv) as service:
        if wrong is None:
            config.unlink()
        else:
            config.write_text("max_requests = 5\n" + wrong)
        status = service.reload()["STATUS"]
        assert "The last reload failed" in status
        assert complaint in status
        assert "error not reloaded" in service.read_log()
        assert complaint in service.read_log()
        with connect(f"unix://{short_path}/s") as client:
            assert client.hello.limits.max_requests == 77
        config.write_text("max_requests = 6\n")
        assert "failed" not in service.reload()["STATUS"]
        with connect(f"unix://{short_path}/s") as client:
            assert client.hello.limits.max_requests == 6


def test_a_reload_without_a_file(short_path: Path) -> None:
    if os.geteuid() == 0 and Path("/etc/procnursery/daemon.toml").exists():
        pytest.skip("this machine has a configuration of procnurseryd")
    with running_service(short_path, ["--listen", f"unix://{short_path}/s"]) as service:
        service.reload()
        assert "there is no configuration file" in service.read_log()


def test_a_default_file_may_come_later(tmp_path: Path) -> None:
    default = tmp_path / "daemon.toml"
    source = ConfigSource(default=default, overrides={"max_frame": 100_000})
    assert source.find() is None
    assert source.load(None).max_frame == 100_000
    default.write_text("max_frame = 200000\nmax_requests = 3\n")
    assert source.find() == default
    config = source.load(default)
    assert (config.max_frame, config.max_requests) == (100_000, 3)
    named = ConfigSource(named=tmp_path / "named", default=default)
    assert named.find() == tmp_path / "named"


def test_sighup_does_not_end_a_daemon_that_stops(short_path: Path) -> None:
    argv = arguments(short_path, "shutdown_grace = 86400\n")
    with running_service(short_path, argv) as service:
        with connect(f"unix://{short_path}/s") as client:
            start_stubborn(client)
        service.process.send_signal(signal.SIGTERM)
        stopping = service.hear()
        assert stopping["STATUS"] == "Stopping 1 programs within 86400 s"
        service.process.send_signal(signal.SIGHUP)
        eventually(lambda: "not reloaded" in service.read_log(), "SIGHUP has come")
        service.process.send_signal(signal.SIGTERM)  # without grace
        assert service.process.wait(30) == 0


def test_every_option_tells_whether_a_reload_takes_it() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    told = {cells[0].split("`")[1]: cells[2] for cells in rows}
    assert {name for name, when in told.items() if when == "restart"} == set(FIXED)
    assert set(told.values()) == {"restart", "yes", "new connections"}
    assert set(FIXED) < {field.name for field in attrs.fields(Config)}


@pytest.mark.parametrize("user", [False, True])
def test_systemd_accepts_the_units(short_path: Path, user: bool) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    if not os.access("/bin/kill", os.X_OK):
        pytest.skip("/bin/kill, which the units execute, is not installed")
    paths = []
    for kind in ("service", "socket"):
        command = [sys.executable, "-P", "-m", "procnursery.daemon", "--print-unit", kind]
        done = subprocess.run(
            command + ["--user"] * user, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        paths.append(short_path / f"procnurseryd.{kind}")
        paths[-1].write_text(done.stdout)
    manager = ["--user"] if user else []
    done = subprocess.run(
        [analyze, *manager, "verify", "--man=no", *map(str, paths)],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(short_path)},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_units_start_this_installation(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = short_path / "a directory" / "procnurseryd"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert f'\nExecStart="{script}"\n' in unit_text("service", user=False)
    assert f'\nExecStart="{script}"\n' in unit_text("service", user=True)
    assert "ExecStart" not in unit_text("socket", user=False)


def test_paths_in_units() -> None:
    assert quoted("/usr/bin/x") == "/usr/bin/x"
    assert quoted("/opt/100%/$x") == "/opt/100%%/$x"
    assert quoted('/a b/"c\\') == '"/a b/\\"c\\\\"'
    for impossible in ("/a\nb", "/\udcff"):
        with pytest.raises(UnitError, match="cannot be written"):
            quoted(impossible)


def test_user_goes_with_print_unit() -> None:
    command = [sys.executable, "-P", "-m", "procnursery.daemon", "--user"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--print-unit" in done.stderr
