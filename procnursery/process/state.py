"""The state directory: one daemon's files, locked against every other daemon."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

DIRECTORY_MODE = 0o700


class StateDirectoryError(Exception):
    """The state directory cannot be used; the message says why and what to do."""


class StateDirectory:
    """Ids and output files of one daemon.

    :param path: made if it is missing; None: a temporary directory, made when it is first
        needed and removed by :meth:`close`
    :raises StateDirectoryError: it cannot be written, or another daemon uses it
    """

    def __init__(self, path: Path | None) -> None:
        self._temporary = path is None
        self._path = path
        self._lock = -1
        self._counter = -1
        self._next_id = 1
        if path is not None:
            try:
                self._open(path)
            except OSError as error:
                self.close()
                raise StateDirectoryError(
                    f"the state directory {path} cannot be used: {_hint(error)}"
                ) from error
            except StateDirectoryError:
                self.close()
                raise

    def _open(self, path: Path) -> None:
        path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise StateDirectoryError(
                f"another daemon uses the state directory {path}; "
                "stop it, or give this one another with --state-dir"
            ) from None
        self._counter = os.open(path / "next-id", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        content = os.pread(self._counter, 32, 0).strip()
        if content:
            if not content.isdigit():
                raise StateDirectoryError(
                    f"{path / 'next-id'} holds {content!r}, not a number: the next process id is "
                    "not known; write a number above every id used so far into it, or give "
                    "another state directory"
                )
            self._next_id = int(content)
        (path / "output").mkdir(mode=DIRECTORY_MODE, exist_ok=True)

    def leftovers(self) -> tuple[int, int]:
        """Output that earlier daemons have left: of how many processes, and how many bytes."""
        processes = size = 0
        if self._path is not None:
            with os.scandir(self._path / "output") as entries:
                for entry in entries:
                    processes += 1
                    size += _size_of(entry)
        return processes, size

    @property
    def path(self) -> Path:
        """Where it is; a temporary one is made now if it was not yet."""
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="procnursery-"))
            (self._path / "output").mkdir(mode=DIRECTORY_MODE)
        return self._path

    def next_id(self) -> str:
        """An id that this state directory has not given before."""
        number = self._next_id
        self._next_id += 1
        if self._counter >= 0:
            os.pwrite(self._counter, b"%020d\n" % self._next_id, 0)
        return f"p{number}"

    def make_output_directory(self, process_id: str) -> Path:
        """A new directory for the files of one process; what an id of a daemon that was killed
        in between left there is removed."""
        directory = self.path / "output" / process_id
        try:
            directory.mkdir(mode=DIRECTORY_MODE)
        except FileExistsError:
            shutil.rmtree(directory)
            directory.mkdir(mode=DIRECTORY_MODE)
        return directory

    def remove_output_directory(self, process_id: str) -> None:
        """Remove the files of one process, if there are any."""
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._path / "output" / process_id)

    def close(self) -> None:
        """Give the directory to the next daemon; a temporary one is removed."""
        for fd in (self._counter, self._lock):
            if fd >= 0:
                os.close(fd)
        self._counter = self._lock = -1
        if self._temporary and self._path is not None:
            shutil.rmtree(self._path)
            self._path = None


def _hint(error: OSError) -> str:
    """What is wrong with a state directory, and what to do."""
    another = "give another one with --state-dir"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        what = "it" if error.errno == errno.EEXIST else "something on the way to it"
        return f"{what} is no directory; {another}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{error.strerror}; {another}, or mend its owner and mode"
    if error.errno == errno.EROFS:
        return f"{error.strerror}; {another}"
    return error.strerror or str(error)


def _size_of(entry: os.DirEntry[str]) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return entry.stat(follow_symlinks=False).st_size
    with os.scandir(entry) as inside:
        return sum(one.stat(follow_symlinks=False).st_size for one in inside)
