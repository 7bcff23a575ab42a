"""Values by name, and why others could not be read: one missing file leaves out one field."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from procnursery.host.clock import stamp
from procnursery.model import Unavailable

Value = str | float
MAX_FIELD, MAX_REASON = 128, 256


class Absent(Exception):
    """This machine has no such thing, or does not tell; the message says what and why."""


class Reading:
    """Collects values from now on.

    :param root: directory in which /proc and /sys are looked for
    :ivar at: when it began
    :ivar values: what could be read
    :ivar unavailable: what could not
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._began = time.monotonic_ns()
        self.at = stamp()
        self.values: dict[str, Value] = {}
        self.unavailable: list[Unavailable] = []

    @property
    def cost_ns(self) -> int:
        """Nanoseconds since the beginning."""
        return time.monotonic_ns() - self._began

    def path(self, path: str) -> Path:
        """Where an absolute path is."""
        return self._root / path.lstrip("/")

    def text(self, path: str) -> str:
        """Content of a file of one line.

        :raises OSError: it cannot be read
        :raises Absent: it is empty
        """
        content = self.path(path).read_text(errors="backslashreplace").strip()
        if not content:
            raise Absent(f"{path} is empty")
        return content

    def take(self, field: str, read: Callable[[], Value | None]) -> None:
        """Read one field; None: the machine does not tell."""
        try:
            value = read()
        except (OSError, Absent) as error:
            self.lacks(field, error)
        else:
            self.put(field, value)

    def take_all(
        self, group: str, read: Callable[[], Mapping[str, Value | None]], fields: tuple[str, ...]
    ) -> None:
        """Read several fields at once.

        :param group: what cannot be read if no field has a name
        :param fields: the names that are known beforehand
        """
        try:
            values = read()
        except (OSError, Absent) as error:
            for field in fields or (group,):
                self.lacks(field, error)
        else:
            for field, value in values.items():
                self.put(field, value)

    def put(self, field: str, value: Value | None) -> None:
        """A value; None: the machine does not tell."""
        if value is None:
            self.lacks(field, Absent(f"this machine does not tell {field}"))
        else:
            self.values[field] = value

    def lacks(self, field: str, error: OSError | Absent) -> None:
        """A field cannot be read."""
        name = None
        if isinstance(error, OSError):
            reason = f"{error.filename or field}: {error.strerror or error}"
            if error.errno is not None:
                name = errno.errorcode.get(error.errno, f"E{error.errno}")
        else:
            reason = str(error)
        self.unavailable.append(
            Unavailable(field=field[:MAX_FIELD], reason=reason[:MAX_REASON], errno=name)
        )
