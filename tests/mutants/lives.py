"""Mutants of sections 9.4 to 9.8: what becomes of processes, and what is done to them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LIVES = [
    Mutant(
        "PN-9.4-1",
        "process/record.py",
        "code=os.WEXITSTATUS(status)",
        "code=os.WEXITSTATUS(status) & 127",
    ),
    Mutant(
        "PN-9.4-2",
        "process/record.py",
        "core_dumped=os.WCOREDUMP(status)",
        "core_dumped=True",
    ),
    Mutant(
        "PN-9.4-3",
        "process/record.py",
        "and act.signal == outcome.signal",
        "and act.signal is not None",
    ),
    Mutant(
        "PN-9.4-4",
        "process/record.py",
        "del self.acts[:-MAX_ACTS]",
        "del self.acts[MAX_ACTS:]",
    ),
    Mutant(
        "PN-9.4-5",
        "process/reaper.py",
        "_, child.status, child.rusage = os.wait4(pid, 0)",
        "_, child.status, _ = os.wait4(pid, 0)\n"
        "        child.rusage = resource.getrusage(resource.RUSAGE_CHILDREN)",
    ),
    Mutant(
        "PN-9.5-1",
        "process/delivery.py",
        "os.killpg(child.pid, number)",
        "os.kill(child.pid, number)",
    ),
    Mutant(
        "PN-9.5-2",
        "process/run.py",
        'if self.record.state != "running":',
        'if self.record.state == "starting":',
    ),
    Mutant(
        "PN-9.5-3",
        "daemon/handlers/processes.py",
        'InvalidField(str(error), "signal")',
        'InvalidField(str(error), "id")',
    ),
    Mutant(
        "PN-9.6-1",
        "process/run.py",
        'if record.state == "closed" and not self._keeps:\n'
        "                return\n"
        "            await",
        'if record.state != "running" and not self._keeps:\n'
        "                return\n"
        "            await",
    ),
    Mutant(
        "PN-9.6-2",
        "process/run.py",
        "name = signal_name or self.spec.stop_signal",
        "name = self.spec.stop_signal",
    ),
    Mutant(
        "PN-9.6-3",
        "containment/family.py",
        "or stat.session == main\n"
        "                or (stat.alive and census.has_variable(stat.pid, marker))",
        "or stat.session == main",
        containment="session",
    ),
    Mutant(
        "PN-9.6-4",
        "daemon/handlers/processes.py",
        'process.request_stop(\n            cause="requested",',
        'if process.record.state == "closed":\n'
        '            raise RequestError("not_running", "the process has ended")\n'
        '        process.request_stop(\n            cause="requested",',
    ),
    Mutant(
        "PN-9.6-5",
        "process/run.py",
        "if kill_at < self._ladder.kill_at:",
        "if kill_at != self._ladder.kill_at:",
    ),
    Mutant(
        "PN-9.6-6",
        "process/ending.py",
        'if not self._tree.populated():\n            self._verdict("empty")',
        "if not self._tree.populated() or self._ladder() is not None:\n"
        '            self._verdict("empty")',
    ),
    Mutant(
        "PN-9.7-1",
        "process/ending.py",
        "+ spec.descendants_grace",
        "+ 3600",
    ),
    Mutant(
        "PN-9.7-2",
        "process/ending.py",
        'if spec.descendants == "wait":',
        'if spec.descendants == "waits":',
    ),
    Mutant(
        "PN-9.7-3",
        "process/ending.py",
        'if spec.descendants == "keep" and',
        'if spec.descendants == "kept" and',
    ),
    Mutant(
        "PN-9.7-4",
        "process/run.py",
        'self._timeout_at = math.inf\n                self.request_stop(cause="timeout"',
        'self._timeout_at = math.inf\n                self.request_stop(cause="requested"',
    ),
    Mutant(
        "PN-9.8-1",
        "daemon/handlers/processes.py",
        "await process.wait_reached(params.until)",
        'await process.wait_reached("closed")',
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
        "PN-9.8-4",
        "daemon/handlers/processes.py",
        "delivered, count = process.send_signal(",
        "if process not in session.owned:\n"
        '            raise RequestError("not_found", "no process of this connection")\n'
        "        delivered, count = process.send_signal(",
    ),
    Mutant(
        "PN-9.8-5",
        "process/supervisor.py",
        '"not_found", f"this daemon knows no',
        '"not_running", f"this daemon knows no',
    ),
    Mutant(
        "PN-9.8-6",
        "process/supervisor.py",
        "process.forget()\n        await self._remove_output(process)",
        "process.forget()",
    ),
    Mutant(
        "PN-9.8-7",
        "daemon/handlers/processes.py",
        "info(with_spec=params.spec)",
        "info(with_spec=True)",
    ),
    Mutant(
        "PN-9.8-8",
        "daemon/handlers/streams.py",
        'if process.record.state == "starting":',
        'if process.record.state == "held":',
    ),
]
