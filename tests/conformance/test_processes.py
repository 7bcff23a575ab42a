"""Section 9: processes."""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Connect, started_again
from tests.conformance.peer import TIMEOUT, Peer
from tests.daemons import Daemon, children_of, eventually, wait_for_fifo

READY = "echo ready; "


def alive(pid: int) -> bool:
    """Whether a process of this machine is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def line(peer: Peer, process: str, stream: str = "stdout") -> bytes:
    """The first line of a process's output, which it writes in one piece."""
    data: bytes = peer.call("output.read", id=process, stream=stream, offset=0, wait=20)["data"]
    return data.split(b"\n")[0]


def start_failure(peer: Peer, *argv: str | bytes, **spec: Any) -> dict[str, Any]:
    """Data of the error of a start that must fail."""
    refusal = peer.refusal("process.start", spec={"argv": list(argv)} | spec)
    assert refusal.code == "start_failed", refusal
    return refusal.data


WRONG_FORMS = [
    ({"stdin": {"mode": "file"}}, "spec.stdin.path"),
    ({"stdin": {"path": "/x"}}, "spec.stdin.path"),
    ({"stdin": {"mode": "file", "path": "/\0"}}, "spec.stdin.path"),
    ({"stdin": {"mode": "bytes"}}, "spec.stdin.data"),
    ({"stdin": {"mode": "pipe", "data": "x"}}, "spec.stdin.data"),
    ({"stdout": {"mode": "stdout"}}, "spec.stdout.mode"),
    ({"stdout": {"mode": "spool", "path": "/x"}}, "spec.stdout.path"),
    ({"stdout": {"mode": "direct", "path": "/\0"}}, "spec.stdout.path"),
    ({"stderr": {"mode": "direct", "append": True}}, "spec.stderr.append"),
    ({"argv": ["a\0b"]}, "spec.argv[0]"),
    ({"executable": "/bin/true\0"}, "spec.executable"),
    ({"cwd": "/\0"}, "spec.cwd"),
    ({"env": [["A", "x\0"]]}, "spec.env[0][1]"),
    ({"env": [["A\0", "x"]]}, "spec.env[0][0]"),
    ({"env": [["A=B", "x"]]}, "spec.env[0][0]"),
    ({"env": [["", "x"]]}, "spec.env[0][0]"),
    ({"rlimits": {"nosuch": [1, 1]}}, "spec.rlimits.nosuch"),
    ({"rlimits": {"nofile": [2, 1]}}, "spec.rlimits.nofile"),
    ({"rlimits": {"nofile": [None, 1]}}, "spec.rlimits.nofile"),
    ({"stop_signal": "SIGNONE"}, "spec.stop_signal"),
    ({"scheduler": {"policy": "fifo"}}, "spec.scheduler.priority"),
    ({"scheduler": {"policy": "rr", "priority": 0}}, "spec.scheduler.priority"),
    ({"scheduler": {"policy": "rr", "priority": 100}}, "spec.scheduler.priority"),
    ({"scheduler": {"policy": "other", "priority": 5}}, "spec.scheduler.priority"),
]


@pytest.mark.spec("PN-9.2-1")
@pytest.mark.parametrize(("fields", "path"), WRONG_FORMS)
def test_form(peer: Peer, fields: dict[str, Any], path: str) -> None:
    refusal = peer.refusal("process.start", spec={"argv": ["true"]} | fields)
    assert (refusal.code, refusal.data["path"]) == ("invalid_params", path)
    assert refusal.data["executed"] == "no"


@pytest.mark.spec("PN-9.2-2")
def test_reply_after_execution(peer: Peer) -> None:
    for _ in range(5):
        result = peer.call("process.start", spec={"argv": ["sleep", "1000"]})
        assert Path(f"/proc/{result['pid']}/comm").read_text() == "sleep\n"
        peer.call("process.stop", id=result["id"], grace=0)


@pytest.mark.spec("PN-9.2-2")
def test_no_execution_after_the_error(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    fifo, trace = tmp_path / "fifo", tmp_path / "trace"
    os.mkfifo(fifo)
    stdin = {"mode": "file", "path": str(fifo)}
    start_failure(peer, "sh", "-c", f"echo ran >{trace}", stdin=stdin, start_timeout=0.3)
    with contextlib.suppress(OSError):  # ENXIO: nobody waits for it
        writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        ends = select.poll()
        ends.register(writing, 0)
        assert ends.poll(TIMEOUT * 1000), "who had waited neither executes its program nor ends"
        os.close(writing)
    assert not trace.exists()


@pytest.mark.spec("PN-9.2-3")
def test_failed_starts(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    wrong, script = tmp_path / "wrong", tmp_path / "script"
    wrong.write_bytes(b"\x7fELF nonsense")
    script.write_text("#!/no/such/interpreter\n")
    for path in (wrong, script):
        path.chmod(0o755)
    cases: list[tuple[list[str], dict[str, Any], str, str | None]] = [
        (["/no/such/file"], {}, "exec", "ENOENT"),
        (["no-such-command"], {}, "exec", "ENOENT"),
        (["/etc/passwd"], {}, "exec", "EACCES"),
        (["/etc"], {}, "exec", "EACCES"),
        ([str(wrong)], {}, "exec", "ENOEXEC"),
        ([str(script)], {}, "exec", "ENOENT"),
        (["true"], {"cwd": "/no/such/directory"}, "cwd", "ENOENT"),
        (["true"], {"cwd": "/etc/passwd"}, "cwd", "ENOTDIR"),
        (["true"], {"user": "no-such-user"}, "user", None),
        (["true"], {"group": "no-such-group"}, "group", None),
        (["true"], {"stdin": {"mode": "file", "path": "/no/such"}}, "stdin", "ENOENT"),
        (["true"], {"stdout": {"mode": "direct", "path": "/no/such/x"}}, "stdout", "ENOENT"),
        (["true"], {"stderr": {"mode": "direct", "path": "/"}}, "stderr", "EISDIR"),
        (["true"], {"affinity": [8191]}, "affinity", "EINVAL"),
    ]
    for argv, spec, stage, errno in cases:
        data = start_failure(peer, *argv, **spec)
        assert (data["stage"], data.get("errno")) == (stage, errno), argv
        assert (data.get("errno_number") is None) == (errno is None)
        assert data["executed"] == "no"


@pytest.mark.spec("PN-9.2-4")
def test_a_failed_start_leaves_nothing(peer: Peer) -> None:
    before = peer.call("process.list", limit=1000)["processes"]
    info = peer.call("daemon.info")
    children = children_of(info["daemon"]["pid"])
    start_failure(peer, "/no/such/file")
    start_failure(peer, "true", cwd="/no/such/directory")
    # Orphans of earlier tests can pass through.
    eventually(lambda: children_of(info["daemon"]["pid"]) <= children, "no child is left", TIMEOUT)
    after = peer.call("process.list", limit=1000)["processes"]
    assert {one["id"] for one in after} <= {one["id"] for one in before}
    assert peer.call("daemon.info")["counts"]["started"] == info["counts"]["started"]


@pytest.mark.spec("PN-9.2-5")
def test_a_child_killed_in_set_up(peer: Peer, tmp_path: Path) -> None:
    """RLIMIT_CPU or AS cannot do it reliably; a kill while it waits for a FIFO can."""
    tmp_path.chmod(0o755)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    number = peer.request(
        "process.start", {"spec": {"argv": ["true"], "stdin": {"mode": "file", "path": str(fifo)}}}
    )
    daemon = peer.call("daemon.info")["daemon"]["pid"]
    os.kill(wait_for_fifo(daemon), 9)
    peer.answered(number)
    error = peer.replies.pop(number)[0]
    assert error["code"] == "start_failed"
    assert error["data"]["signal"] == "SIGKILL"


@pytest.mark.spec("PN-9.2-6")
def test_start_timeout(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    began = time.monotonic()
    data = start_failure(peer, "true", stdin={"mode": "file", "path": str(fifo)}, start_timeout=0.3)
    assert (data["stage"], data["errno"], data["executed"]) == ("stdin", "ETIMEDOUT", "no")
    assert time.monotonic() - began >= 0.3


@pytest.mark.spec("PN-9.2-7")
def test_ids_are_unique(connect: Connect) -> None:
    ids = [connect().start("true") for _ in range(5)]
    peer = connect()
    peer.wait(ids[0])
    peer.call("process.forget", id=ids[0])
    ids += [peer.start("true") for _ in range(5)]
    assert len(set(ids)) == len(ids)


@pytest.mark.spec("PN-9.2-7")
def test_ids_are_not_given_again(mortal: Daemon) -> None:
    peer = Peer(mortal.address)
    ids = [peer.start("true") for _ in range(5)]
    mortal.sigkill()
    peer.close()
    with started_again(mortal) as again:
        peer = Peer(again.address)
        ids += [peer.start("true") for _ in range(5)]
        peer.close()
    assert len(set(ids)) == len(ids)


@pytest.mark.spec("PN-9.2-8")
def test_tokens(connect: Connect) -> None:
    token = os.urandom(8).hex()
    spec = {"argv": ["sleep", "1000"], "on_disconnect": "keep"}
    first = connect().call("process.start", spec=spec, token=token)
    assert not first.get("existing", False)
    peer = connect()
    second = peer.call("process.start", spec=spec, token=token)
    assert (second["id"], second["pid"], second["existing"]) == (first["id"], first["pid"], True)
    peer.call("process.stop", id=first["id"], grace=0)
    third = peer.call("process.start", spec=spec, token=token)
    assert third["id"] == first["id"]
    racing = [
        peer.request("process.start", {"spec": {"argv": ["true"]}, "token": token + "race"})
        for _ in range(8)
    ]
    assert len({peer.answer(number)["id"] for number in racing}) == 1


@pytest.mark.spec("PN-9.2-9")
def test_token_conflict(peer: Peer) -> None:
    token = os.urandom(8).hex()
    peer.call("process.start", spec={"argv": ["true"]}, token=token)
    refusal = peer.refusal("process.start", spec={"argv": ["false"]}, token=token)
    assert (refusal.code, refusal.data["executed"]) == ("token_conflict", "no")


@pytest.mark.spec("PN-9.2-10")
def test_look_up(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "tool").write_text("#!/bin/sh\necho found $0\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "plain").write_text("echo a shell ran me\n")
    (tmp_path / "plain").chmod(0o755)
    env = [["PATH", f"/no/such:{tmp_path}:/usr/bin:/bin"]]
    assert peer.read_all(peer.start("tool", env=env)) == f"found {tmp_path}/tool\n".encode()
    assert start_failure(peer, "tool")["errno"] == "ENOENT"
    assert start_failure(peer, "plain", env=env)["errno"] == "ENOEXEC"
    assert start_failure(peer, "")["errno"] == "ENOENT"
    other = peer.start("anything", "-c", "echo $0", executable="/bin/sh")
    assert peer.read_all(other) == b"anything\n"
    assert start_failure(peer, "x", executable="sh", cwd="/")["errno"] == "ENOENT"


@pytest.mark.spec("PN-9.2-11")
def test_environment(peer: Peer) -> None:
    process = peer.start("env", "-0", env=[["A", "1"], ["B", "2"], ["A", "3"], ["LANG", "C"]])
    entries = peer.read_all(process).rstrip(b"\0").split(b"\0")
    env = dict(entry.split(b"=", 1) for entry in entries)
    assert set(env) == {
        *(b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"A", b"B"),
        *(b"PROCNURSERY_ID", b"PROCNURSERY_INSTANCE"),
    }
    assert len(entries) == len(env)
    assert (env[b"A"], env[b"B"], env[b"LANG"]) == (b"3", b"2", b"C")
    instance = peer.hello["daemon"]["instance"]
    assert env[b"PROCNURSERY_INSTANCE"].decode() == instance
    assert env[b"PROCNURSERY_ID"].decode() == f"{instance}/{process}"
    uid = peer.call("daemon.info")["daemon"]["uid"]
    assert env[b"HOME"].decode() == pwd.getpwuid(uid).pw_dir


@pytest.mark.spec("PN-9.2-12")
def test_clean_slate(peer: Peer) -> None:
    script = (
        "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; "
        "ps -o pid=,pgid=,sid= -p $$ 2>/dev/null || cut -d' ' -f1,5,6 /proc/$$/stat; "
        "ls /proc/$$/fd"
    )
    found = peer.output(script, stdout={"mode": "spool"}).decode().split()
    masks = {found[index]: found[index + 1] for index in (0, 2, 4)}
    assert {int(mask, 16) for name, mask in masks.items() if name != "SigCgt:"} == {0}
    pid, group, session = found[6:9]
    assert pid == group == session
    assert found[9:] == ["0", "1", "2"]


@pytest.mark.spec("PN-9.2-13")
def test_directory(peer: Peer) -> None:
    assert peer.output("pwd", cwd="/usr") == b"/usr\n"
    uid = peer.call("daemon.info")["daemon"]["uid"]
    home = pwd.getpwuid(uid).pw_dir
    assert peer.output("pwd -P") == os.path.realpath(home).encode() + b"\n"
    for relative in (".", ".."):
        wanted = os.path.realpath(os.path.join(home, relative)).encode() + b"\n"
        assert peer.output("pwd -P", cwd=relative) == wanted
    assert start_failure(peer, "true", cwd="no/such")["stage"] == "cwd"


@pytest.mark.spec("PN-9.2-14")
def test_large_arguments(peer: Peer) -> None:
    limit = os.sysconf("SC_ARG_MAX")
    if limit < 2_000_000:
        pytest.skip("this machine's stack limit allows less than 2 MB of arguments")
    process = peer.start("sh", "-c", "echo $#", "sh", *["x" * 100_000] * 20)
    assert peer.read_all(process) == b"20\n"
    data = start_failure(peer, "true", *["x" * 130_000] * 56)
    assert (data["stage"], data["errno"]) == ("exec", "E2BIG")
    data = start_failure(peer, "true", "x" * 131_072)
    assert (data["stage"], data["errno"]) == ("exec", "E2BIG")


# 9.3 events


@pytest.mark.spec("PN-9.3-1")
def test_events(peer: Peer) -> None:
    process = peer.shell("echo x; exit 4")
    peer.event(process, "closed")
    kinds = [kind for kind, _ in peer.events(process)]
    assert sorted(kinds) == ["closed", "eof", "eof", "exited"]
    ends = {one["stream"]: one for kind, one in peer.events(process) if kind == "eof"}
    assert ends["stdout"]["final_offset"] == 2
    assert ends["stderr"]["final_offset"] == 0
    closed = peer.event(process, "closed")["process"]
    assert closed["state"] == "closed"
    assert closed["outcome"]["code"] == 4
    merged = peer.start("true", stderr={"mode": "stdout"})
    nothing = peer.start("true", stdout={"mode": "null"}, stderr={"mode": "null"})
    for one, wanted in ((merged, 1), (nothing, 0)):
        peer.event(one, "closed")
        assert [kind for kind, _ in peer.events(one)].count("eof") == wanted
    held = peer.shell("sleep 1000 & exit 0", descendants="keep")
    peer.event(held, "closed")
    peer.call("process.stop", id=held, grace=0)
    peer.call("ping")
    assert sorted(kind for kind, _ in peer.events(held)) == ["closed", "eof", "eof", "exited"]


@pytest.mark.spec("PN-9.3-2")
def test_reply_before_events(peer: Peer) -> None:
    for _ in range(20):
        number = peer.request("process.start", {"spec": {"argv": ["true"]}})
        process = peer.answer(number)["id"]
        peer.event(process, "closed")
        messages = [
            one for one in peer.order if (one[0] == 1 and one[1] == number) or process in str(one)
        ]
        assert messages[0][0] == 1


@pytest.mark.spec("PN-9.3-3")
def test_closed_is_last(peer: Peer) -> None:
    for script in ("true", "echo x", "sleep 0.2 & true"):
        process = peer.shell(script, descendants="wait")
        peer.event(process, "closed")
        peer.call("ping")
        assert peer.events(process)[-1][0] == "closed"
        assert len(peer.events(process)) == 4


@pytest.mark.spec("PN-9.3-4")
def test_exited_does_not_wait(peer: Peer) -> None:
    process = peer.shell("sleep 1000 & exit 3", descendants="wait")
    assert peer.event(process, "exited")["outcome"]["code"] == 3
    assert peer.get(process)["state"] == "exited"
    assert [kind for kind, _ in peer.events(process)] == ["exited"]
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.3-5")
def test_sequence(peer: Peer) -> None:
    for process in [peer.start("true") for _ in range(10)]:
        peer.event(process, "closed")
    numbers = [params["seq"] for name, params in peer.notes if name.startswith("process.")]
    assert len(numbers) == 40
    assert numbers == sorted(set(numbers))


@pytest.mark.spec("PN-9.3-6")
def test_without_events(peer: Peer) -> None:
    process = peer.start("true", events=False)
    peer.wait(process)
    peer.call("ping")
    assert peer.events(process) == []


# 9.4 outcome, cause, usage


@pytest.mark.spec("PN-9.4-1")
@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_exited(peer: Peer, code: int) -> None:
    outcome = peer.wait(peer.shell(f"exit {code}"))["outcome"]
    assert (outcome["kind"], outcome["code"]) == ("exited", code)
    assert outcome.get("signal") is None


@pytest.mark.spec("PN-9.4-2")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGRTMIN+1"])
def test_signalled(peer: Peer, name: str) -> None:
    number = {"SIGRTMIN+1": 35}.get(name) or name.removeprefix("SIG")
    outcome = peer.wait(peer.shell(f"kill -{number} $$"))["outcome"]
    assert (outcome["kind"], outcome["signal"]) == ("signalled", name)
    assert isinstance(outcome["core_dumped"], bool)
    if name in ("SIGKILL", "SIGTERM"):
        assert not outcome["core_dumped"]
    assert outcome.get("code") is None


@pytest.mark.spec("PN-9.4-2")
def test_core_dumped(peer: Peer, tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    if pattern.startswith(("|", "/")):
        pytest.skip("this machine puts cores where the test does not see them")
    tmp_path.chmod(0o777)
    for number, limit in (("KILL", "unlimited"), ("QUIT", "0"), ("QUIT", "unlimited")):
        process = peer.shell(f"ulimit -c {limit}; kill -{number} $$", cwd=str(tmp_path))
        outcome = peer.wait(process)["outcome"]
        assert (outcome["kind"], outcome["signal"]) == ("signalled", "SIG" + number)
        assert outcome["core_dumped"] == any(tmp_path.iterdir())


@pytest.mark.spec("PN-9.4-3")
def test_cause(peer: Peer) -> None:
    assert peer.wait(peer.shell("kill -TERM $$"))["cause"] == "own"
    stopped = peer.start("sleep", "1000")
    assert peer.call("process.stop", id=stopped)["process"]["cause"] == "requested"
    timed = peer.wait(peer.start("sleep", "1000", timeout=0.1))
    assert (timed["cause"], timed["outcome"]["signal"]) == ("timeout", "SIGTERM")
    catching = peer.shell("trap 'exit 0' TERM; " + READY + "while :; do sleep 0.02; done")
    line(peer, catching)
    found = peer.call("process.stop", id=catching)["process"]
    assert (found["outcome"]["kind"], found["cause"]) == ("exited", "own")
    other = peer.shell("trap 'kill -KILL $$' USR1; " + READY + "while :; do sleep 0.02; done")
    line(peer, other)
    peer.call("process.signal", id=other, signal="SIGUSR1")
    found = peer.wait(other)
    assert (found["outcome"]["signal"], found["cause"]) == ("SIGKILL", "own")


@pytest.mark.spec("PN-9.4-4")
def test_acts(peer: Peer) -> None:
    process = peer.shell("trap : USR1; trap '' TERM; " + READY + "while :; do sleep 0.02; done")
    line(peer, process)
    peer.call("process.signal", id=process, signal="SIGUSR1")
    peer.call("process.stop", id=process, grace=0.2)
    found = peer.get(process)
    acts = [(act["act"], act["signal"], act["target"], act["cause"]) for act in found["acts"]]
    assert acts[:2] == [
        ("signal", "SIGUSR1", "main", "requested"),
        ("stop", "SIGTERM", "tree", "requested"),
    ]
    assert acts[2] == ("kill", "SIGKILL", "tree", "requested")
    for act in found["acts"]:
        assert act["requested"]["monotonic"] <= act["delivered"]["monotonic"]
        assert act["by"] == peer.hello["peer"]


@pytest.mark.spec("PN-9.4-4")
def test_many_acts(peer: Peer) -> None:
    process = peer.shell("trap : USR1 USR2; " + READY + "while :; do sleep 0.02; done")
    line(peer, process)
    for name in (*["SIGUSR1"] * 40, *["SIGUSR2"] * 40):
        peer.call("process.signal", id=process, signal=name)
    signals = [act["signal"] for act in peer.get(process)["acts"]]
    assert signals == ["SIGUSR1"] * 24 + ["SIGUSR2"] * 40


@pytest.mark.spec("PN-9.4-5")
def test_usage(peer: Peer) -> None:
    script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    busy = peer.wait(peer.shell(script))["usage"]
    assert busy["user_s"] + busy["system_s"] > 0.05
    waited = peer.wait(peer.shell(f"({script}) & wait"))["usage"]
    assert waited["user_s"] + waited["system_s"] > 0.05
    idle = peer.wait(peer.start("sleep", "0.3"))["usage"]
    assert idle["user_s"] + idle["system_s"] < 0.05
    assert idle["max_rss_bytes"] > 100_000


# 9.5 signals


def words_of(peer: Peer, process: str, count: int) -> list[bytes]:
    """What a process has written, once it has written so many words."""
    read = {"id": process, "stream": "stdout", "offset": 0}
    words: list[bytes] = []

    def enough() -> bool:
        words[:] = peer.call("output.read", read)["data"].split()
        return len(words) >= count

    eventually(enough, f"{count} words", TIMEOUT)
    return words


@pytest.mark.spec("PN-9.5-1")
def test_targets(peer: Peer) -> None:
    """The main process has a child in its group and one in a session of its own. A shell runs
    the trap of SIGUSR1 before that of SIGUSR2, so the latter shows who did not get the former."""
    child = (
        "trap 'echo {0}; exit' USR1; trap 'echo spared; exit' USR2; "
        "echo up; while :; do sleep 0.02; done"
    )
    script = (
        f'sh -c "{child.format("grouped")}" & '
        f'setsid sh -c "{child.format("apart")}" & '
        "trap 'echo main' USR1; trap : USR2; echo up; while :; do sleep 0.02; done"
    )
    for target, wanted in (
        ("main", {b"main", b"spared"}),
        ("group", {b"main", b"grouped", b"spared"}),
        ("tree", {b"main", b"grouped", b"apart"}),
    ):
        process = peer.shell(script, descendants="wait")
        words_of(peer, process, 3)
        result = peer.call("process.signal", id=process, signal="SIGUSR1", target=target)
        assert result["count"] >= (3 if target == "tree" else 1)
        words_of(peer, process, 4)
        peer.call("process.signal", id=process, signal="SIGUSR2", target="tree")
        words = words_of(peer, process, 6)
        assert set(words) - {b"up"} == wanted, target
        peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.5-2")
def test_signal_after_the_end(peer: Peer) -> None:
    """Also while descendants, which a signal could reach, are alive."""
    process = peer.shell("sleep 1000 & exit 0", descendants="wait")
    peer.wait(process, until="exited")
    closed = peer.start("true")
    peer.wait(closed)
    for identifier in (process, closed):
        for target in ("main", "group", "tree"):
            refusal = peer.refusal("process.signal", id=identifier, signal="SIGTERM", target=target)
            assert (refusal.code, refusal.data["executed"]) == ("not_running", "no")
    assert peer.get(process)["state"] == "exited"
    peer.call("process.stop", id=process, grace=0)


@pytest.mark.spec("PN-9.5-3")
def test_unknown_signals(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    for name in ("SIGNONE", "SIGRTMIN+99", "SIG0"):
        refusal = peer.refusal("process.signal", id=process, signal=name)
        assert (refusal.code, refusal.data["path"]) == ("invalid_params", "signal")
    assert peer.get(process)["state"] == "running"


# 9.6 stop


def with_stubborn_descendant(peer: Peer) -> tuple[str, int]:
    """(a process that ends at SIGTERM, the pid of its descendant that does not)"""
    inner = "trap '' TERM; echo $$; while :; do sleep 0.02; done"
    process = peer.start("sh", "-c", 'sh -c "$0" & wait', inner)
    return process, int(line(peer, process))


@pytest.mark.spec("PN-9.6-1")
def test_stop_is_answered_at_the_end(peer: Peer) -> None:
    process = peer.shell("trap 'sleep 0.3; exit 0' TERM; " + READY + "while :; do sleep 0.02; done")
    line(peer, process)
    found = peer.call("process.stop", id=process)["process"]
    assert found["state"] == "closed"
    assert found["tree"]["verdict"] == "empty"
    process, pid = with_stubborn_descendant(peer)
    found = peer.call("process.stop", id=process, grace=0.3)["process"]
    assert not alive(pid)
    assert found["state"] == "closed"
    assert found["tree"]["verdict"] == "empty"


@pytest.mark.spec("PN-9.6-2")
def test_ladder(peer: Peer) -> None:
    script = "trap 'echo int' INT; trap 'echo term' TERM; " + READY + "while :; do sleep 0.02; done"
    for spec, params, wanted in (
        ({}, {"grace": 0.3}, b"ready\nterm\n"),
        ({"stop_signal": "SIGINT", "grace": 0.3}, {}, b"ready\nint\n"),
        ({"stop_signal": "SIGINT"}, {"signal": "SIGTERM", "grace": 0.3}, b"ready\nterm\n"),
    ):
        process = peer.shell(script, **spec)
        line(peer, process)
        began = time.monotonic()
        found = peer.call("process.stop", {"id": process} | params)["process"]
        assert time.monotonic() - began >= 0.3
        assert found["outcome"]["signal"] == "SIGKILL"
        assert peer.read_all(process) == wanted


@pytest.mark.spec("PN-9.6-3")
def test_stop_reaches_everyone(peer: Peer) -> None:
    inner = "trap '' TERM HUP; echo $$; while :; do sleep 0.02; done"
    script = (
        f'setsid sh -c "{inner}" & (setsid sh -c "{inner}" &) ; (sh -c "{inner}" &) ; wait'
    ).replace("$$", "\\$\\$")
    process = peer.shell(script)
    data = b""
    while data.count(b"\n") < 3:
        data = peer.call("output.read", id=process, stream="stdout", offset=0)["data"]
    pids = [int(text) for text in data.split()]
    assert all(alive(pid) for pid in pids)
    found = peer.call("process.stop", id=process, grace=0.2)["process"]
    assert not any(alive(pid) for pid in pids)
    assert found["tree"]["verdict"] == "empty"
    assert found["tree"]["killed"] >= 3


@pytest.mark.spec("PN-9.6-4")
def test_stop_after_the_end(peer: Peer) -> None:
    process = peer.shell("exit 3")
    peer.wait(process)
    found = peer.call("process.stop", id=process)["process"]
    assert (found["state"], found["outcome"]["code"]) == ("closed", 3)
    assert found.get("acts", []) == []


@pytest.mark.spec("PN-9.6-5")
def test_second_stop(peer: Peer) -> None:
    script = "trap 'echo term' TERM; " + READY + "while :; do sleep 0.02; done"
    process = peer.shell(script)
    line(peer, process)
    first = peer.request("process.stop", {"id": process, "grace": 600})
    longer = peer.request("process.stop", {"id": process, "grace": 1200})
    peer.call("ping")
    assert peer.get(process)["state"] == "running"
    began = time.monotonic()
    peer.call("process.stop", id=process, grace=0.3)
    assert time.monotonic() - began < 60
    for number in (first, longer):
        assert peer.answer(number)["process"]["state"] == "closed"
    assert peer.read_all(process) == b"ready\nterm\n"
    assert [act["act"] for act in peer.get(process)["acts"]].count("stop") == 1


@pytest.mark.spec("PN-9.6-5")
def test_second_stop_with_more_grace(peer: Peer) -> None:
    process = peer.shell("trap '' TERM; " + READY + "while :; do sleep 0.02; done")
    line(peer, process)
    first = peer.request("process.stop", {"id": process, "grace": 0.5})
    eventually(lambda: bool(peer.get(process).get("acts")), "the first stop has begun")
    second = peer.request("process.stop", {"id": process, "grace": 600})
    for number in (first, second):
        assert peer.answer(number)["process"]["state"] == "closed"


@pytest.mark.spec("PN-9.6-6")
def test_verdict(peer: Peer) -> None:
    process = peer.shell("(sleep 1000 &); " + READY + "exec sleep 1000")
    line(peer, process)
    assert peer.get(process)["tree"]["verdict"] == "pending"
    found = peer.call("process.stop", id=process)["process"]
    assert found["tree"]["verdict"] == "empty"
    assert found["tree"]["at"]["monotonic"] >= found["times"]["exited"]["monotonic"]
    process, pid = with_stubborn_descendant(peer)
    number = peer.request("process.stop", {"id": process, "grace": 0.5})
    assert peer.event(process, "exited")["outcome"]["signal"] == "SIGTERM"
    found = peer.get(process)["tree"]
    assert found["verdict"] == "pending" or not alive(pid)
    found = peer.answer(number)["process"]["tree"]
    assert found["verdict"] == "empty"
    assert not alive(pid)


# 9.7 descendants and timeout


@pytest.mark.spec("PN-9.7-1")
def test_descendants_are_killed(peer: Peer) -> None:
    process = peer.shell("sleep 1000 & echo $!; exit 0", descendants_grace=0.3)
    pid = int(line(peer, process))
    found = peer.wait(process)
    assert not alive(pid)
    assert found["tree"]["killed"] == 1
    assert found["acts"][0]["cause"] == "descendants"
    waited = found["times"]["closed"]["monotonic"], found["times"]["exited"]["monotonic"]
    seconds = [one[0] + one[1] / 1e9 for one in waited]
    assert seconds[0] - seconds[1] >= 0.29
    kind = peer.wait(peer.shell("(sleep 0.2; echo late) & exit 0", descendants_grace=20))
    assert kind["tree"].get("killed", 0) == 0
    assert kind["streams"]["stdout"]["end"] == 5


@pytest.mark.spec("PN-9.7-2")
def test_descendants_are_waited_for(peer: Peer) -> None:
    process = peer.shell("(sleep 0.5; echo late) & exit 0", descendants="wait", descendants_grace=0)
    found = peer.wait(process)
    assert peer.read_all(process) == b"late\n"
    assert (found["tree"]["verdict"], found["tree"].get("killed", 0)) == ("empty", 0)


@pytest.mark.spec("PN-9.7-3")
def test_descendants_are_kept(peer: Peer) -> None:
    process = peer.shell("sleep 1000 >/dev/null 2>&1 & echo $!; exit 0", descendants="keep")
    pid = int(line(peer, process))
    found = peer.wait(process)
    assert found["tree"]["verdict"] == "kept"
    assert [one["pid"] for one in found["tree"]["survivors"]] == [pid]
    assert alive(pid)
    assert peer.refusal("process.forget", id=process).code == "process_live"
    stopped = peer.call("process.stop", id=process)["process"]
    assert not alive(pid)
    assert stopped["tree"]["verdict"] == "empty"


@pytest.mark.spec("PN-9.7-4")
def test_timeout(peer: Peer) -> None:
    found = peer.wait(peer.start("sleep", "1000", timeout=0.3))
    assert found["acts"][0]["cause"] == "timeout"
    begin, end = found["times"]["exec"]["monotonic"], found["times"]["exited"]["monotonic"]
    assert (end[0] - begin[0]) + (end[1] - begin[1]) / 1e9 >= 0.3
    assert found["outcome"]["signal"] == "SIGTERM"
    assert peer.wait(peer.start("true", timeout=1000)).get("acts", []) == []


# 9.8 wait, list, get, forget


@pytest.mark.spec("PN-9.8-1")
def test_wait(peer: Peer) -> None:
    process = peer.shell("sleep 0.7 & exit 3", descendants="wait")
    exited = peer.wait(process, until="exited")
    assert (exited["state"], exited["outcome"]["code"]) == ("exited", 3)
    closed = peer.wait(process)
    assert closed["state"] == "closed"
    assert peer.wait(process, timeout=0)["state"] == "closed"
    assert peer.wait(process, until="exited", timeout=0)["state"] == "closed"


@pytest.mark.spec("PN-9.8-2")
def test_wait_times_out(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    began = time.monotonic()
    refusal = peer.refusal("process.wait", id=process, timeout=0.3)
    assert time.monotonic() - began >= 0.3
    assert (refusal.code, refusal.data["executed"]) == ("timed_out", "no")
    assert peer.get(process)["state"] == "running"


@pytest.mark.spec("PN-9.8-3")
def test_list(peer: Peer) -> None:
    ids = [peer.start("true") for _ in range(4)]
    for process in ids:
        peer.wait(process)
    live = peer.start("sleep", "1000")
    everything = peer.call("process.list", limit=1000)
    found = [one["id"] for one in everything["processes"]]
    assert [one for one in found if one in [*ids, live]] == [*ids, live]
    assert everything.get("next") is None
    page = peer.call("process.list", after=ids[0], limit=2)
    assert [one["id"] for one in page["processes"]] == ids[1:3]
    assert page["next"] == ids[2]
    page = peer.call("process.list", after=page["next"], limit=2)
    assert [one["id"] for one in page["processes"]] == [ids[3], live]
    assert page.get("next") is None
    running = peer.call("process.list", after=ids[0], states=["running"])["processes"]
    assert [one["id"] for one in running] == [live]


@pytest.mark.spec("PN-9.8-4")
def test_any_connection(connect: Connect) -> None:
    first = connect()
    process = first.shell("trap 'exit 6' USR1; " + READY + "while :; do sleep 0.02; done")
    second = connect()
    assert line(second, process) == b"ready"
    second.call("process.signal", id=process, signal="SIGUSR1")
    assert second.wait(process)["outcome"]["code"] == 6
    assert second.events(process) == []


@pytest.mark.spec("PN-9.8-5")
def test_unknown_ids(peer: Peer) -> None:
    stream = {"stream": "stdout", "offset": 0}
    for method, params in (
        ("process.signal", {"signal": "SIGTERM"}),
        ("process.stop", {}),
        ("process.wait", {}),
        ("process.get", {}),
        ("process.forget", {}),
        ("stdin.write", {"offset": 0, "data": b""}),
        ("stdin.close", {}),
        ("output.read", stream),
        ("output.subscribe", stream | {"credit": 0}),
    ):
        refusal = peer.refusal(method, {"id": "nobody"} | params)
        assert (refusal.code, refusal.data["executed"]) == ("not_found", "no"), method
    assert peer.refusal("process.list", after="nobody").code == "not_found"
    assert peer.refusal("output.unsubscribe", subscription=77).code == "not_found"


@pytest.mark.spec("PN-9.8-6")
def test_forget(peer: Peer) -> None:
    process = peer.start("sleep", "1000")
    refusal = peer.refusal("process.forget", id=process)
    assert (refusal.code, refusal.data["executed"]) == ("process_live", "no")
    found = peer.call("process.stop", id=process)["process"]
    path = Path(os.fsdecode(found["streams"]["stdout"]["path"]))
    assert path.exists()
    peer.call("process.forget", id=process)
    assert not path.exists()
    assert peer.refusal("process.get", id=process).code == "not_found"


@pytest.mark.spec("PN-9.8-7")
def test_get(peer: Peer) -> None:
    process = peer.start("sleep", "1000", nice=3)
    assert peer.get(process).get("spec") is None
    found = peer.call("process.get", id=process, spec=True)["process"]
    assert found["spec"]["nice"] == 3


@pytest.mark.spec("PN-9.8-8")
def test_requests_during_the_start(peer: Peer, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    spec = {"argv": ["cat", "-u"], "stdin": {"mode": "file", "path": str(fifo)}}
    number = peer.request("process.start", {"spec": spec})

    def found() -> list[str]:
        page = peer.call("process.list", states=["starting"], limit=1000)["processes"]
        return [one["id"] for one in page if one["argv"] == [b"cat", b"-u"]]

    eventually(lambda: bool(found()), "it is being started")
    (process,) = found()
    stream = {"stream": "stdout", "offset": 0}
    for method, params in (
        ("process.signal", {"signal": "SIGTERM"}),
        ("output.read", stream),
        ("output.subscribe", stream | {"credit": 1}),
        ("stdin.write", {"offset": 0, "data": b""}),
        ("stdin.close", {}),
    ):
        refusal = peer.refusal(method, {"id": process} | params)
        assert (refusal.code, refusal.data["executed"]) == ("not_running", "no"), method
    fifo.write_bytes(b"x")
    assert peer.answer(number)["id"] == process
    assert peer.read_all(process) == b"x"
