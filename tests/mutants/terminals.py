"""Mutants of section 10.2: terminals."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TERMINALS = [
    Mutant("PN-10.2-1", "spawner/child.py", "system.control_terminal(0)", "pass"),
    Mutant("PN-10.2-2", "process/channels.py", 'block=True, mode="pty"', 'block=False, mode="pty"'),
    Mutant("PN-10.2-3", "process/ends.py", "return mark * 2 if in_line else mark", "return mark"),
    Mutant(
        "PN-10.2-4",
        "daemon/handlers/streams.py",
        "terminal.resize(params.rows, params.columns)",
        "terminal.resize(params.columns, params.rows)",
    ),
    Mutant("PN-10.2-5", "daemon/handlers/streams.py", '"no_pty"', '"not_running"'),
]
