"""The checker of the specification finds what does not agree: each kind of drift is planted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Change = Callable[[Path], None]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the specification and of the tests."""
    for name in ("spec", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spec" / "tools" / "check.py"), "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )


def edit(name: str, before: str, after: str) -> Change:
    def change(root: Path) -> None:
        path = root / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    return change


def edit_schema(work: Callable[[Any], None]) -> Change:
    def change(root: Path) -> None:
        path = root / "spec" / "schema.json"
        schema = json.loads(path.read_text())
        work(schema)
        path.write_text(json.dumps(schema))

    return change


def spec_field(schema: Any) -> Any:
    return schema["$defs"]["ProcessSpec"]["properties"]


PLANTED: list[tuple[str, Change, str]] = [
    (
        "a number twice",
        edit("spec/protocol.md", "[PN-2.1-2]", "[PN-2.1-1]"),
        "PN-2.1-1 is defined twice",
    ),
    (
        "a wrong section",
        edit("spec/protocol.md", "[PN-2.1-2]", "[PN-2.2-2]"),
        "does not stand in section",
    ),
    (
        "a MUST without a number",
        edit("spec/protocol.md", "## 8 Limits", "It MUST.\n\n## 8"),
        "without a number",
    ),
    (
        "a MUST that nobody tests",
        edit("spec/protocol.md", "- [PN-2.1-2]", "- [PN-2.1-99] It MUST.\n- [PN-2.1-2]"),
        "no test names PN-2.1-99",
    ),
    (
        "a test of no MUST",
        edit("tests/conformance/test_frames.py", '"PN-2.1-2"', '"PN-2.1-77"'),
        "names PN-2.1-77",
    ),
    (
        "an undefined mention",
        edit("spec/protocol.md", "(PN-4.1-9)", "(PN-4.1-98)"),
        "mentioned and not defined",
    ),
    (
        "a wrong transcript",
        edit("spec/protocol.md", '"protocol": 1, "client"', '"protocol": "1", "client"'),
        "transcript",
    ),
    (
        "a reply of nothing",
        edit("spec/protocol.md", "D: [1, 3, null", "D: [1, 33, null"),
        "transcript",
    ),
    (
        "a method out of the text",
        edit_schema(
            lambda schema: schema["methods"].append(schema["methods"][2] | {"name": "pong"})
        ),
        "pong",
    ),
    (
        "an unregistered error",
        edit("spec/protocol.md", "error `timed_out`", "error `timed_off`"),
        "timed_off",
    ),
    ("a lost error", edit_schema(lambda schema: schema["errors"].pop(0)), "invalid_params"),
    (
        "a dangling reference",
        edit_schema(lambda schema: spec_field(schema)["stdin"].update({"$ref": "#/$defs/Nobody"})),
        "Nobody",
    ),
    (
        "another bound",
        edit_schema(lambda schema: spec_field(schema)["umask"].update(maximum=4095)),
        "umask",
    ),
    (
        "another default",
        edit_schema(lambda schema: spec_field(schema)["grace"].update(default=11)),
        "grace",
    ),
    (
        "another name",
        edit_schema(
            lambda schema: spec_field(schema).update(colour=spec_field(schema).pop("umask"))
        ),
        "colour",
    ),
    (
        "a field that is not required",
        edit_schema(lambda schema: schema["$defs"]["GetParams"]["required"].clear()),
        "GetParams",
    ),
    ("another limit", edit_schema(lambda schema: schema["limits"][2].update(value=17)), "limits"),
    (
        "no description",
        edit_schema(lambda schema: spec_field(schema)["umask"].update(description="")),
        "umask has no description",
    ),
    (
        "a wrong vector",
        edit("spec/vectors/profile.json", '"value": 127', '"value": 126'),
        "integer 127",
    ),
    (
        "a vector with a wrong path",
        edit("spec/vectors/params.json", '"path": "spec.nice"', '"path": "spec.nine"'),
        "spec.nice",
    ),
]


def test_the_specification_agrees(copy: Path) -> None:
    done = check(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "complaint"), [one[1:] for one in PLANTED], ids=[one[0] for one in PLANTED]
)
def test_planted_drift_is_found(copy: Path, change: Change, complaint: str) -> None:
    change(copy)
    done = check(copy)
    assert done.returncode == 1, done.stderr
    assert complaint in done.stdout


def test_stale_tables_are_found(copy: Path) -> None:
    generate = [
        sys.executable,
        str(ROOT / "spec" / "tools" / "generate.py"),
        "--spec",
        str(copy / "spec"),
    ]
    assert subprocess.run([*generate, "--check"], check=False).returncode == 0
    edit_schema(lambda schema: spec_field(schema)["umask"].update(description="Changed."))(copy)
    stale = subprocess.run([*generate, "--check"], capture_output=True, text=True, check=False)
    assert stale.returncode == 1
    assert "generate.py" in stale.stderr
    assert subprocess.run(generate, check=False).returncode == 0
    assert subprocess.run([*generate, "--check"], check=False).returncode == 0
