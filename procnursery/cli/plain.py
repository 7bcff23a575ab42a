"""Values as JSON: every field that means something, bytes as text."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from procnursery.inherited import current_umask
from procnursery.model import OutputSpec


def plain(value: Any) -> Any:
    """Maps, arrays and scalars for JSON. Bytes that are not UTF-8 become lone surrogates, which
    ``os.fsencode`` turns back."""
    if attrs.has(type(value)):
        idle = value.idle_fields if isinstance(value, OutputSpec) else frozenset()
        return {
            field.name.rstrip("_"): plain(getattr(value, field.name))
            for field in attrs.fields(type(value))
            if field.name not in idle
        }
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(plain(value), indent=2))


def _is_stdout(path: Path) -> bool:
    """Whether it is the regular file to which standard output goes: /dev/stdout, for instance. The
    program's output would be lost if that file were replaced."""
    try:
        named = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(named.st_mode) and os.path.samestat(named, os.fstat(1))


class ReportFile:
    """A file that is either the whole report or not touched at all.

    :param path: ``-`` is standard output, behind everything else that goes there
    :raises OSError: it cannot be written; found out before anything is started
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._path = Path(path)
        self._temporary: Path | None = None
        # Unbuffered, so that nothing is left which close(2) would try to write again.
        self._file: io.FileIO | None
        if path == "-" or _is_stdout(self._path):
            self._file = None
        elif self._path.exists() and not self._path.is_file():  # a device, a FIFO
            self._file = self._path.open("wb", buffering=0)
        else:
            fd, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
            self._temporary = Path(name)
            self._file = io.FileIO(fd, "w")

    def write(self, report: Any) -> None:
        """Write the report and put the file in place.

        :raises OSError: it could not be written
        :raises OutputFailed: the same of standard output
        """
        text = json.dumps(plain(report), indent=2) + "\n"
        if self._file is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        rest = memoryview(text.encode("ascii"))
        while rest:
            rest = rest[self._file.write(rest) :]
        if self._temporary is not None:
            os.fchmod(self._file.fileno(), 0o666 & ~current_umask())
            self._temporary.replace(self._path)
            self._temporary = None

    def discard(self) -> None:
        """Leave nothing behind if it was not written."""
        if self._file is not None:
            self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
