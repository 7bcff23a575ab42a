"""Each mutant is a copy of the daemon with one place changed, which violates one MUST. The
conformance suite must say which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.campaign import CAMPAIGN
from tests.mutants.freezing import FREEZING
from tests.mutants.lives import LIVES
from tests.mutants.machine import MACHINE
from tests.mutants.mutant import Mutant
from tests.mutants.processes import PROCESSES
from tests.mutants.streams import STREAMS
from tests.mutants.terminals import TERMINALS
from tests.mutants.wire import WIRE

ROOT = Path(__file__).parents[2]
PATIENCE = "6"
"""Seconds that the suite waits for what a mutant may never do."""

MUTANTS = [*WIRE, *PROCESSES, *LIVES, *STREAMS, *CAMPAIGN, *FREEZING, *MACHINE, *TERMINALS]


def suite(package: Path, must: str, containment: str = "auto") -> subprocess.CompletedProcess[str]:
    """Run what tests a MUST against the daemon in ``package``."""
    environment = os.environ | {"PYTHONPATH": str(package), "CONFORMANCE_TIMEOUT": PATIENCE}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/conformance", "-q", "--no-header", "-x"),
            *("-p", "no:cacheprovider", "--tb=short", "--transport=unix", f"--must={must}"),
            f"--containment={containment}",
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that can be changed."""
    shutil.copytree(
        ROOT / "procnursery",
        tmp_path / "procnursery",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "spec" / "schema.json", tmp_path / "procnursery" / "protocol")
    return tmp_path


def test_musts_are_distinct() -> None:
    musts = [must for must, *_ in MUTANTS]
    assert len(set(musts)) == len(musts) >= 30


def test_the_unchanged_daemon_passes(package: Path) -> None:
    done = suite(package, "PN-2.1-2")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.must for mutant in MUTANTS])
def test_mutant(package: Path, mutant: Mutant) -> None:
    path = package / "procnursery" / mutant.file
    text = path.read_text()
    assert text.count(mutant.before) == 1, "the mutation must change one place"
    path.write_text(text.replace(mutant.before, mutant.after))
    done = suite(package, mutant.must, mutant.containment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"conformance: {mutant.must} is violated" in done.stdout
