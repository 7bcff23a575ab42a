"""Parsing /proc, whatever a command is called."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procnursery.containment.procfs import (
    all_stats,
    children_of,
    has_variable,
    parse_stat,
    read_stat,
)
from tests.daemons import eventually

REST = b" S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 4096 10 18446744073709551615"


@given(st.binary(max_size=15))
def test_any_command(name: bytes) -> None:
    stat = parse_stat(b"42 (" + name + b")" + REST)
    assert (stat.pid, stat.state, stat.ppid, stat.session) == (42, "S", 7, 9)
    assert stat.start_time == 12345
    assert stat.alive


@pytest.mark.parametrize("state", ["Z", "X"])
def test_the_dead(state: str) -> None:
    assert not parse_stat(b"42 (x)" + REST.replace(b"S", state.encode(), 1)).alive


@given(st.binary(max_size=100))
def test_other_texts_are_errors(text: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_stat(text)


def test_own_process() -> None:
    stat = read_stat(os.getpid())
    assert stat is not None
    assert (stat.pid, stat.ppid, stat.session) == (os.getpid(), os.getppid(), os.getsid(0))
    assert os.getpid() in {one.pid for one in all_stats()}
    assert read_stat(2**22 - 1) is None


def test_variables_and_children() -> None:
    env = {"PROCNURSERY_ID": "abc/p1", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "1000"], env=env) as child:
        assert child.pid in children_of(os.getpid())
        # exec closes descriptors, which Popen waits for, a little before it sets the environment.
        eventually(lambda: has_variable(child.pid, b"PROCNURSERY_ID=abc/p1"), "its environment")
        assert not has_variable(child.pid, b"PROCNURSERY_ID=abc/p")
        assert not has_variable(child.pid, b"PROCNURSERY_ID=abc/p11")
        child.kill()
    assert not has_variable(child.pid, b"PROCNURSERY_ID=abc/p1")
    assert children_of(2**22 - 1) == set()
