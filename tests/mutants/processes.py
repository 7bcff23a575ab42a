"""Mutants of section 9: processes."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROCESSES = [
    Mutant(
        "PN-9.2-1",
        "process/form.py",
        '(stdin.path is not None) != (stdin.mode == "file")',
        'stdin.path is None and stdin.mode == "file"',
    ),
    Mutant(
        "PN-9.2-2",
        "process/run.py",
        "            self._launched = await launch.abandon()\n        cause",
        "            await trio.lowlevel.checkpoint()\n        cause",
    ),
    Mutant(
        "PN-9.2-3",
        "spawner/child.py",
        "                self.stage = stage\n                step()\n",
        "                step()\n                self.stage = stage\n",
    ),
    Mutant(
        "PN-9.2-4",
        "process/supervisor.py",
        "                self._drop(process)\n                await",
        (
            '                process.record.state = "closed"\n'
            "                self._closed.append(process.id)\n"
            "                await"
        ),
    ),
    Mutant("PN-9.2-5", "process/launch.py", "signal=fatal,", "signal=None,"),
    Mutant("PN-9.2-6", "process/run.py", 'errno="ETIMEDOUT"', 'errno="EINTR"'),
    Mutant("PN-9.2-7", "process/state.py", "self._next_id = int(content)", "self._next_id = 1"),
    Mutant(
        "PN-9.2-8",
        "process/supervisor.py",
        "return self._result(known), True",
        "return self._result(known), False",
    ),
    Mutant("PN-9.2-9", "process/supervisor.py", "if known.spec != spec:", "if known.spec is None:"),
    Mutant(
        "PN-9.2-10",
        "spawner/child.py",
        'environment.get(b"PATH", DEFAULT_PATH)',
        'os.environb.get(b"PATH", DEFAULT_PATH)',
    ),
    Mutant(
        "PN-9.2-11", "process/account.py", "values.update(spec.env)", "values.update(spec.env[:1])"
    ),
    Mutant("PN-9.2-12", "spawner/child.py", '("session", os.setsid)', '("session", os.getpid)'),
    Mutant("PN-9.2-13", "spawner/child.py", "os.chdir(self.plan.cwd)", 'os.chdir("/")'),
    Mutant(
        "PN-9.2-14",
        "spawner/reference.py",
        "os.pread(memory, size, 0)",
        "os.pread(memory, min(size, 2**20), 0)",
    ),
    Mutant(
        "PN-9.3-1",
        "process/run.py",
        "        if stream.log.eof is not None:\n",
        "        if stream.log.eof is not None and stream.log.end:\n",
    ),
    Mutant(
        "PN-9.3-2",
        "daemon/handlers.py",
        "        return Answer(result, then)",
        (
            "        assert session._nursery is not None\n"
            "        session._nursery.start_soon(then)\n"
            "        await trio.sleep(0.1)\n"
            "        return result"
        ),
    ),
    Mutant(
        "PN-9.3-3",
        "daemon/session.py",
        (
            "                self.out.send(_event(self.connection, process.id, fact))\n"
            '                if fact.kind == "closed":\n'
        ),
        (
            '                if fact.kind != "eof":\n'
            "                    self.out.send(_event(self.connection, process.id, fact))\n"
            '                if fact.kind == "closed":\n'
            '                    for end in [one for one in facts if one.kind == "eof"]:\n'
            "                        self.out.send(_event(self.connection, process.id, end))\n"
        ),
    ),
    Mutant(
        "PN-9.3-4",
        "process/run.py",
        '        self._add_fact("exited",',
        (
            "        while not all(one.log.eof for one in self.channels.streams.values()):\n"
            "            await record.wait_change()\n"
            '        self._add_fact("exited",'
        ),
    ),
    Mutant("PN-9.3-5", "process/run.py", "self._around.next_seq()", "len(self.record.facts) + 1"),
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
        "daemon/handlers.py",
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
    Mutant("PN-9.8-2", "daemon/handlers.py", '"timed_out", f"process', '"not_running", f"process'),
    Mutant(
        "PN-9.8-3",
        "daemon/handlers.py",
        "next=page[-1].id if len(chosen) > params.limit else None",
        "next=None",
    ),
    Mutant("PN-9.8-7", "daemon/handlers.py", "info(with_spec=params.spec)", "info(with_spec=True)"),
]
