"""Fixtures of all tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Daemon, running_daemon, why_no_cgroup


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets in it."""
    with tempfile.TemporaryDirectory(prefix="pn-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(params=["cgroup", "session"])
def containment(request: pytest.FixtureRequest) -> str:
    """Both containments, where they are possible."""
    kind: str = request.param
    if kind == "cgroup" and (reason := why_no_cgroup()) is not None:
        pytest.skip(reason)
    return kind


@pytest.fixture
def daemon(short_path: Path) -> Iterator[Daemon]:
    """A daemon with the containment that it chooses itself."""
    with running_daemon(short_path / "d") as running:
        yield running


@pytest.fixture
def contained_daemon(short_path: Path, containment: str) -> Iterator[Daemon]:
    """A daemon with each containment."""
    with running_daemon(short_path / "d", config=f'containment = "{containment}"\n') as running:
        yield running
