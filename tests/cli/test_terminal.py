"""``run -t`` in a real terminal, with somebody at its keys."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.tmux import COLUMNS, ROWS, Tmux, tmux, why_no_tmux
from tests.daemons import Daemon, eventually, processes_with

pytestmark = pytest.mark.skipif(why_no_tmux() is not None, reason=str(why_no_tmux()))
INNER = "inner$"
BASH = f"pn run -t --env PS1='{INNER} ' -- bash --norc --noprofile -i"
NORMAL = ["0", "1", "0", "0", "0", "0", str(ROWS - 1)]
UPSIDE_DOWN = r"""
printf '\033[?1049h\033[?25l\033[?1002;1006h\033[?1h\033=\033[2;5r\033[31minside'
exec sleep 4321
"""
"""A program that leaves nothing of a terminal as it was."""


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where programs are missing."""
    reason = why_no_tmux(*programs)
    return pytest.mark.skipif(reason is not None, reason=str(reason))


@pytest.fixture
def terminal(daemon: Daemon, short_path: Path) -> Iterator[Tmux]:
    with tmux(short_path, daemon.address) as made:
        yield made


def state(terminal: Tmux) -> list[str]:
    """What tmux knows of modes that programs change."""
    return terminal.state(
        *("alternate_on", "cursor_flag", "mouse_any_flag", "keypad_cursor_flag", "keypad_flag"),
        *("scroll_region_upper", "scroll_region_lower"),
    )


def is_normal(terminal: Tmux, before: str, status: int) -> None:
    """The outer shell is at its prompt, and its terminal as it was before."""
    terminal.until(terminal.at_prompt, "the outer shell is back")
    assert terminal.shell("echo $?").strip() == str(status)
    assert terminal.modes() == before
    assert state(terminal) == NORMAL


def upside_down(terminal: Tmux) -> None:
    """Run it."""
    (terminal.directory / "script").write_text(UPSIDE_DOWN)
    terminal.enter(f"pn run -t -- sh {terminal.directory}/script")
    terminal.sees("inside")
    assert all(one != other for one, other in zip(state(terminal), NORMAL, strict=True))


def command_pid(terminal: Tmux) -> int:
    """Pid of the command that the outer shell runs."""
    shell = terminal.state("pane_pid")[0]
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def test_shell(terminal: Tmux) -> None:
    """Prompt, size, Ctrl-C, Ctrl-Z and fg, the shell's own exit status."""
    before = terminal.modes()
    terminal.enter(BASH)
    terminal.last(INNER)
    terminal.enter("stty size; echo kind $TERM; tty")
    terminal.sees(f"{ROWS} {COLUMNS}\nkind {terminal.run('show', '-gv', 'default-terminal')}")
    terminal.sees("/dev/pts/")
    terminal.last(INNER)
    terminal.enter("clear; sleep 100")
    terminal.until(lambda: bool(processes_with("sleep\x00100")), "sleep runs")
    terminal.keys("C-c")
    terminal.last(f"^C\n{INNER}")
    terminal.enter("clear; sleep 100")
    terminal.until(lambda: bool(processes_with("sleep\x00100")), "sleep runs")
    terminal.keys("C-z")
    terminal.sees("Stopped")
    terminal.last(INNER)
    terminal.enter("clear; fg")
    terminal.last("sleep 100")
    terminal.keys("C-c")
    terminal.last(INNER)
    terminal.enter("clear; exit 5")
    is_normal(terminal, before, 5)


def test_resize(terminal: Tmux) -> None:
    terminal.enter(BASH)
    terminal.last(INNER)
    terminal.enter("clear; trap 'echo \"now $(stty size) $(tput cols)\"' WINCH; echo re''ady")
    terminal.sees("ready")
    terminal.resize(41, 101)
    terminal.enter("")  # bash runs traps between commands
    terminal.sees("now 41 101 101")
    terminal.resize(25, 70)
    terminal.enter("clear; until [[ $(stty size) == '25 70' ]]; do sleep 0.02; done; tput cols")
    terminal.last(f"70\n{INNER}")


@needs("vi")
def test_vi(terminal: Tmux) -> None:
    """vi opens a file, a line is inserted, :wq quits."""
    file = terminal.directory / "file.txt"
    file.write_text("the first line\n")
    before = terminal.modes()
    terminal.enter(f"pn run -t --cwd {terminal.directory} -- vi -u NONE file.txt")
    terminal.sees("the first line\n~\n")
    assert state(terminal)[0] == "1"
    terminal.type("ohello from afar")
    terminal.sees("hello from afar")
    terminal.keys("Escape")
    terminal.enter(":wq")
    is_normal(terminal, before, 0)
    assert file.read_text() == "the first line\nhello from afar\n"


@needs("top")
def test_top(terminal: Tmux) -> None:
    before = terminal.modes()
    terminal.enter("pn run -t -- top -d 1000")
    terminal.sees("load average")
    terminal.sees("COMMAND")
    terminal.type("q")
    is_normal(terminal, before, 0)


@pytest.mark.parametrize("host", ["daemon", "local:"])
def test_status_and_report(terminal: Tmux, host: str) -> None:
    report = terminal.directory / "r.json"
    before = terminal.modes()
    option = "-H local: " if host == "local:" else ""
    terminal.enter(
        f"pn {option}run -t --report {report} --env TERM=vt100 --env COLORTERM=x -- "
        "sh -c 'echo $TERM $COLORTERM; echo err >&2; exit 7'"
    )
    terminal.sees("\nvt100 x\nerr")
    is_normal(terminal, before, 7)
    found = json.loads(report.read_text())
    assert found["outcome"]["code"] == 7
    assert (found["streams"]["stdout"]["mode"], found["streams"]["stdout"]["bytes"]) == ("pty", 14)
    assert found["streams"]["stderr"]["mode"] == "stdout"


def test_failed_start(terminal: Tmux) -> None:
    before = terminal.modes()
    terminal.enter("pn run -t -- /no/such/file")
    terminal.sees("ENOENT")
    is_normal(terminal, before, 127)


def test_signalled_program(terminal: Tmux) -> None:
    """It cannot put anything back any more."""
    before = terminal.modes()
    upside_down(terminal)
    eventually(lambda: bool(processes_with("sleep\x004321")), "it runs")
    os.kill(processes_with("sleep\x004321")[0], signal.SIGKILL)
    terminal.sees("was ended by SIGKILL")
    is_normal(terminal, before, 128 + 9)


def test_killed_daemon(terminal: Tmux, daemon: Daemon) -> None:
    before = terminal.modes()
    upside_down(terminal)
    daemon.sigkill()
    terminal.sees("is gone")
    is_normal(terminal, before, 255)
    eventually(lambda: not processes_with("sleep\x004321"), "the program is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signalled_command(terminal: Tmux, number: signal.Signals) -> None:
    before = terminal.modes()
    terminal.enter("ulimit -c 0")
    upside_down(terminal)
    os.kill(command_pid(terminal), number)
    terminal.sees(f"{number.name}: the daemon stops the program")
    is_normal(terminal, before, 128 + number)
    eventually(lambda: not processes_with("sleep\x004321"), "the program is gone")


def test_ended_terminal(daemon: Daemon, short_path: Path) -> None:
    """The terminal itself goes: the command ends, and the program after it."""
    with tmux(short_path, daemon.address) as terminal:
        upside_down(terminal)
        pid = command_pid(terminal)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the command is gone")
    eventually(lambda: not processes_with("sleep\x004321"), "the program is gone")


def test_escape(terminal: Tmux) -> None:
    before = terminal.modes()
    terminal.enter("pn run -t -- sh -c 'trap : INT; echo ready; stty -echo; cat; sleep 4322'")
    terminal.sees("ready")
    terminal.enter("a~.b")
    terminal.sees("a~.b")
    terminal.enter("~~.tilde")
    terminal.sees("\n~.tilde")
    terminal.type("~.")
    terminal.sees("gave up")
    is_normal(terminal, before, 255)
    eventually(lambda: not processes_with("sleep 4322"), "the program is gone")


@pytest.mark.parametrize("how", ["TSTP", "STOP", "escape"])
def test_suspended_command(terminal: Tmux, how: str) -> None:
    """In between the terminal is the outer shell's; then raw mode and size are there again."""
    before = terminal.modes()
    terminal.enter(BASH)
    terminal.last(INNER)
    if how == "escape":
        terminal.keys("Enter", "~", "C-z")
    else:
        os.kill(command_pid(terminal), getattr(signal, f"SIG{how}"))
    terminal.sees("Stopped")
    terminal.until(terminal.at_prompt, "the outer shell is back")
    assert terminal.modes() == before
    terminal.resize(33, 95)
    terminal.enter("fg")
    terminal.sees("\npn run -t")
    terminal.enter("until [[ $(stty size) == '33 95' ]]; do sleep 0.02; done; echo 'as wide'")
    terminal.sees("\nas wide")
    terminal.last(INNER)
    terminal.type("sleep 100")
    terminal.keys("Enter")
    terminal.until(lambda: bool(processes_with("sleep\x00100")), "sleep runs")
    terminal.keys("C-c")
    terminal.last(f"^C\n{INNER}")
    terminal.resize(ROWS, COLUMNS)
    terminal.enter("exit")
    is_normal(terminal, before, 130)


def test_started_in_the_background(terminal: Tmux) -> None:
    """It takes the terminal when it is given it, and not before."""
    before = terminal.modes()
    terminal.enter(f"{BASH} & echo")
    terminal.sees(INNER)
    assert terminal.modes() == before
    terminal.enter("fg")
    terminal.sees("pn run -t")
    terminal.enter("")
    terminal.enter("echo inside $((1 + 1))")
    terminal.sees("inside 2")
    terminal.last(INNER)
    terminal.enter("exit 3")
    is_normal(terminal, before, 3)
