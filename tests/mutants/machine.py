"""Mutants of section 14.2: the machine."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MACHINE = [
    Mutant(
        "PN-14.2-1",
        "host/reading.py",
        "        self.unavailable.append(\n",
        "        self.values[field] = 0\n        self.unavailable.append(\n",
    ),
    Mutant("PN-14.2-2", "host/load.py", "if group in groups:", "if group:"),
    Mutant(
        "PN-14.2-3",
        "daemon/sampling.py",
        "return (now - self._first) // self._interval",
        "return wanted",
    ),
    Mutant(
        "PN-14.2-4",
        "daemon/sampling.py",
        "or self.sent < self._count:",
        "or self.sent <= self._count:",
    ),
    Mutant("PN-14.2-5", "host/facts.py", "    _clocks(reading)\n", ""),
]
