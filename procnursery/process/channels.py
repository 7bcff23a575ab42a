"""The ends of a program's standard streams: what the child gets, and what the daemon keeps."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import trio

from procnursery.model import OutputSpec, ProcessSpec, PtySpec
from procnursery.process.account import Account
from procnursery.process.ends import PipeEnd, Terminal, open_terminal
from procnursery.process.files import DirectStream, SpoolStream
from procnursery.process.notify import NotifySocket
from procnursery.process.output import Stream, grow_pipe
from procnursery.process.ring import RingStream
from procnursery.process.stdin import Stdin

PTY_CAPACITY = 1_048_576
"""Bytes of output that are kept of a terminal."""
FILE_MODE = 0o600


class Channels:
    """Stdin, stdout and stderr of one process.

    :ivar child: descriptors for the child by stream name, until :meth:`close_child_ends`
    :ivar streams: the daemon's side of the output streams that have one
    :ivar terminal: of a process that has one
    :ivar notify: where notifications of readiness arrive
    """

    def __init__(self) -> None:
        self.child: dict[str, int] = {}
        self.stdin: Stdin | None = None
        self.terminal: Terminal | None = None
        self.streams: dict[str, Stream] = {}
        self.notify: NotifySocket | None = None

    def close_child_ends(self) -> None:
        """The child has its own copies now, or there is none."""
        for fd in self.child.values():
            os.close(fd)
        self.child.clear()

    def end(self) -> None:
        """No more input comes, and a terminal hangs up."""
        if self.stdin is not None:
            self.stdin.shut()
        if self.terminal is not None:
            self.terminal.close()

    def release(self) -> None:
        """Give everything back."""
        self.close_child_ends()
        self.end()
        for stream in self.streams.values():
            stream.release()
        self.close_notify()

    def close_notify(self) -> None:
        """Nobody waits for a notification any more."""
        if self.notify is not None:
            self.notify.close()
            self.notify = None


async def open_channels(
    spec: ProcessSpec, account: Account, directory: Path | None, limiter: trio.CapacityLimiter
) -> Channels:
    """Open what the spec asks for.

    :param directory: where the files of this process go; it must exist if one is needed
    :raises OSError: if descriptors, memory or files cannot be had; nothing stays open then
    :raises StartFailed: stage ``stdio``: there is no terminal
    """
    channels = Channels()
    try:
        if spec.ready is not None and spec.ready.mode == "notify":
            channels.notify = NotifySocket(account.owner)
        if spec.pty is not None:
            await _open_terminal(channels, spec.pty, account, limiter)
            return channels
        _open_stdin(channels, spec, account)
        for name in ("stdout", "stderr"):
            output: OutputSpec = getattr(spec, name)
            await _open_output(channels, name, output, account, directory, limiter)
    except BaseException:
        channels.release()
        raise
    return channels


def needs_directory(spec: ProcessSpec) -> bool:
    """Whether some stream is a file in the state directory."""
    return spec.pty is None and any(
        output.mode == "spool" or (output.mode == "direct" and output.path is None)
        for output in (spec.stdout, spec.stderr)
    )


async def _open_terminal(
    channels: Channels, pty: PtySpec, account: Account, limiter: trio.CapacityLimiter
) -> None:
    master, slave = await trio.to_thread.run_sync(open_terminal, pty, account, limiter=limiter)
    channels.child["stdin"] = slave
    terminal = channels.terminal = Terminal(master)
    channels.stdin = Stdin(terminal)
    channels.streams["stdout"] = RingStream(
        "stdout", terminal, capacity=PTY_CAPACITY, block=True, mode="pty"
    )


def _open_stdin(channels: Channels, spec: ProcessSpec, account: Account) -> None:
    stdin = spec.stdin
    if stdin.mode == "pipe":
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        channels.child["stdin"] = read_end
        channels.stdin = Stdin(PipeEnd(write_end))
        grow_pipe(write_end)
        _give(read_end, account)
    elif stdin.mode == "bytes":
        memory = os.memfd_create("procnursery-stdin", os.MFD_CLOEXEC)
        try:
            _write_all(memory, stdin.data or b"")
            _give(memory, account)
            # Opened anew: the child cannot write to it, and reads from the beginning.
            channels.child["stdin"] = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(memory)


async def _open_output(
    channels: Channels,
    name: str,
    output: OutputSpec,
    account: Account,
    directory: Path | None,
    limiter: trio.CapacityLimiter,
) -> None:
    if output.mode == "pipe":
        read_end = _pipe(channels, name, account)
        channels.streams[name] = RingStream(
            name, PipeEnd(read_end), capacity=output.capacity, block=output.full == "block"
        )
    elif output.mode == "spool":
        assert directory is not None
        path = directory / name
        read_end = _pipe(channels, name, account)
        try:
            file = await trio.to_thread.run_sync(_create, path, limiter=limiter)
        except BaseException:
            os.close(read_end)
            raise
        channels.streams[name] = SpoolStream(name, read_end, file, path=str(path), limiter=limiter)
    elif output.mode == "direct" and output.path is None:
        assert directory is not None
        path = directory / name
        file = await trio.to_thread.run_sync(_create, path, limiter=limiter)
        try:
            _give(file, account)
            channels.child[name] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except BaseException:
            os.close(file)
            raise
        channels.streams[name] = DirectStream(name, file, path=str(path), start=0, limiter=limiter)


def _pipe(channels: Channels, name: str, account: Account) -> int:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    channels.child[name] = write_end
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, read_end)
        grow_pipe(read_end)
        _give(write_end, account)
        stack.pop_all()
    return read_end


def _give(fd: int, account: Account) -> None:
    """Make the target user its owner, so that the program can open /dev/stdout anew."""
    if os.geteuid() == 0 and account.owner != 0:
        os.fchown(fd, account.owner, account.owner_gid)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
