"""Everything that is checked, in sessions: ``nox -l`` lists them, ``nox -s NAME`` runs one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

REPORTS = Path("reports").resolve()
SUPPORTED = ("3.11", "3.12", "3.13")


def runnable(version: str) -> bool:
    """Whether this Python is here and really runs: version managers leave shims of others."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return True
    try:
        done = subprocess.run(
            [f"python{version}", "-c", "import sys, venv, ensurepip; print(sys.version)"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.startswith(version)


PRESENT = [version for version in SUPPORTED if runnable(version)]


def install(session: nox.Session, *groups: str) -> None:
    """Install the project and some of its dependency groups."""
    project = nox.project.load_toml("pyproject.toml")
    session.install("-e", ".", *nox.project.dependency_groups(project, *groups))


def junit(name: str) -> str:
    """Option that makes pytest write its report."""
    REPORTS.mkdir(exist_ok=True)
    return f"--junitxml={REPORTS / name}.xml"


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    install(session, "types")
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Check the import rules with import-linter."""
    install(session, "lint")
    session.run("lint-imports")


@nox.session
def spec(session: nox.Session) -> None:
    """Check that text, schema, tables, vectors, classes and tests of the protocol agree."""
    install(session, "test")
    session.run("python", "spec/tools/generate.py", "--check")
    session.run("python", "spec/tools/check.py")
    session.run("check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", ".gitlab-ci.yml")


@nox.session(python=PRESENT)
def tests(session: nox.Session) -> None:
    """Run the tests, on every supported Python that is here."""
    install(session, "test")
    arguments = session.posargs or [
        *("-n", "2", "--ignore=tests/conformance", "--ignore=tests/mutants")
    ]
    session.run("pytest", junit(f"tests-{session.python}"), *arguments)


@nox.session
def conformance(session: nox.Session) -> None:
    """Run the conformance suite against a daemon on a Unix socket and on TCP."""
    install(session, "test")
    options = session.posargs or ["-n", "2"]
    session.run("pytest", "tests/conformance", junit("conformance"), *options)


@nox.session
def mutants(session: nox.Session) -> None:
    """Break one MUST after the other in copies of the daemon: the suite must notice each."""
    install(session, "test")
    # Most of a mutant's time is spent waiting for what it never does: more than one a core.
    options = ("-n", "4", "--timeout=900", junit("mutants"))
    session.run("pytest", "tests/mutants", *options, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which branches the tests take, in daemons and commands, too."""
    install(session, "coverage")
    REPORTS.mkdir(exist_ok=True)
    environment = {  # absolute, since daemons run in other directories
        "COVERAGE_PROCESS_START": str(Path("pyproject.toml").resolve()),
        "COVERAGE_FILE": str(Path(".coverage").resolve()),
    }
    session.run("coverage", "erase")
    session.run(
        *("coverage", "run", "-m", "pytest", "--ignore=tests/mutants", "-q"),
        junit("tests-with-coverage"),
        env=environment,
    )
    session.run("coverage", "combine")
    session.run("coverage", "report")
    (REPORTS / "coverage").mkdir(exist_ok=True)  # apart from what JUnit's readers read
    session.run("coverage", "xml", "-o", str(REPORTS / "coverage" / "cobertura.xml"))


@nox.session(default=False)
def manpages(session: nox.Session) -> None:
    """Write the manual pages, docs/man, from what --help tells; the tests compare them."""
    install(session)
    session.run("python", "docs/manpages.py", *session.posargs)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Print speed and size beside the floor, in one interleaved run."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs)
