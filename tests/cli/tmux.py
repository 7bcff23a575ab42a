"""A real terminal with somebody at its keys: tmux with a shell in it, on a socket of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.daemons import eventually

PROMPT = "outer$"
ROWS, COLUMNS = 30, 90


def why_no_tmux(*programs: str) -> str | None:
    """Why nothing can be tested in a terminal here; None: it can."""
    for program in ("tmux", "bash", *programs):
        if shutil.which(program) is None:
            return f"needs {program}"
    return None


class Tmux:
    """A terminal whose shell knows the command as ``pn``.

    :param host: ``$PROCNURSERY_HOST`` of the shell
    """

    def __init__(self, directory: Path, host: str) -> None:
        self.directory = directory
        command = directory / "pn"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m procnursery.cli "$@"\n')
        command.chmod(0o755)
        dropped = ("TMUX", "TMUX_PANE", "COLORTERM")
        env = {key: value for key, value in os.environ.items() if key not in dropped}
        env |= {
            "PROCNURSERY_HOST": host,
            "PATH": f"{directory}:{env['PATH']}",
            "LC_ALL": "C.UTF-8",
        }
        self._env = env
        self.run(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS)),
            *("-c", str(directory), "bash --norc --noprofile -i"),
        )

    def run(self, *arguments: str) -> str:
        """A command of tmux; what it says."""
        done = subprocess.run(
            ["tmux", "-S", str(self.directory / "tmux"), *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    @property
    def screen(self) -> str:
        """What is to be seen, without what is blank at the end."""
        return self.run("capture-pane", "-p").rstrip()

    def state(self, *names: str) -> list[str]:
        """Formats of tmux(1), such as alternate_on."""
        return self.run("display-message", "-p", " ".join(f"#{{{one}}}" for one in names)).split()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, and tell what is to be seen if it is in vain."""
        try:
            eventually(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{self.screen}") from None

    def sees(self, text: str) -> None:
        """Wait until ``text`` is to be seen."""
        self.until(lambda: text in self.screen, f"{text!r} is to be seen")

    def last(self, text: str) -> None:
        """Wait until what is to be seen ends with ``text``."""
        self.until(lambda: self.screen.endswith(text), f"{text!r} is the last on the screen")

    def at_prompt(self) -> bool:
        """Whether the outer shell waits for a command."""
        return self.screen.split("\n")[-1] == PROMPT

    def keys(self, *keys: str) -> None:
        """Press keys, named as in tmux(1)."""
        self.run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type text."""
        self.run("send-keys", "-l", text)

    def enter(self, text: str) -> None:
        """Type a line."""
        self.type(text)
        self.keys("Enter")

    def shell(self, command: str) -> str:
        """Run a command in the outer shell; what it writes to stdout."""
        output = self.directory / "said"
        done = self.directory / "done"
        done.unlink(missing_ok=True)
        self.enter(f"{command} >{shlex.quote(str(output))}; : >{shlex.quote(str(done))}")
        self.until(done.exists, f"{command} is done")
        self.enter("clear")
        self.until(lambda: self.screen == PROMPT, "a clear screen")
        return output.read_text()

    def modes(self) -> str:
        """The modes of the terminal, as ``stty -a`` in the outer shell tells them."""
        return self.shell("stty -a")

    def resize(self, rows: int, columns: int) -> None:
        """Resize the window; tmux lets its terminal know a little later."""
        self.run("resize-window", "-x", str(columns), "-y", str(rows))
        fd = os.open(self.state("pane_tty")[0], os.O_RDONLY | os.O_NOCTTY)
        try:
            self.until(lambda: os.get_terminal_size(fd) == (columns, rows), "the terminal's size")
        finally:
            os.close(fd)


@contextlib.contextmanager
def tmux(directory: Path, host: str) -> Iterator[Tmux]:
    """A terminal that is gone afterwards."""
    terminal = Tmux(directory, host)
    try:
        terminal.until(lambda: terminal.screen.endswith("#") or "$" in terminal.screen, "a prompt")
        terminal.enter(f"PS1='{PROMPT} '; clear")
        terminal.until(terminal.at_prompt, "the shell is there")
        yield terminal
    finally:
        terminal.run("kill-server")
