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
        "process/starting.py",
        "            self.launched = await launch.abandon()\n        if self.launched",
        "            await trio.lowlevel.checkpoint()\n        if self.launched",
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
    Mutant("PN-9.2-6", "process/starting.py", 'errno="ETIMEDOUT"', 'errno="EINTR"'),
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
        "daemon/handlers/processes.py",
        "        return _started(session, process, existing=existing, events=params.events)\n",
        "        session.following.begin(process)\n"
        "        await trio.sleep(0.1)\n"
        "        return _started(session, process, existing=existing, events=params.events)\n",
    ),
    Mutant(
        "PN-9.3-3",
        "daemon/following.py",
        "            self._out.send(_event(self._connection, process.id, fact))\n",
        '            late = vars(process).setdefault("late", [])\n'
        '            if fact.kind == "eof":\n'
        "                late.append(fact)\n"
        "                continue\n"
        '            for one in (fact, *(late if fact.kind == "closed" else ())):\n'
        "                self._out.send(_event(self._connection, process.id, one))\n",
    ),
    Mutant(
        "PN-9.3-4",
        "process/run.py",
        "        record.record_exit(child.status",
        "        while not all(one.log.eof for one in self.channels.streams.values()):\n"
        "            await record.wait_change()\n"
        "        record.record_exit(child.status",
    ),
    Mutant(
        "PN-9.3-5",
        "process/record.py",
        "Fact(kind, self.note(kind, at, told), at, details)",
        "Fact(kind, 0 * self.note(kind, at, told) + len(self.facts) + 1, at, details)",
    ),
    Mutant(
        "PN-9.3-6",
        "daemon/handlers/processes.py",
        "        if events:\n            session.following.begin",
        "        if process:\n            session.following.begin",
    ),
]
