"""The caller's terminal under ``run -t``: passed on to a program that has one of its own, and given
back as it was, however that ends."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import signal
import termios
from collections.abc import Callable
from types import TracebackType
from typing import Any

from procnursery.signals import signal_name

DEFAULT_SIZE = (24, 80)
STDIN, STDOUT = 0, 1
LAST_WRITE = 0.5
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_HANDLED = (*_ENDING, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)
_TILDE, _DOT, _SUSPEND = ord("~"), ord("."), ord("\x1a")
_RAW_INPUT = (
    termios.IGNBRK
    | termios.BRKINT
    | termios.PARMRK
    | termios.ISTRIP
    | termios.INLCR
    | termios.IGNCR
    | termios.ICRNL
    | termios.IXON
)
_RAW_LOCAL = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
Resize = Callable[[int, int], None]


class GivenUp(Exception):
    """The user does not want to wait any longer."""


class EndedBySignal(Exception):
    """This command is to end by a signal.

    :ivar number: of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal_name(number))
        self.number = number

    def die(self) -> int:
        """End as the signal ends a program that does not handle it; returns an exit status in
        case that it is blocked."""
        signal.signal(self.number, signal.SIG_DFL)
        os.kill(os.getpid(), self.number)
        return 128 + self.number


def caller_environment() -> list[tuple[bytes, bytes]]:
    """What tells a program the kind of this terminal."""
    names = (b"TERM", b"COLORTERM")
    return [(name, os.environb[name]) for name in names if name in os.environb]


def caller_size() -> tuple[int, int]:
    """(rows, columns) of the terminal at stdin; 24 by 80 where there is none, or it has none."""
    try:
        columns, rows = os.get_terminal_size(STDIN)
    except OSError:
        return DEFAULT_SIZE
    return rows or DEFAULT_SIZE[0], columns or DEFAULT_SIZE[1]


class Escapes:
    """Takes out of what is typed what is meant for this command, as ssh(1) does: ``~.`` and ``~^Z``
    at the beginning of a line; ``~~`` there is a ``~``."""

    def __init__(self) -> None:
        self._at_start = True
        self._tilde = False

    def take(self, data: bytes) -> tuple[bytes, int | None]:
        """(what is left of ``data``, the first escape's character)"""
        rest = bytearray()
        escape = None
        for byte in data:
            if self._tilde:
                self._tilde = False
                if byte in (_DOT, _SUSPEND):
                    escape = escape or byte
                    continue
                if byte != _TILDE:
                    rest.append(_TILDE)
            elif self._at_start and byte == _TILDE:
                self._tilde = True
                continue
            rest.append(byte)
            self._at_start = byte in b"\r\n"
        return bytes(rest), escape


class Screen:
    """The modes of a terminal that programs change and put back before they end, if they can:
    cursor, alternate screen, mouse, keypad, bracketed paste, scrolling region; see
    console_codes(4) and xterm's ctlseqs.

    :ivar at_line_start: whether the cursor stands behind a newline
    """

    _CHANGE = re.compile(rb"\x1b(?:\[\?([0-9;]+)([hl])|([=>c])|\[([0-9;]*)r)")
    _BEGUN = re.compile(rb"\x1b(?:\[[?0-9;]{0,64})?\Z")
    _ON_BY_DEFAULT = frozenset({7, 25})
    _OFF_BY_DEFAULT = frozenset({1, 5, 6, 9, 47, 1047, 1049, 2004, *range(1000, 1017)})

    def __init__(self) -> None:
        self._begun = b""
        self._changed: dict[int, None] = {}
        self._keypad = self._region = False
        self.at_line_start = True

    def see(self, data: bytes) -> None:
        """These bytes were written to the terminal."""
        text = self._begun + data
        for change in self._CHANGE.finditer(text):
            modes, switch, other, region = change.groups()
            if modes is not None:
                for mode in filter(None, modes.split(b";")):
                    self._switch(int(mode), on=switch == b"h")
            elif region is not None:
                self._region = region not in (b"", b";")
            elif other == b"c":  # a full reset
                self._changed.clear()
                self._keypad = self._region = False
            else:
                self._keypad = other == b"="
        begun = self._BEGUN.search(text)
        self._begun = begun.group() if begun is not None else b""
        self.at_line_start = data.endswith(b"\n")

    def _switch(self, mode: int, *, on: bool) -> None:
        if mode in self._ON_BY_DEFAULT | self._OFF_BY_DEFAULT:
            self._changed.pop(mode, None)
            if on != (mode in self._ON_BY_DEFAULT):
                self._changed[mode] = None

    def undo(self) -> bytes:
        """What puts everything back, the latest change first."""
        return self._sequences(undone=True)

    def redo(self) -> bytes:
        """What makes the changes once more."""
        return self._sequences(undone=False)

    def _sequences(self, *, undone: bool) -> bytes:
        modes = list(self._changed)
        parts = [
            b"\x1b[?%d%c" % (mode, b"h" if (mode in self._ON_BY_DEFAULT) == undone else b"l")
            for mode in (reversed(modes) if undone else modes)
        ]
        if self._keypad:
            parts.append(b"\x1b>" if undone else b"\x1b=")
        if self._region and undone:  # which moves the cursor
            parts.insert(0, b"\x1b7\x1b[r\x1b8")
        if parts and undone:
            parts.insert(0, b"\x1b[0m")
        return b"".join(parts)


class CallerTerminal:
    """The terminal at stdin; a context manager that gives it back as it was.

    While it is entered, the signals that end, suspend or continue this command are remembered for
    :meth:`attend`, so that nothing ends without the terminal being given back.
    """

    def __init__(self) -> None:
        self._saved = termios.tcgetattr(STDIN)
        self._resize: Resize | None = None
        self._raw = False
        self._pending: list[int] = []
        self._before: dict[int, Any] = {}
        self._escapes = Escapes()
        self._screen = Screen() if os.isatty(STDOUT) else None

    def __enter__(self) -> CallerTerminal:
        for number in _HANDLED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup(1) leaves SIGHUP
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back(ending=error is not None)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        ending = [number for number in self._pending if number in _ENDING]
        if ending and error is None:  # it came too late to be attended
            raise EndedBySignal(ending[0])

    def _remember(self, number: int, _frame: Any) -> None:
        self._pending.append(number)

    # Modes

    def begin(self, resize: Resize) -> None:
        """From now on all keys are the program's.

        :param resize: called with (rows, columns) whenever the terminal may have another size
        """
        self._resize = resize
        self._again()

    def _take(self) -> None:
        """Raw mode, as cfmakeraw(3) makes it. In the background the terminal is another's: then it
        is made when this process group is continued in the foreground."""
        if self._resize is None or not in_foreground():
            return
        self._raw = True
        modes = list(self._saved)
        modes[0] &= ~_RAW_INPUT
        modes[1] &= ~termios.OPOST
        modes[2] = modes[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        modes[3] &= ~_RAW_LOCAL
        modes[6] = list(modes[6])
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        _set_modes(modes)

    def _give_back(self, *, ending: bool) -> None:
        if self._resize is None or not in_foreground():
            return
        if self._screen is not None:
            line_end = b"" if self._screen.at_line_start or not ending else b"\r\n"
            _write_now(self._screen.undo() + line_end)
        _set_modes(self._saved)
        self._raw = False

    # Signals

    def attend(self) -> None:
        """Do what the signals that have come ask for.

        :raises EndedBySignal: one of them ends this command
        """
        while self._pending:
            number = self._pending.pop(0)
            if number in _ENDING:
                raise EndedBySignal(number)
            if number == signal.SIGTSTP:
                self._suspend()
            else:
                self._again()

    def _suspend(self) -> None:
        """Stop as SIGTSTP stops a program that does not handle it; returns when continued, or at
        once where nobody could continue it (an orphaned process group)."""
        self._give_back(ending=False)
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._again()
        if self._screen is not None and self._resize is not None and in_foreground():
            _write_now(self._screen.redo())

    def _again(self) -> None:
        """Whatever has happened to the terminal meanwhile."""
        self._take()
        if self._resize is not None:
            self._resize(*caller_size())

    # Bytes

    def read(self, limit: int) -> bytes | None:
        """What was typed for the program; None: nothing. To be called when stdin is readable.

        :raises GivenUp: ``~.`` was typed
        :raises EndedBySignal: the terminal has hung up
        """
        if not in_foreground():
            # As read(2) would, but not within it: a signal that continues it has to be attended.
            os.kill(os.getpid(), signal.SIGTTIN)
            if signal.SIGCONT not in self._pending:  # it was not stopped: nobody could continue it
                raise EndedBySignal(signal.SIGHUP)
            return None
        if not self._raw:  # a job that runs is put into the foreground without a signal
            self._again()
            return None
        try:
            data = os.read(STDIN, limit)
        except OSError as error:
            if error.errno == errno.EIO:
                raise EndedBySignal(signal.SIGHUP) from error
            raise
        if not data:
            raise EndedBySignal(signal.SIGHUP)
        rest, escape = self._escapes.take(data)
        if escape == _DOT:
            raise GivenUp
        if escape is not None:  # as Ctrl-Z in a terminal that is not raw
            os.kill(0, signal.SIGTSTP)
        return rest or None

    def shown(self, data: bytes) -> None:
        """These bytes were written to stdout."""
        if self._screen is not None:
            self._screen.see(data)


def in_foreground() -> bool:
    """Whether this process may use the terminal; also if it is none that controls it."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        return True


def _set_modes(modes: list[Any]) -> None:
    """TCSANOW: what is still to be shown was processed when it was written, and waiting for a
    terminal that shows nothing could take for ever."""
    try:
        termios.tcsetattr(STDIN, termios.TCSANOW, modes)
    except termios.error as error:
        if error.args[0] not in (errno.EIO, errno.ENOTTY):
            raise  # those two: it has hung up, so nobody needs it any more


def _write_now(data: bytes) -> None:
    """Unless the terminal takes nothing."""
    if data:
        poll = select.poll()
        poll.register(STDOUT, select.POLLOUT)
        if poll.poll(LAST_WRITE * 1000):
            with contextlib.suppress(OSError):  # it has hung up
                os.write(STDOUT, data)
