"""Each mutant is a copy of the daemon with one line changed, which violates one MUST. The
conformance suite must say which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = "6"
"""Seconds that the suite waits for what a mutant may never do."""

MUTANTS = [
    # (MUST, file, text, what it becomes)
    ("PN-2.1-2", "protocol/framing.py", "if size == 0:", "if size < 0:"),
    ("PN-2.1-3", "protocol/framing.py", '"frame_too_large", f"a frame', '"truncated", f"a frame'),
    (
        "PN-2.1-4",
        "protocol/framing.py",
        "if buffer and buffer[0] != 0:",
        "if len(buffer) > 3 and buffer[0] != 0:",
    ),
    (
        "PN-2.1-5",
        "protocol/framing.py",
        "FRAME_BEFORE_HELLO = 65_536",
        "FRAME_BEFORE_HELLO = 65_535",
    ),
    (
        "PN-2.1-7",
        "protocol/connection.py",
        "self.peer_max_frame = hello.params.limits.max_frame",
        "self.peer_max_frame = 2**24 - 1",
    ),
    (
        "PN-2.1-8",
        "protocol/connection.py",
        "if self._ended and self._frames.mid_frame:",
        "if self._ended and not self.state:",
    ),
    ("PN-3.1-2", "protocol/profile.py", "if type(key) is not str:", "if key is str:"),
    ("PN-3.1-3", "protocol/profile.py", "if key in result:", "if key in ():"),
    ("PN-3.1-5", "protocol/profile.py", "if number != number:", "if number is None:"),
    (
        "PN-3.1-6",
        "protocol/profile.py",
        "if not -MAX_INT <= number <= MAX_INT:",
        "if not -MAX_INT - 1 <= number <= MAX_INT + 1:",
    ),
    ("PN-3.1-7", "protocol/profile.py", "MAX_DEPTH = 16", "MAX_DEPTH = 17"),
    ("PN-3.1-8", "protocol/profile.py", "MAX_ELEMENTS = 400_000", "MAX_ELEMENTS = 400_001"),
    (
        "PN-3.2-1",
        "protocol/codec.py",
        "return value.encode()",
        'raise InvalidField("must be bin")',
    ),
    ("PN-3.2-2", "protocol/codec.py", "and value.is_integer():", "and value is None:"),
    ("PN-3.2-3", "protocol/codec.py", "if type(value) is int:", "if isinstance(value, int):"),
    (
        "PN-4.1-1",
        "protocol/envelope.py",
        "return type(value) is int and 0 <= value <= MAX_ID",
        "return type(value) is int",
    ),
    (
        "PN-4.1-4",
        "protocol/connection.py",
        "if message.id in self._outstanding:",
        "if message.id in ():",
    ),
    (
        "PN-4.1-6",
        "protocol/connection.py",
        'self._violation("unexpected_reply", "the daemon',
        'self._violation("bad_envelope", "the daemon',
    ),
    (
        "PN-4.1-7",
        "protocol/connection.py",
        'message.params, tolerant=sender == "to_client")',
        "message.params, tolerant=True)",
    ),
    ("PN-4.1-8", "protocol/connection.py", 'error_info("unknown_method"', 'error_info("not_found"'),
    (
        "PN-5.1-1",
        "protocol/connection.py",
        'HelloRefused(message.id, error, "hello_expected")',
        'HelloRefused(message.id, error, "hello_failed")',
    ),
    (
        "PN-5.1-2",
        "protocol/connection.py",
        'self._violation("hello_expected"',
        'self._violation("bad_envelope"',
    ),
    (
        "PN-5.1-3",
        "protocol/connection.py",
        '_invalid_params(invalid), "hello_failed")',
        '_invalid_params(invalid), "done")',
    ),
    (
        "PN-5.1-5",
        "protocol/connection.py",
        'error_info("hello_repeated"',
        'error_info("unknown_method"',
    ),
    ("PN-5.1-6", "daemon/session.py", 'Closing("hello_timeout"', 'Closing("done"'),
    (
        "PN-7.1-3",
        "daemon/handlers.py",
        '"the stop goes on", executed="yes"',
        '"the stop goes on", executed="no"',
    ),
    (
        "PN-8.1-1",
        "protocol/connection.py",
        "if len(self._outstanding) >= self.limits.max_requests:",
        "if len(self._outstanding) > self.limits.max_requests:",
    ),
    (
        "PN-8.1-2",
        "protocol/connection.py",
        "if self._in_flight + size > max(self.limits.max_in_flight, size):",
        "if self._in_flight < 0:",
    ),
    (
        "PN-8.1-3",
        "daemon/session.py",
        "if len(self.subscriptions) >= limit:",
        "if len(self.subscriptions) > limit:",
    ),
    ("PN-8.1-4", "protocol/connection.py", "if size > self.peer_max_frame:", "if size < 0:"),
    ("PN-9.2-6", "process/run.py", 'errno="ETIMEDOUT"', 'errno="EINTR"'),
    (
        "PN-9.2-8",
        "process/supervisor.py",
        "return self._result(known), True",
        "return self._result(known), False",
    ),
    ("PN-9.2-9", "process/supervisor.py", "if known.spec != spec:", "if known.spec is None:"),
    ("PN-9.2-11", "process/account.py", "values.update(spec.env)", "values.update(spec.env[:1])"),
    ("PN-9.2-12", "spawner/child.py", '("session", os.setsid)', '("session", os.getpid)'),
    ("PN-9.2-13", "spawner/child.py", "os.chdir(self.plan.cwd)", 'os.chdir("/")'),
    ("PN-9.3-6", "daemon/handlers.py", "if params.events:", "if params:"),
    (
        "PN-9.4-1",
        "process/record.py",
        "code=os.WEXITSTATUS(status)",
        "code=os.WEXITSTATUS(status) & 127",
    ),
    (
        "PN-9.4-3",
        "process/record.py",
        "and act.signal == outcome.signal",
        "and act.signal is not None",
    ),
    (
        "PN-9.5-3",
        "daemon/handlers.py",
        'InvalidField(str(error), "signal")',
        'InvalidField(str(error), "id")',
    ),
    ("PN-9.7-1", "process/run.py", "+ self.spec.descendants_grace", "+ 3600"),
    (
        "PN-9.7-3",
        "process/run.py",
        'if self.spec.descendants == "keep" and',
        'if self.spec.descendants == "kept" and',
    ),
    (
        "PN-9.7-4",
        "process/run.py",
        'self.request_stop(cause="timeout", by="daemon")',
        'self.request_stop(cause="requested", by="daemon")',
    ),
    ("PN-9.8-2", "daemon/handlers.py", '"timed_out", f"process', '"not_running", f"process'),
    (
        "PN-9.8-3",
        "daemon/handlers.py",
        "next=page[-1].id if len(chosen) > params.limit else None",
        "next=None",
    ),
    (
        "PN-9.8-7",
        "daemon/handlers.py",
        "info(with_spec=params.spec)",
        "info(with_spec=True)",
    ),
    ("PN-10.1-3", "process/stdin.py", "if offset > self.taken:", "if offset > self.taken + 4096:"),
    ("PN-10.1-7", "process/stdin.py", "if view and self._ended:", "if not view and self._ended:"),
    (
        "PN-11.2-6",
        "daemon/handlers.py",
        "if offset > log.end:",
        "if offset > log.end + 4096:",
    ),
    ("PN-11.2-5", "daemon/handlers.py", '"offset_expired"', '"offset_future"'),
    ("PN-11.3-3", "daemon/subscription.py", "self._credit - self.offset,", "self._credit + 1,"),
    (
        "PN-11.3-4",
        "daemon/subscription.py",
        "if credit > self._credit:",
        "if credit != self._credit:",
    ),
    ("PN-11.3-5", "daemon/subscription.py", "reason=log.eof)", 'reason="abandoned")'),
    ("PN-11.3-8", "daemon/subscription.py", "connection.max_data,", "MAX_DATA,"),
    ("PN-12.1-1", "daemon/session.py", 'cause="disconnect"', 'cause="requested"'),
    (
        "PN-12.2-1",
        "daemon/session.py",
        'self.connection.goodbye("shutting_down", grace=grace)',
        'b""',
    ),
    (
        "PN-12.2-2",
        "daemon/session.py",
        'error_info("shutting_down"',
        'error_info("internal"',
    ),
    ("PN-12.2-4", "spawner/reference.py", "if self._sweeper:", "if not self._sweeper:"),
]


def suite(package: Path, must: str) -> subprocess.CompletedProcess[str]:
    """Run what tests a MUST against the daemon in ``package``."""
    environment = os.environ | {"PYTHONPATH": str(package), "CONFORMANCE_TIMEOUT": PATIENCE}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/conformance", "-q", "--no-header", "-x"),
            *("-p", "no:cacheprovider", "--tb=short", "--transport=unix", f"--must={must}"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that can be changed."""
    shutil.copytree(
        ROOT / "procnursery",
        tmp_path / "procnursery",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "spec" / "schema.json", tmp_path / "procnursery" / "protocol")
    return tmp_path


def test_musts_are_distinct() -> None:
    musts = [must for must, *_ in MUTANTS]
    assert len(set(musts)) == len(musts) >= 30


def test_the_unchanged_daemon_passes(package: Path) -> None:
    done = suite(package, "PN-2.1-2")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("must", "file", "before", "after"), MUTANTS, ids=[mutant[0] for mutant in MUTANTS]
)
def test_mutant(package: Path, must: str, file: str, before: str, after: str) -> None:
    path = package / "procnursery" / file
    text = path.read_text()
    assert text.count(before) == 1, "the mutation must change one place"
    path.write_text(text.replace(before, after))
    done = suite(package, must)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"conformance: {must} is violated" in done.stdout
