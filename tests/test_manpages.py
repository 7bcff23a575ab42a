"""The manual pages tell all that ``--help`` tells."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.command import procnursery

ROOT = Path(__file__).parents[1]
MANUAL = ROOT / "docs" / "man"
PAGES = sorted(MANUAL.glob("man*/*"))
OPTION = re.compile(r"^ +(?:(-\w)(?:, | [A-Z]+, ))?(--[a-z][a-z-]+)", re.MULTILINE)


def manual(name: str) -> str:
    """A page's text, without what troff makes of it."""
    (path,) = MANUAL.glob(f"man*/{name}.*")
    return re.sub(r"\\f[BIR]", "", path.read_text()).replace("\\-", "-").replace("\\e", "\\")


def help_of(*command: str) -> str:
    done = procnursery(*command, "--help")
    assert done.returncode == 0
    return done.stdout.decode()


def options_in(text: str) -> set[str]:
    found = {name for names in OPTION.findall(text) for name in names if name}
    assert found
    return found


def commands() -> list[str]:
    _, _, listed = help_of().partition("Commands:\n")
    return re.findall(r"^  ([a-z]+)", listed.partition("\n\n")[0], re.MULTILINE)


def test_they_are_as_they_would_be_written_now() -> None:
    """After a change of a command or an option: nox -s manpages."""
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "docs" / "manpages.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_has_a_page_with_every_option() -> None:
    found = commands()
    assert {"run", "start", "completion"} <= set(found)
    overview = manual("procnursery")
    for option in options_in(help_of()):
        assert f"\n{option}" in overview or f", {option}" in overview
    for command in found:
        assert f"procnursery-{command}(1)" in overview
        text = manual(f"procnursery-{command}")
        for option in options_in(help_of(command)):
            assert re.search(rf"^(?:.*, )?{re.escape(option)}\b", text, re.MULTILINE), command
    assert {path.name for path in PAGES} == {
        *("procnursery.1", "procnurseryd.8"),
        *(f"procnursery-{command}.1" for command in found),
    }


def test_the_daemon_has_a_page_with_every_option() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "procnursery.daemon", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    text = manual("procnurseryd")
    for option in options_in(done.stdout):
        assert re.search(rf"^(?:.*, )?{re.escape(option)}\b", text, re.MULTILINE), option


def test_exit_statuses_are_told() -> None:
    assert "124                   its timeout was over" in manual("procnursery")
    assert "70 after a defect" in manual("procnurseryd")


def test_wheels_bring_them() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["shared-data"] == {"docs/man": "share/man"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_man_has_nothing_to_complain_of(path: Path) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man is not installed")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(path)],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout
