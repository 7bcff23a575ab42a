"""What may import what, seen when it runs; the static rules are import-linter's."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import attrs
import pytest

import procnursery
from procnursery.daemon.config import Config
from procnursery.protocol.schema_file import schema_text

ROOT = Path(__file__).parents[1]
PACKAGE = Path(str(files(procnursery)))
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)


def modules_after(code: str) -> set[str]:
    """Names of top-level modules that are loaded after ``code`` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("module", MODULES)
def test_importing_has_no_effect(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-P", "-c", f"import {module}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_daemon_imports_only_what_it_needs() -> None:
    loaded = modules_after("import procnursery.daemon.main, procnursery.daemon.__main__")
    assert not loaded & {"click", "rich", "ClusterShell", "anyio", "asyncio", "psutil"}


def test_the_blocking_client_imports_no_event_loop() -> None:
    code = "from procnursery.client.blocking import connect; connect('local:').close()"
    assert not modules_after(code) & {"trio", "anyio", "asyncio", "subprocess", "click", "rich"}


def test_the_run_command_imports_no_event_loop() -> None:
    code = "import procnursery.cli.main, procnursery.cli.run"
    assert not modules_after(code) & {"trio", "anyio", "asyncio", "rich"}


def test_the_spawner_imports_little() -> None:
    loaded = modules_after("import procnursery.spawner.reference")
    assert not loaded & {"trio", "attr", "attrs", "anyio", "inotify_simple", "typing_extensions"}


def test_the_sweeper_imports_only_the_standard_library() -> None:
    loaded = modules_after("import procnursery.containment.sweep")
    others = loaded - modules_after("") - set(sys.stdlib_module_names)
    assert others == {"procnursery"}


def test_the_schema_is_shipped() -> None:
    assert schema_text() == (ROOT / "spec" / "schema.json").read_text()


def test_every_option_of_the_configuration_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    documented = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert documented == {field.name for field in attrs.fields(Config)}


def test_the_project_speaks_of_itself_alone() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PACKAGE.rglob("*.py")]:
        text = path.read_text()
        assert "/work/" not in text, path
        assert "/home/" not in text, path
