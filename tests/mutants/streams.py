"""Mutants of sections 10 to 14: input, output, ends, time, the daemon."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STREAMS = [
    Mutant(
        "PN-10.1-3", "process/stdin.py", "if offset > self.taken:", "if offset > self.taken + 4096:"
    ),
    Mutant(
        "PN-10.1-7", "process/stdin.py", "if view and self._ended:", "if not view and self._ended:"
    ),
    Mutant(
        "PN-11.2-6",
        "daemon/handlers/streams.py",
        "if offset > log.end:",
        "if offset > log.end + 4096:",
    ),
    Mutant("PN-11.2-5", "daemon/handlers.py", '"offset_expired"', '"offset_future"'),
    Mutant(
        "PN-11.3-3", "daemon/subscription.py", "self._credit - self.offset,", "self._credit + 1,"
    ),
    Mutant(
        "PN-11.3-4",
        "daemon/subscription.py",
        "if credit > self._credit:",
        "if credit != self._credit:",
    ),
    Mutant("PN-11.3-5", "daemon/subscription.py", "reason=log.eof)", 'reason="abandoned")'),
    Mutant("PN-11.3-8", "daemon/subscription.py", "connection.max_data,", "MAX_DATA,"),
    Mutant("PN-12.1-1", "process/run.py", 'cause="disconnect"', 'cause="requested"'),
    Mutant(
        "PN-12.2-1",
        "daemon/session.py",
        'self.connection.goodbye("shutting_down", grace=grace)',
        'b""',
    ),
    Mutant("PN-12.2-2", "daemon/session.py", 'error_info("shutting_down"', 'error_info("internal"'),
    Mutant("PN-12.2-4", "spawner/reference.py", "if self._sweeper:", "if not self._sweeper:"),
]
