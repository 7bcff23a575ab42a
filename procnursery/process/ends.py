"""The daemon's ends of a program's pipes and terminal: bytes in, bytes out, closed once."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import struct
import termios

import trio

from procnursery.errors import StartFailed
from procnursery.model import PtySpec
from procnursery.process.account import Account
from procnursery.process.record import RESOURCES, errno_name

TTY_MODE = 0o620
"""Of a terminal as grantpt(3) leaves it: its group ``tty`` may write to it, see mesg(1)."""
TTY_MODE_WITHOUT_GROUP = 0o600
_DISABLED = b"\0"  # _POSIX_VDISABLE, termios(3)


class PipeEnd:
    """An end of a pipe.

    :param fd: owned by this object; made non-blocking
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""
        return self._fd

    def read(self, limit: int) -> bytes:
        """Up to ``limit`` bytes; none at the end, when every writer has closed.

        :raises BlockingIOError: nothing is there
        """
        return os.read(self._fd, limit)

    def write(self, data: memoryview) -> int:
        """Write what there is room for.

        :raises BlockingIOError: there is none
        :raises BrokenPipeError: nobody can read it any more
        """
        return os.write(self._fd, data)

    def end_marks(self, last: bytes) -> bytes:
        """None: a pipe ends by being closed."""
        return b""

    def end_input(self) -> None:
        """No more is written."""
        self.close()

    def end_output(self) -> None:
        """No more is read."""
        self.close()

    def close(self) -> None:
        """Close it; who waits for it gets a ClosedResourceError. A second time does nothing."""
        if self._fd >= 0:
            trio.lowlevel.notify_closing(self._fd)
            os.close(self._fd)
            self._fd = -1


class Terminal:
    """The master of a pseudoterminal, pty(7): the output is read from it and the input is typed
    into it. Closing it hangs up: the leader of its session gets SIGHUP, even one that has closed
    the terminal itself. So the ends of input and output leave it open.

    :param fd: owned by this object; made non-blocking
    """

    def __init__(self, fd: int) -> None:
        self._end = PipeEnd(fd)
        self._deserted = False

    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""
        return self._end.fileno()

    def read(self, limit: int) -> bytes:
        """Up to ``limit`` bytes of output; none at the end, when nobody has the terminal open.

        :raises BlockingIOError: nothing is there
        """
        try:
            return self._end.read(limit)
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says it
                self._deserted = True
                return b""
            raise

    def write(self, data: memoryview) -> int:
        """Type what there is room for.

        :raises BlockingIOError: there is none
        :raises BrokenPipeError: nobody has the terminal open any more
        """
        try:
            if not self._deserted:  # for a moment the kernel would take what nobody can read
                return self._end.write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def end_marks(self, last: bytes) -> bytes:
        """What to type for an end of input: VEOF of termios(3), of which one in the middle of a
        line only hands over the line; nothing if the program has disabled it.

        :param last: the byte that was typed last; empty: none was
        """
        attributes = termios.tcgetattr(self.fileno())
        input_modes, local_modes, characters = attributes[0], attributes[3], attributes[6]
        mark: bytes = characters[termios.VEOF]
        if mark == _DISABLED:
            return b""
        line_ends = {b"", b"\n", mark, characters[termios.VEOL], characters[termios.VEOL2]}
        if input_modes & termios.ICRNL:
            line_ends.add(b"\r")
        in_line = local_modes & termios.ICANON and last not in line_ends
        return mark * 2 if in_line else mark

    def end_input(self) -> None:
        """No more is typed, which is no reason to hang up."""

    def end_output(self) -> None:
        """No more is read, which is none either."""

    def resize(self, rows: int, columns: int) -> None:
        """Set its size; the kernel tells its foreground process group by SIGWINCH, tty_ioctl(4).

        :raises OSError: the kernel refuses
        """
        set_size(self.fileno(), rows, columns)

    def close(self) -> None:
        """Hang up. A second time does nothing."""
        self._end.close()


def set_size(fd: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ of tty_ioctl(4)."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def open_terminal(pty: PtySpec, account: Account) -> tuple[int, int]:
    """(master, slave) of a new terminal that belongs to the target user, of the given size. May
    block on the machine's database of groups.

    :raises OSError: descriptors, memory or terminals are lacking
    :raises StartFailed: stage ``stdio``: there are no terminals on this machine
    """
    try:
        master, slave = os.openpty()
        try:
            set_size(slave, pty.rows, pty.columns)
            _give_terminal(slave, account)
        except BaseException:
            os.close(master)
            os.close(slave)
            raise
    except OSError as error:
        number = error.errno or 0
        if number in RESOURCES:
            raise
        raise StartFailed(
            f"opening a terminal: {errno_name(number)} ({error.strerror})",
            stage="stdio",
            errno=errno_name(number),
            errno_number=number,
        ) from error
    return master, slave


def _give_terminal(slave: int, account: Account) -> None:
    """What login(1) does; for its own user the kernel has done it already, devpts."""
    if os.geteuid() != 0:
        return
    try:
        group, mode = grp.getgrnam("tty").gr_gid, TTY_MODE
    except KeyError:
        group, mode = account.owner_gid, TTY_MODE_WITHOUT_GROUP
    os.fchown(slave, account.owner, group)
    os.fchmod(slave, mode)
