"""Mutants of section 9.12: freezing and thawing."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FREEZING = [
    Mutant(
        "PN-9.12-1",
        "containment/stopping.py",
        "            members = list(self._members())\n",
        "            members = list(self._members())[:1]\n",
        containment="session",
    ),
    Mutant(
        "PN-9.12-2",
        "containment/stopping.py",
        'if one.state != "T" and signal_one(one, signal.SIGSTOP):',
        "if signal_one(one, signal.SIGSTOP):",
        containment="session",
    ),
    Mutant(
        "PN-9.12-3",
        "process/run.py",
        "if self._ladder is not None or self._signals.killed:",
        "if self._signals.killed:",
    ),
    Mutant(
        "PN-9.12-4",
        "daemon/handlers/processes.py",
        "        if params.at is not None:\n            return self._freeze_at(",
        "        if params.at == (1, 0):\n            return self._freeze_at(",
    ),
    Mutant(
        "PN-9.12-5",
        "process/freezing.py",
        "        if self._attempt is None and self._thawed is not None:\n"
        "            return self._thawed\n",
        "",
    ),
    Mutant(
        "PN-9.12-6",
        "process/freezing.py",
        "            self._attempt = None\n            record.frozen = False\n",
        "            self._attempt = None\n",
    ),
    Mutant(
        "PN-9.12-7",
        "process/run.py",
        "if self._freezer.engaged:  # else it could not obey",
        "if self._freezer.engaged and cause == 'timeout':",
    ),
    Mutant(
        "PN-9.12-8",
        "process/run.py",
        "        if not self.has_tree:\n",
        "        if self.abandoned:\n",
    ),
    Mutant(
        "PN-9.12-9",
        "process/run.py",
        "        return self._signals.signal(name, target, by, due)\n",
        '        self._freezer.thaw("requested", by)\n'
        "        return self._signals.signal(name, target, by, due)\n",
    ),
]
