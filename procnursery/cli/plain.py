"""Values as JSON: every field that means something, bytes as text."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

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


class ReportFile:
    """A file that is either the whole report or not touched at all.

    :raises OSError: it cannot be written; found out before anything is started
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._temporary: Path | None = None
        if self._path.exists() and not self._path.is_file():  # a device, a FIFO
            self._file = self._path.open("w", encoding="utf-8")
        else:
            fd, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
            self._temporary = Path(name)
            self._file = os.fdopen(fd, "w", encoding="utf-8")

    def write(self, report: Any) -> None:
        """Write the report and put the file in place."""
        with self._file as file:
            json.dump(plain(report), file, indent=2)
            file.write("\n")
            file.flush()
            if self._temporary is not None:
                mask = os.umask(0)
                os.umask(mask)
                os.fchmod(file.fileno(), 0o666 & ~mask)
        if self._temporary is not None:
            self._temporary.replace(self._path)
            self._temporary = None

    def discard(self) -> None:
        """Leave nothing behind if it was not written."""
        self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
