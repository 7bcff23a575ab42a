"""The largest resident set of a program: told as its own only where it surely is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from procnursery.client.blocking import Connection, connect
from procnursery.model import Usage
from tests.daemons import Daemon

MIB = 2**20
LARGE = 64 * MIB
STARTS = 40
SOURCE = """
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    if (argc > 1 && atol(argv[1])) {
        char *memory = malloc(atol(argv[1]));
        memset(memory, 1, atol(argv[1]));
        return memory[atol(argv[1]) / 2] != 1;
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that touches as many bytes as its first argument says."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, cc: any other program is as large as the set-up before it")
    directory = tmp_path_factory.mktemp("usage")
    source = directory / "touch.c"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-O1", "-o", directory / "touch", source], check=True)
    return directory / "touch"


@pytest.fixture
def connection(daemon: Daemon) -> Iterator[Connection]:
    with connect(daemon.address) as made:
        yield made


def usage_of(connection: Connection, program: Path, *arguments: str) -> Usage:
    """Usage of a run that must succeed."""
    result = connection.run([program, *arguments], stdout="null", stderr="null", cwd="/")
    result.outcome.raise_for_status()
    assert result.process.usage is not None
    return result.process.usage


@pytest.mark.parametrize(
    "arguments",
    [(), ("0", *["x" * 100_000] * 15), ("0", *["x"] * 60_000)],
    ids=["none", "long", "many"],
)
def test_a_small_program_has_an_upper_bound(
    connection: Connection, program: Path, arguments: tuple[str, ...]
) -> None:
    """It is smaller than the image that executes it, which copies the arguments once more."""
    starts = STARTS if not arguments else 5
    usages = [usage_of(connection, program, *arguments) for _ in range(starts)]
    assert [one for one in usages if not one.max_rss_is_upper_bound] == []


def test_a_small_program_behind_the_gate(connection: Connection, program: Path) -> None:
    for _ in range(5):
        process = connection.start([program], hold=True, stdout="null", stderr="null", cwd="/")
        process.release()
        process.wait()
        usage = process.info().usage
        assert usage is not None
        assert usage.max_rss_is_upper_bound


def test_a_large_program_has_a_figure(connection: Connection, program: Path) -> None:
    for _ in range(5):
        usage = usage_of(connection, program, str(LARGE))
        assert not usage.max_rss_is_upper_bound
        assert LARGE <= usage.max_rss_bytes < LARGE + 4 * MIB
