"""Mutants of what campaigns use: gate, names, readiness, leases, instants, events."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CAMPAIGN = [
    Mutant(
        "PN-9.5-4",
        "host/timer.py",
        "while not has_passed(instant):",
        "while has_passed(instant):",
    ),
    Mutant(
        "PN-9.5-5",
        "daemon/handlers/processes.py",
        "            await _wait_instant(process, at)\n",
        "            with trio.CancelScope(shield=True):\n"
        "                await _wait_instant(process, at)\n",
    ),
    Mutant(
        "PN-9.6-7",
        "daemon/handlers/processes.py",
        'if params.at is not None and process.record.state != "closed":',
        'if params.at is not None and process.record.state == "closed":',
    ),
    Mutant(
        "PN-9.8-9",
        "daemon/handlers/processes.py",
        "and wanted <= process.spec.labels.items()",
        "and (not wanted or wanted & process.spec.labels.items())",
    ),
    Mutant("PN-9.9-1", "spawner/child.py", '("gate", self._gate),', ""),
    Mutant(
        "PN-9.9-2",
        "daemon/handlers/processes.py",
        "            for process in processes:\n                await process.wait_released()\n",
        "            pass\n",
    ),
    Mutant(
        "PN-9.9-3",
        "daemon/handlers/processes.py",
        "            processes.append(process)\n",
        "            processes.append(process)\n"
        "            process.release(requested, params.at, spin=False)\n",
    ),
    Mutant(
        "PN-9.9-4",
        "spawner/child.py",
        "system.sleep_until(instant - SPIN_NS if spin else instant)\n"
        "    while time.clock_gettime_ns(time.CLOCK_REALTIME) < instant:\n        pass\n",
        "system.sleep_until(instant - 10_000_000)\n",
    ),
    Mutant(
        "PN-9.9-5",
        "process/launch.py",
        "missed=bool(birth.released),",
        "missed=birth.released is None,",
    ),
    Mutant(
        "PN-9.9-6",
        "process/run.py",
        'kind="start_failed",\n                stage=failure.stage,',
        'kind="start_failed",\n                stage="gate",',
    ),
    Mutant("PN-9.9-7", "spawner/proxy.py", '                self.stage = "gate"\n', ""),
    Mutant(
        "PN-9.9-8",
        "process/run.py",
        'RequestError("not_running", f"process {self.id} is {self.record.state}")',
        'RequestError("signal_failed", f"process {self.id} is {self.record.state}")',
    ),
    Mutant(
        "PN-9.10-1",
        "process/supervisor.py",
        "self._names[name] = process\n",
        "self._names.setdefault(name, process)\n",
    ),
    Mutant(
        "PN-9.10-2",
        "process/supervisor.py",
        'if holder.record.state != "closed":',
        'if holder.record.state == "starting":',
    ),
    Mutant(
        "PN-9.10-3",
        "process/supervisor.py",
        "            self._incarnations[name] -= 1\n",
        "            pass\n",
    ),
    Mutant(
        "PN-9.10-4",
        "daemon/handlers/processes.py",
        'process.request_stop(cause="requested", by=session.peer, grace=params.grace)',
        'process.request_stop(cause="shutdown", by=session.peer, grace=params.grace)',
    ),
    Mutant(
        "PN-9.10-5",
        "daemon/handlers/processes.py",
        "if process.spec.name is None:",
        "if process.spec.name == params.id:",
    ),
    Mutant(
        "PN-9.10-6",
        "daemon/handlers/processes.py",
        'error.executed = "yes"',
        'error.executed = "no"',
    ),
    Mutant(
        "PN-9.11-1",
        "process/notify.py",
        'b"READY=1" in data.split(b"\\n")',
        'data == b"READY=1"',
    ),
    Mutant(
        "PN-9.11-2",
        "process/readiness.py",
        "for one in (*complete, line)",
        "for one in complete",
    ),
    Mutant(
        "PN-9.11-3",
        "process/readiness.py",
        "if isinstance(address, UnixAddress):",
        "if address is None:",
    ),
    Mutant(
        "PN-9.11-4",
        "process/readiness.py",
        'record.add_fact("ready", at, None)',
        'record.note("ready", at, None)',
    ),
    Mutant(
        "PN-9.11-5",
        "process/run.py",
        'self._readiness.fail(f"not ready after {self.spec.ready.timeout:g} s")',
        'self._readiness.fail("timeout")',
    ),
    Mutant(
        "PN-9.11-6",
        "process/record.py",
        'if state == "ready" and self.ready is not None and self.ready.state == "ready":',
        'if state == "ready" and self.ready is not None and self.ready.state != "waiting":',
    ),
    Mutant(
        "PN-12.1-4",
        "process/run.py",
        "self._lease_until = trio.current_time() + self.spec.keep_for",
        "self._lease_until = math.inf",
    ),
    Mutant(
        "PN-12.1-5",
        "process/run.py",
        "if self.owner is not owner or",
        "if owner is None or",
    ),
    Mutant(
        "PN-12.1-6",
        "daemon/following.py",
        "if fact.seq > (after or 0)]",
        "if fact.seq > 0]",
    ),
    Mutant(
        "PN-14.3-1",
        "process/events.py",
        "        self.latest += 1\n",
        "        self.latest += 2\n",
    ),
    Mutant(
        "PN-14.3-2",
        "daemon/handlers/events.py",
        "if choice.process(process.id, process.spec.name, process.spec.labels)\n        ]",
        'if process.record.state != "closed"\n        ]',
    ),
    Mutant(
        "PN-14.3-3",
        "daemon/event_subscription.py",
        "if self.seq + 1 < log.first:",
        "if self.seq + 1 > log.first:",
    ),
    Mutant(
        "PN-14.3-4",
        "daemon/handlers/events.py",
        "after = log.latest if params.after is None else params.after",
        "after = log.first if params.after is None else params.after",
    ),
    Mutant(
        "PN-14.3-5",
        "daemon/event_subscription.py",
        "return (self._ids is None or id in self._ids or name in self._ids) and (",
        "return (self._ids is None or id in self._ids) and (",
    ),
    Mutant(
        "PN-14.3-6",
        "daemon/event_subscription.py",
        "self.seq = first - 1",
        "self.seq = first",
    ),
    Mutant(
        "PN-14.3-7",
        "daemon/session.py",
        "        subscription.scope.cancel()\n",
        "",
    ),
    Mutant(
        "PN-14.3-8",
        "daemon/handlers/events.py",
        "if params.after is not None and params.after > log.latest:",
        "if params.after is not None and params.after < 0:",
    ),
]
