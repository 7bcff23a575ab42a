"""The MUSTs that bind clients: broken in a copy of this project's own client, its tests notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.test_mutants import MUTANTS, ROOT
from tests.mutants.test_mutants import package as package

CLIENT_MUTANTS = [
    (
        "tests/client/test_tolerance.py",
        Mutant("PN-4.1-9", "protocol/codec.py", "if tolerant:", "if tolerant is None:"),
    ),
    (
        "tests/cli/test_ends.py::test_killed_daemon",
        Mutant(
            "PN-5.2-4", "cli/run.py", "return FAILURE, report_of_lost", "return 0, report_of_lost"
        ),
    ),
]


def run(package: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Run some tests with the package in ``package``."""
    return subprocess.run(
        [
            # The package must not be found in this directory.
            *(sys.executable, "-P", "-m", "pytest", "--import-mode=append"),
            *(tests, "-q", "--no-header", "-x"),
            *("-p", "no:cacheprovider", "--tb=line"),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("tests", "mutant"), CLIENT_MUTANTS, ids=[mutant.must for _, mutant in CLIENT_MUTANTS]
)
def test_client_mutant(package: Path, tests: str, mutant: Mutant) -> None:
    done = run(package, tests)
    assert done.returncode == 0, done.stdout + done.stderr
    path = package / "procnursery" / mutant.file
    text = path.read_text()
    assert text.count(mutant.before) == 1, "the mutation must change one place"
    path.write_text(text.replace(mutant.before, mutant.after))
    done = run(package, tests)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = next(line for line in done.stdout.splitlines() if line.startswith("FAILED"))
    name = failed.split("::")[1].split("[")[0].split(" ")[0]
    source = (ROOT / tests.partition("::")[0]).read_text()
    marks = source[: source.index(f"def {name}(")].rpartition("\n\n\n")[2]
    assert f'"{mutant.must}"' in marks


def test_every_must_has_a_mutant() -> None:
    """A MUST whose violation no test notices is an empty word."""
    text = (ROOT / "spec" / "protocol.md").read_text()
    defined = {
        line.split("]")[0].removeprefix("- [")
        for line in text.splitlines()
        if line.startswith("- [PN-") and "withdrawn" not in line
    }
    broken = {mutant.must for mutant in MUTANTS} | {mutant.must for _, mutant in CLIENT_MUTANTS}
    assert broken == defined
