"""Types of options: what people write to values, and what is expected where it is none."""

from __future__ import annotations

import math
import os
from typing import Any

import click

MAX_SECONDS = 1_000_000_000
"""As in the protocol: about 31 years."""


class Seconds(click.ParamType[float]):
    """A duration."""

    name = "seconds"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds, a finite number."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of seconds such as 10 or 0.5", param, ctx)
        if not math.isfinite(number) or not 0 <= number <= MAX_SECONDS:
            self.fail(f"{value!r} is not between 0 and {MAX_SECONDS} seconds", param, ctx)
        return number


class Whole(click.ParamType[int]):
    """A whole number.

    :param most: None: no upper bound
    """

    name = "number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number."""
        bounds = f"{self._least} or more"
        if self._most is not None:
            bounds = f"{self._least} to {self._most}"
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number ({bounds})", param, ctx)
        if number < self._least or (self._most is not None and number > self._most):
            self.fail(f"{value!r} is not in the range {bounds}", param, ctx)
        return number


class Umask(click.ParamType[int]):
    """Permissions that new files do not get, in octal: 022."""

    name = "umask"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The mask."""
        if isinstance(value, int):
            return value
        try:
            mask = int(value, 8)
        except ValueError:
            mask = -1
        if not 0 <= mask <= 0o777:
            self.fail(f"{value!r} is no umask in octal such as 022 or 077", param, ctx)
        return mask


class Who(click.ParamType[str | int]):
    """A user or a group, by name or number."""

    name = "who"

    def convert(self, value: Any, param: Any, ctx: Any) -> str | int:
        """The name, or the number."""
        if not value:
            self.fail("it is empty; give a name or a number", param, ctx)
        if isinstance(value, str) and value.isdecimal():
            number = int(value)
            if number > 2**32 - 2:
                self.fail(f"{value} is more than any id, {2**32 - 2}", param, ctx)
            return number
        if isinstance(value, str) and len(value) > 256:
            self.fail("it has more than 256 characters", param, ctx)
        found: str | int = value
        return found


class Directory(click.ParamType[str]):
    """A directory on the daemon's machine."""

    name = "directory"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Its path."""
        path = str(value)
        if not path:
            self.fail("it is empty; give a directory", param, ctx)
        if len(os.fsencode(path)) > 4095:
            self.fail("it is longer than a path can be, 4095 bytes", param, ctx)
        return path
