"""Mutants of section 9: processes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROCESSES = [
    Mutant("PN-9.2-6", "process/starting.py", 'errno="ETIMEDOUT"', 'errno="EINTR"'),
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
    Mutant(
        "PN-9.4-1",
        "process/record.py",
        "code=os.WEXITSTATUS(status)",
        "code=os.WEXITSTATUS(status) & 127",
    ),
    Mutant(
        "PN-9.4-3",
        "process/record.py",
        "and act.signal == outcome.signal",
        "and act.signal is not None",
    ),
    Mutant(
        "PN-9.5-3",
        "daemon/handlers/processes.py",
        'InvalidField(str(error), "signal")',
        'InvalidField(str(error), "id")',
    ),
    Mutant("PN-9.7-1", "process/run.py", "+ self.spec.descendants_grace", "+ 3600"),
    Mutant(
        "PN-9.7-3",
        "process/run.py",
        'if self.spec.descendants == "keep" and',
        'if self.spec.descendants == "kept" and',
    ),
    Mutant(
        "PN-9.7-4",
        "process/run.py",
        'self.request_stop(cause="timeout", by="daemon")',
        'self.request_stop(cause="requested", by="daemon")',
    ),
    Mutant(
        "PN-9.8-2",
        "daemon/handlers/processes.py",
        '"timed_out", f"process',
        '"not_running", f"process',
    ),
    Mutant(
        "PN-9.8-3",
        "daemon/handlers/processes.py",
        "next=page[-1].id if len(chosen) > params.limit else None",
        "next=None",
    ),
    Mutant(
        "PN-9.8-7",
        "daemon/handlers/processes.py",
        "info(with_spec=params.spec)",
        "info(with_spec=True)",
    ),
]
