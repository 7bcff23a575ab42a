"""Trees of both kinds: who belongs to them, and that all of them die."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procnursery.containment.cgroup import CgroupContainment, own_cgroup
from procnursery.containment.choose import choose
from procnursery.containment.procfs import read_stat
from procnursery.containment.session import SessionContainment
from procnursery.containment.tree import ContainmentUnavailable
from procnursery.process.reaper import become_subreaper
from tests.daemons import eventually

Containment = CgroupContainment | SessionContainment


class Family:
    """This test process in the daemon's place: parent of main processes, child subreaper."""

    def __init__(self, kind: str) -> None:
        self.instance = secrets.token_hex(4)
        self.containment: Containment = choose(kind, instance=self.instance).containment
        self._strangers = [
            int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        ]
        self.containment.family.exclude = lambda: set(self._strangers)
        self._count = 0

    def start(self, code: str, **env: str):  # type: ignore[no-untyped-def]
        """(tree, running main process) of a Python program that prints a line when it is ready."""
        self._count += 1
        identifier = f"p{self._count}"
        tree = self.containment.new_tree(identifier)
        environment = {
            "PATH": os.environ["PATH"],
            "PROCNURSERY_ID": f"{self.instance}/{identifier}",
            "PROCNURSERY_INSTANCE": self.instance,
        } | env
        join = ""
        if tree.directory_fd is not None:
            join = f"open('{self.containment.path}/{identifier}/cgroup.procs', 'w').write('0')\n"
        main = subprocess.Popen(
            [sys.executable, "-c", join + PRELUDE + code],
            env=environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        tree.set_main(main.pid)
        assert main.stdout is not None
        assert main.stdout.readline() == b"ready\n"
        return tree, main


PRELUDE = """
import os, signal, sys, time
reading, writing = os.pipe()
def ready(count=0):
    while count:
        count -= len(os.read(reading, count))
    print("ready", flush=True)
def up():
    os.write(writing, b"x")
def stay():
    up()
    while True:
        time.sleep(1000)
def fork(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid
"""


def reap() -> None:
    """Reap whatever has ended, as the daemon does at SIGCHLD."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


@pytest.fixture
def family(containment: str) -> Iterator[Family]:
    become_subreaper()
    made = Family(containment)
    yield made
    reap()
    made.containment.close()


def gone(tree) -> bool:  # type: ignore[no-untyped-def]
    reap()
    return not tree.populated()


def end(tree, main: subprocess.Popen[bytes]) -> None:  # type: ignore[no-untyped-def]
    """Kill a tree as the daemon does, until it is empty."""
    tree.kill()
    main.wait(30)
    tree.main_ended()
    if main.stdout is not None:
        main.stdout.close()

    def empty() -> bool:
        if gone(tree):
            return True
        tree.kill()
        return False

    eventually(empty, "the tree is empty", 10)
    assert tree.survivors() == []
    tree.remove()


def test_alone(family: Family) -> None:
    tree, main = family.start("ready(); stay()")
    assert tree.populated()
    assert [one.pid for one in tree.survivors()] == [main.pid]
    end(tree, main)


DESCENDANTS = {
    "child": "fork(stay); ready(1); stay()",
    "session": "fork(lambda: (os.setsid(), stay())); ready(1); stay()",
    "double": "fork(lambda: (os.setsid(), fork(stay))); os.wait(); ready(1); stay()",
    "triple": """
def third():
    os.setsid()
    fork(stay)
def second():
    os.setsid()
    fork(third)
fork(second)
ready(1)
stay()
""",
    "ignoring": "fork(lambda: (signal.signal(15, signal.SIG_IGN), stay())); ready(1); stay()",
    "stopped": "fork(lambda: (up(), os.kill(os.getpid(), signal.SIGSTOP))); ready(1); stay()",
    "bare environment": """
def bare():
    up()
    os.execve("/bin/sleep", ["sleep", "1000"], {})
fork(bare)
ready(1)
stay()
""",
}


@pytest.mark.parametrize("code", DESCENDANTS.values(), ids=DESCENDANTS.keys())
def test_descendants(family: Family, code: str) -> None:
    tree, main = family.start(code)
    pids = {one.pid for one in tree.survivors()}
    assert main.pid in pids
    assert len(pids) >= 2
    end(tree, main)
    assert not any((stat := read_stat(pid)) is not None and stat.alive for pid in pids)


def test_orphans_keep_the_tree_populated(family: Family) -> None:
    tree, main = family.start("fork(lambda: (os.setsid(), stay())); ready(1)")
    main.wait(30)
    tree.main_ended()
    assert tree.populated()
    assert len(tree.survivors()) == 1
    end(tree, main)


def test_those_who_run_away_die(family: Family, tmp_path: Path) -> None:
    """Chains of processes that fork and end, so that a list of pids is always old."""
    flag = tmp_path / "run"
    flag.touch()
    code = f"""
def run_away():
    up()
    while os.path.exists({str(flag)!r}):
        if os.fork():
            os._exit(0)
        time.sleep(0.01)
for _ in range(3):
    fork(run_away)
ready(3)
stay()
"""
    tree, main = family.start(code)
    try:
        end(tree, main)
    finally:
        flag.unlink()


def test_a_forkers_children_die(family: Family) -> None:
    code = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
fork(lambda: [fork(lambda: time.sleep(0.2)) and time.sleep(0.002) for _ in range(10_000)])
ready()
stay()
"""
    tree, main = family.start(code)
    end(tree, main)


def test_other_trees_and_strangers_live(family: Family) -> None:
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        family._strangers.append(stranger.pid)
        first, one = family.start("fork(lambda: (os.setsid(), stay())); ready(1); stay()")
        second, two = family.start("fork(lambda: (os.setsid(), stay())); ready(1); stay()")
        end(first, one)
        assert stranger.poll() is None
        assert two.poll() is None
        assert len(second.survivors()) == 2
        end(second, two)
        stranger.kill()


def test_signals_reach_everybody_once(family: Family, tmp_path: Path) -> None:
    code = f"""
def note(*_):
    with open({str(tmp_path / "notes")!r}, "a") as file:
        file.write("x")
signal.signal(signal.SIGUSR1, note)
fork(lambda: stay())
fork(lambda: (os.setsid(), stay()))
ready(2)
stay()
"""
    tree, main = family.start(code)
    assert tree.signal(signal.SIGUSR1) == 3
    eventually(lambda: (tmp_path / "notes").read_text() == "xxx", "each has noted it")
    end(tree, main)


def test_usage(family: Family) -> None:
    tree, main = family.start(
        "ready(); t = time.process_time()\nwhile time.process_time() < t + .3: pass"
    )
    main.wait(30)
    tree.main_ended()
    reap()
    usage = tree.usage()
    if family.containment.kind == "cgroup":
        assert usage is not None
        assert usage.user_s + usage.system_s > 0.1
    else:
        assert usage is None
    end(tree, main)


def test_an_escaped_process_is_found(family: Family) -> None:
    """It has left its cgroup; the marker in its environment still tells."""
    if family.containment.kind != "cgroup":
        pytest.skip("there is nothing to escape from")
    code = f"""
def escape():
    os.setsid()
    open("{own_cgroup()}/cgroup.procs", "w").write("0")
    stay()
fork(escape)
ready(1)
stay()
"""
    tree, main = family.start(code)
    left = {one.reason for one in tree.survivors()}
    assert any("left the cgroup" in reason for reason in left)
    end(tree, main)


def test_a_frozen_cgroup_is_killed(family: Family) -> None:
    if family.containment.kind != "cgroup":
        pytest.skip("there is no cgroup to freeze")
    tree, main = family.start("fork(stay); ready(); stay()")
    Path(f"{family.containment.path}/p1/cgroup.freeze").write_text("1")
    end(tree, main)


def test_cgroups_of_the_program_are_removed(family: Family) -> None:
    if family.containment.kind != "cgroup":
        pytest.skip("there are no cgroups")
    tree, main = family.start("ready(); stay()")
    nested = Path(f"{family.containment.path}/p1/a/b")
    nested.mkdir(parents=True)
    end(tree, main)
    assert not nested.parent.parent.exists()


def test_choices(tmp_path: Path) -> None:
    assert choose("session", instance="x").kind == "session"
    with pytest.raises(ContainmentUnavailable, match="session"):
        choose("cgroup", instance="x", cgroup_root=str(tmp_path / "none"))
    with pytest.raises(ContainmentUnavailable):
        choose("cgroup", instance="x", cgroup_root=str(tmp_path))
    chosen = choose("auto", instance="x", cgroup_root=str(tmp_path))
    assert (chosen.kind, chosen.containment.kind) == ("session", "session")
    assert str(tmp_path) in chosen.reason
    assert list(tmp_path.iterdir()) == []


def test_sweeper(containment: str, short_path: Path) -> None:
    """It kills the processes of its instance, in whatever session, and no other."""
    instance = secrets.token_hex(4)
    env = {"PATH": os.environ["PATH"], "PROCNURSERY_INSTANCE": instance}
    code = PRELUDE + (
        "fork(lambda: (os.setsid(), stay()));"
        "fork(lambda: (up(), os.execve('/bin/sleep', ['sleep', '1000'], {})));"
        "ready(2); stay()"
    )
    arguments = ["--instance", instance]
    if containment == "cgroup":
        made = CgroupContainment(own_cgroup(), instance)
        leaf = made.new_tree("p1")
        code = f"open('{made.path}/p1/cgroup.procs', 'w').write('0')\n" + code
        arguments += ["--cgroup", str(made.path)]
        leaf.close()
    with (
        subprocess.Popen(["sleep", "1000"]) as stranger,
        subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, start_new_session=True
        ) as main,
    ):
        assert main.stdout is not None
        assert main.stdout.readline() == b"ready\n"
        sweep = [sys.executable, "-P", "-m", "procnursery.containment.sweep", *arguments]
        done = subprocess.run(sweep, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert main.wait(10) == -9
        assert stranger.poll() is None
        stranger.kill()
    again = subprocess.run(sweep, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    if containment == "cgroup":
        assert not made.path.exists()


def test_what_a_tree_takes(family: Family) -> None:
    tree, main = family.start(
        "fork(stay); fork(lambda: (os.setsid(), stay())); ready(2); time.sleep(1000)"
    )
    other, other_main = family.start("ready(); time.sleep(1000)")
    census = family.containment.family.census()
    load, other_load = tree.load(census), other.load(census)
    assert (load.processes, load.tasks) == (3, 3)
    assert (other_load.processes, other_load.tasks) == (1, 1)
    assert load.rss_bytes > other_load.rss_bytes > 1_000_000
    end(tree, main)
    end(other, other_main)
    assert tree.load(family.containment.family.census()) is None


def test_cpu_time_of_a_child_that_was_waited_for_counts(family: Family) -> None:
    spin = "while time.process_time() < 0.3: pass"
    tree, main = family.start(
        f"pid = os.fork()\nif pid == 0:\n    {spin}\n    os._exit(0)\n"
        "os.waitpid(pid, 0); ready(); time.sleep(1000)"
    )
    load = tree.load(family.containment.family.census())
    assert load.processes == 1
    assert load.cpu.user_s + load.cpu.system_s >= 0.2
    end(tree, main)
