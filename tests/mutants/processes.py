"""Mutants of section 9: processes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROCESSES = [
    Mutant("PN-9.2-6", "process/run.py", 'errno="ETIMEDOUT"', 'errno="EINTR"'),
    Mutant(
        "PN-9.2-8",
        "process/supervisor.py",
        "return self._result(known), True",
        "return self._result(known), False",
    ),
    Mutant("PN-9.2-9", "process/supervisor.py", "if known.spec != spec:", "if known.spec is None:"),
    Mutant(
        "PN-9.2-11", "process/account.py", "values.update(spec.env)", "values.update(spec.env[:1])"
    ),
    Mutant("PN-9.2-12", "spawner/child.py", '("session", os.setsid)', '("session", os.getpid)'),
    Mutant("PN-9.2-13", "spawner/child.py", "os.chdir(self.plan.cwd)", 'os.chdir("/")'),
    Mutant("PN-9.3-6", "daemon/handlers.py", "if params.events:", "if params:"),
]
