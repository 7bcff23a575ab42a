"""Options and fixtures of the conformance suite.

    pytest tests/conformance --address unix:///run/procnursery/procnursery.sock

runs it against any daemon; without ``--address`` it starts one of its own, on a Unix socket and
on TCP.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.peer import Peer
from tests.daemons import Daemon, running_daemon

OWN_CONFIG = "hello_timeout = 1.0\nwrite_timeout = 4.0\n"
Connect = Callable[..., Peer]
_results: dict[str, set[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--address", help="address of the daemon to test")
    group.addoption("--transport", choices=("unix", "tcp"), help="test only this one")
    group.addoption("--containment", default="auto", help="of the suite's own daemon")
    group.addoption("--must", action="append", help="run only what tests this MUST")
    group.addoption("--hello-timeout", type=float, default=None, help="of the daemon at --address")
    group.addoption("--write-timeout", type=float, default=None, help="of the daemon at --address")


def musts_of(item: pytest.Item) -> set[str]:
    return {must for mark in item.iter_markers("spec") for must in mark.args}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--must")
    if wanted:
        items[:] = [item for item in items if musts_of(item) & set(wanted)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call" or report.outcome != "passed":
        for must in musts_of(item):
            _results.setdefault(must, set()).add(report.outcome)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Which MUSTs hold."""
    failed = sorted(must for must, outcomes in _results.items() if "failed" in outcomes)
    passed = sum("failed" not in outcomes for outcomes in _results.values())
    if _results:
        terminalreporter.write_line(f"conformance: {passed} MUSTs hold")
    for must in failed:
        terminalreporter.write_line(f"conformance: {must} is violated")


def own_config(request: pytest.FixtureRequest) -> str:
    """Configuration of the suite's own daemons."""
    return f'{OWN_CONFIG}containment = "{request.config.getoption("--containment")}"\n'


@pytest.fixture(scope="session")
def own(request: pytest.FixtureRequest) -> Iterator[Daemon | None]:
    """The suite's own daemon, unless an address is given."""
    if request.config.getoption("--address"):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pn-", dir="/tmp") as directory:
        path = Path(directory)
        listen = [f"unix://{path}/s", "tcp://127.0.0.1:0"]
        config = own_config(request)
        with running_daemon(path / "d", listen=listen, config=config, insecure=True) as daemon:
            yield daemon


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "transport" in metafunc.fixturenames:
        config = metafunc.config
        only = config.getoption("--transport")
        kinds = ["given"] if config.getoption("--address") else [only] if only else ["unix", "tcp"]
        metafunc.parametrize("transport", kinds, scope="session")


@pytest.fixture
def address(request: pytest.FixtureRequest, own: Daemon | None, transport: str) -> str:
    """Where the daemon is."""
    if own is None:
        given: str = request.config.getoption("--address")
        return given
    return next(one for one in own.addresses if one.startswith(transport))


@pytest.fixture
def connect(address: str) -> Iterator[Connect]:
    """Makes connections that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(*, greet: bool = True, **hello: Any) -> Peer:
            peer = Peer(address, greet=greet, **hello)
            stack.callback(peer.close)
            return peer

        yield make


@pytest.fixture
def peer(connect: Connect) -> Peer:
    """A connection that has said hello."""
    return connect()


@pytest.fixture
def hello_timeout(request: pytest.FixtureRequest, own: Daemon | None) -> float:
    """Seconds that a new connection has."""
    given: float | None = request.config.getoption("--hello-timeout")
    return given or (1.0 if own is not None else 10.0)


@pytest.fixture
def write_timeout(request: pytest.FixtureRequest, own: Daemon | None) -> float:
    """Seconds that a peer may go without reading."""
    given: float | None = request.config.getoption("--write-timeout")
    return given or (4.0 if own is not None else 30.0)


def started_again(ended: Daemon) -> contextlib.AbstractContextManager[Daemon]:
    """Another daemon with the addresses and the state directory of one that has ended."""
    return running_daemon(ended.directory, listen=ended.addresses, config=OWN_CONFIG, insecure=True)


@pytest.fixture
def mortal(
    request: pytest.FixtureRequest, own: Daemon | None, transport: str, short_path: Path
) -> Iterator[Daemon]:
    """A daemon that the test may end."""
    if own is None:
        pytest.skip("ends the daemon, which is done only to the suite's own")
    listen = [f"unix://{short_path}/s" if transport == "unix" else "tcp://127.0.0.1:0"]
    with running_daemon(
        short_path / "d", listen=listen, config=own_config(request), insecure=transport == "tcp"
    ) as daemon:
        yield daemon


@pytest.fixture
def few(own: Daemon | None, short_path: Path) -> Iterator[Daemon]:
    """A daemon that keeps few events."""
    if own is None:
        pytest.skip("needs a daemon of its own configuration")
    config = OWN_CONFIG + "keep_events = 10\n"
    listen = [f"unix://{short_path}/s"]
    with running_daemon(short_path / "d", listen=listen, config=config) as daemon:
        yield daemon
