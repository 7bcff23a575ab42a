"""``run -t`` without anybody at the keys: refusals, ``-tt``, escapes, modes, an exception."""

from __future__ import annotations

import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from procnursery.cli.terminal import Escapes, Screen
from tests.cli.command import procnursery


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-t"], b"stdin is no terminal; -tt gives"),
        (["-tt", "-n"], b"-n and -t exclude each other"),
        (["-tt", "--output-mode", "spool"], b"--output-mode and -t exclude each other"),
    ],
)
def test_refusals(options: list[str], reason: bytes, tmp_path: Path) -> None:
    done = procnursery("run", *options, "--", "touch", str(tmp_path / "x"))
    assert done.returncode == 255
    assert reason in done.stderr
    assert b"othing was started" in done.stderr
    assert not (tmp_path / "x").exists()


def test_forced(tmp_path: Path) -> None:
    done = procnursery("run", "-tt", "--", "sh", "-c", "stty size; tty; echo err >&2; exit 4")
    assert done.returncode == 4
    size, tty, err = done.stdout.splitlines()
    assert (size, err) == (b"24 80", b"err")
    assert tty.startswith(b"/dev/pts/")
    assert done.stderr == b""


def test_forced_with_input() -> None:
    """No escapes in what is not typed; at its end there is an end of input."""
    done = procnursery("run", "-tt", "--", "sh", "-c", "stty -echo; cat", input=b"a\n~.\nrest")
    assert done.returncode == 0
    assert done.stdout.endswith(b"a\r\n~.\r\nrest")


RAISES = """
import sys
from procnursery.cli.terminal import CallerTerminal
with CallerTerminal() as terminal:
    terminal.begin(lambda rows, columns: print(rows, columns, file=sys.stderr, flush=True))
    terminal.shown(b"\\x1b[?25ltext")
    sys.stdin.readline()
    raise RuntimeError
"""


def test_an_exception_gives_the_terminal_back() -> None:
    master, slave = os.openpty()
    try:
        before = termios.tcgetattr(slave)
        with subprocess.Popen(
            [sys.executable, "-c", RAISES],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == b"24 80\n"  # a terminal without a size
            assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
            os.write(master, b"\n")
            assert process.wait(30) == 1
        assert termios.tcgetattr(slave) == before
        assert os.read(master, 100) == b"\x1b[0m\x1b[?25h\r\n"
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("typed", "passed", "escape"),
    [
        (b"plain\n", b"plain\n", None),
        (b"~.", b"", b"."),
        (b"x~.", b"x~.", None),
        (b"x\r~.", b"x\r", b"."),
        (b"x\n~\x1a", b"x\n", b"\x1a"),
        (b"~~.", b"~.", None),
        (b"~x", b"~x", None),
        (b"~\r~.", b"~\r", b"."),
        (b"~\x1a~.", b"", b"\x1a"),
    ],
)
def test_escapes(typed: bytes, passed: bytes, escape: bytes | None) -> None:
    """The same in one piece and byte by byte."""
    found = None if escape is None else escape[0]
    assert Escapes().take(typed) == (passed, found)
    escapes = Escapes()
    pieces = [escapes.take(bytes([byte])) for byte in typed]
    assert b"".join(rest for rest, _ in pieces) == passed
    assert next((one for _, one in pieces if one is not None), None) == found


@pytest.mark.parametrize(
    ("shown", "undo"),
    [
        (b"text\x1b[1;31m", b""),
        (b"\x1b[?1049h\x1b[?25l", b"\x1b[0m\x1b[?25h\x1b[?1049l"),
        (b"\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l", b""),
        (b"\x1b[?1002;1006h", b"\x1b[0m\x1b[?1006l\x1b[?1002l"),
        (b"\x1b[?12h\x1b[?9999h", b""),
        (b"\x1b=\x1b[3;7r", b"\x1b[0m\x1b7\x1b[r\x1b8\x1b>"),
        (b"\x1b=\x1b[3;7r\x1b[r\x1b>", b""),
        (b"\x1b[?7l\x1b=\x1b[3;7r\x1bc", b""),
    ],
)
def test_screen(shown: bytes, undo: bytes) -> None:
    """The same in one piece and byte by byte."""
    screen = Screen()
    screen.see(shown)
    assert screen.undo() == undo
    screen = Screen()
    for byte in shown:
        screen.see(bytes([byte]))
    assert screen.undo() == undo
    again = Screen()
    again.see(screen.redo())
    assert again.undo().replace(b"\x1b7\x1b[r\x1b8", b"") == undo.replace(b"\x1b7\x1b[r\x1b8", b"")
