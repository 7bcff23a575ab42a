"""Trees of both kinds that are made to stand still."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from procnursery.containment.cgroup import own_cgroup
from procnursery.containment.procfs import read_stat, thread_states
from procnursery.containment.tree import Left
from tests.containment.test_trees import Family, end, reap
from tests.containment.test_trees import family as family
from tests.daemons import eventually

COUNT = """
def count(file):
    up()
    while True:
        with open(file, "a") as out:
            out.write("x")
        time.sleep(0.002)
"""


def frozen(tree) -> None:  # type: ignore[no-untyped-def]
    """Freeze a tree as the daemon does, until nobody is left."""
    left: list[Left] = []

    def done() -> bool:
        reap()
        left[:] = tree.freeze().left
        return not left

    eventually(done, "the tree stands still", 10)


def lengths(directory: Path) -> list[int]:
    return [file.stat().st_size for file in sorted(directory.iterdir())]


def stands_still(directory: Path) -> None:
    """While this process writes as much as the others would."""
    before = lengths(directory)
    for number in range(300):
        (directory.parent / f"own-{number % 3}").write_text("x" * number)
    for one in Path("/proc").glob("[0-9]*/stat"):
        read_stat(int(one.parent.name))
    assert lengths(directory) == before


def goes_on(directory: Path) -> None:
    before = lengths(directory)
    eventually(
        lambda: all(new > old for new, old in zip(lengths(directory), before, strict=True)),
        "it goes on",
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory for what the processes write."""
    directory = tmp_path / "files"
    directory.mkdir()
    return directory


def test_everybody_stands_still(family: Family, files: Path) -> None:
    code = f"""{COUNT}
def orphan():
    os.setsid()
    fork(lambda: count("{files}/orphan"))
fork(lambda: count("{files}/child"))
fork(lambda: (os.setsid(), count("{files}/session")))
fork(orphan)
ready(3)
count("{files}/main")
"""
    tree, main = family.start(code)
    eventually(lambda: len(lengths(files)) == 4, "all of them write")
    for _ in range(3):
        frozen(tree)
        stands_still(files)
        tree.thaw()
        goes_on(files)
    frozen(tree)
    end(tree, main)


def test_those_who_run_away_stand_still(family: Family, files: Path) -> None:
    """Chains of processes that fork and end."""
    code = f"""
def run_away(file):
    up()
    while True:
        if os.fork():
            os._exit(0)
        with open(file, "a") as out:
            out.write("x")
        time.sleep(0.003)
for number in range(3):
    fork(lambda: run_away("{files}/" + str(number)))
ready(3)
stay()
"""
    tree, main = family.start(code)
    eventually(lambda: len(lengths(files)) == 3, "all of them write")
    for _ in range(3):
        frozen(tree)
        stands_still(files)
        tree.thaw()
        goes_on(files)
    frozen(tree)
    end(tree, main)


def test_threads_stand_still(family: Family) -> None:
    tree, main = family.start(
        "import threading\n"
        "def turn():\n    while True: pass\n"
        "for _ in range(3): threading.Thread(target=turn, daemon=True).start()\n"
        "ready(); turn()"
    )
    frozen(tree)
    states = thread_states(main.pid)
    assert len(states) == 4
    assert set(states) <= ({"T"} if family.containment.kind == "session" else {"S"})
    end(tree, main)


def test_a_parent_in_vfork_stands_still(family: Family, tmp_path: Path) -> None:
    """It waits in the kernel for its child, which hangs before its exec and is frozen, too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    tree, main = family.start(
        "ready()\n"
        f"wanted = [(os.POSIX_SPAWN_OPEN, 5, {str(fifo)!r}, os.O_RDONLY, 0)]\n"
        "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}, file_actions=wanted), 0)"
    )
    eventually(lambda: len(tree.survivors()) == 2, "it has a child")
    frozen(tree)
    frozen(tree)
    tree.thaw()
    fd = os.open(fifo, os.O_WRONLY)
    assert main.wait(30) == 0
    os.close(fd)
    tree.main_ended()
    end(tree, main)


def test_what_was_stopped_stays_stopped(family: Family) -> None:
    tree, main = family.start(
        "pid = fork(stay); ready(1); os.kill(pid, signal.SIGSTOP); up(); stay()"
    )
    (child,) = {one.pid for one in tree.survivors()} - {main.pid}
    eventually(lambda: thread_states(child) == ["T"], "it is stopped")
    frozen(tree)
    tree.thaw()
    assert thread_states(child) == ["T"]
    assert thread_states(main.pid) != ["T"]
    end(tree, main)


def test_one_that_has_left_its_cgroup_stands_still(family: Family, files: Path) -> None:
    if family.containment.kind != "cgroup":
        pytest.skip("there is nothing to escape from")
    code = f"""{COUNT}
def escape():
    os.setsid()
    open("{own_cgroup()}/cgroup.procs", "w").write("0")
    count("{files}/escaped")
fork(escape)
ready(1)
count("{files}/main")
"""
    tree, main = family.start(code)
    eventually(lambda: len(lengths(files)) == 2, "both write")
    frozen(tree)
    stands_still(files)
    tree.thaw()
    goes_on(files)
    frozen(tree)
    end(tree, main)


def test_other_trees_go_on(family: Family, files: Path, tmp_path: Path) -> None:
    tree, main = family.start("ready(); stay()")
    other, other_main = family.start(f"{COUNT}ready(); count('{files}/other')")
    eventually(lambda: len(lengths(files)) == 1, "it writes")
    frozen(tree)
    goes_on(files)
    tree.thaw()
    end(tree, main)
    end(other, other_main)


def test_signals_wait(family: Family, tmp_path: Path) -> None:
    note = tmp_path / "note"
    tree, main = family.start(
        f"signal.signal(signal.SIGUSR1, lambda *_: open({str(note)!r}, 'w').close())\n"
        "ready(); stay()"
    )
    frozen(tree)
    assert tree.signal(signal.SIGUSR1) == 1
    frozen(tree)
    assert not note.exists()
    tree.thaw()
    eventually(note.exists, "the signal takes effect")
    end(tree, main)


def test_thaw_of_what_is_not_frozen(family: Family) -> None:
    tree, main = family.start("ready(); stay()")
    tree.thaw()
    eventually(lambda: thread_states(main.pid) == ["S"], "it sleeps")
    end(tree, main)
    tree.thaw()
