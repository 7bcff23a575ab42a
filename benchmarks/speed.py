"""Ratios to the floor: each round measures both, one after the other, and medians are compared."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Line, floor, running_daemon
from procnursery.client.blocking import Connection, connect
from procnursery.client.core import make_spec
from procnursery.client.exchange import ProcessEvents
from procnursery.protocol import messages as m

SERIAL, FLIGHT, WIDTH = 100, 400, 32
COPY = 1_000_000_000
"""Bytes, so many that starting the command does not count."""
Measure = Callable[[], float]


def interleaved(rounds: int, first: Measure, second: Measure) -> tuple[float, float]:
    """Medians of both."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        samples[0].append(first())
        samples[1].append(second())
    return statistics.median(samples[0]), statistics.median(samples[1])


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def command_line(rounds: int) -> Iterator[Line]:
    """``procnursery run -- true`` beside an interpreter that does nothing."""
    with running_daemon() as (address, _):
        command = [sys.executable, "-P", "-m", "procnursery.cli", "-H", address, "run", "-n"]
        ours, nothing = interleaved(
            rounds,
            lambda: timed(lambda: subprocess.run([*command, "--", "true"], check=True)),
            lambda: timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)),
        )
    more = ours - nothing
    yield Line(
        "procnursery run -- true, beyond python -c pass",
        f"{more * 1000:.0f} ms ({ours * 1000:.0f} - {nothing * 1000:.0f})",
        "<= 150 ms",
        more <= 0.15,
    )


def starts(rounds: int, program: Path) -> Iterator[Line]:
    """Start to exit, one at a time and 32 in flight, beside a C loop."""
    with running_daemon() as (address, _), connect(address) as connection:
        _serial(connection, 20)
        ours, least = interleaved(
            rounds,
            lambda: _serial(connection, SERIAL),
            lambda: floor(program, "serial", str(SERIAL)),
        )
        ratio = ours / least
        yield Line(
            "serial start -> exit, of a C posix_spawn loop",
            f"{ratio:.2f} x ({ours / SERIAL * 1000:.2f} / {least / SERIAL * 1000:.2f} ms)",
            "<= 4 x",
            ratio <= 4,
        )
        ours, least = interleaved(
            rounds,
            lambda: _flight(connection, FLIGHT, WIDTH),
            lambda: floor(program, "flight", str(FLIGHT), str(WIDTH)),
        )
        rate = least / ours
        yield Line(
            f"{WIDTH} in flight, of the same loop",
            f"{rate:.2f} x ({FLIGHT / ours:.0f} / {FLIGHT / least:.0f} per s)",
            ">= 0.25 x",
            rate >= 0.25,
        )


def _spec() -> m.StartParams:
    spec = make_spec(["/bin/true"], local=False, stdout="null", stderr="null")
    return m.StartParams(spec=spec)


def _serial(connection: Connection, count: int) -> float:
    params = _spec()

    def work() -> None:
        for _ in range(count):
            replies: list[Any] = []
            _, events = connection.exchange.start(
                params, lambda *reply, replies=replies: replies.append(reply)
            )
            connection.pump_until(lambda events=events: events.closed is not None)  # type: ignore[misc]

    return timed(work)


def _flight(connection: Connection, count: int, width: int) -> float:
    params = _spec()

    def work() -> None:
        started = 0
        flying: list[ProcessEvents] = []
        while started < count or flying:
            while started < count and len(flying) < width:
                flying.append(connection.exchange.start(params, lambda *_: None)[1])
                started += 1
            connection.pump()
            flying = [events for events in flying if events.closed is None]

    return timed(work)


def output(rounds: int, program: Path) -> Iterator[Line]:
    """Bytes per second of stdout beside a raw copy from a pipe to a socket."""
    with running_daemon() as (address, _):
        command = [sys.executable, "-P", "-m", "procnursery.cli", "-H", address, "run", "-n", "--"]

        def ours() -> float:
            with open(os.devnull, "wb") as null:
                return timed(
                    lambda: subprocess.run(
                        [*command, "head", "-c", str(COPY), "/dev/zero"], stdout=null, check=True
                    )
                )

        seconds, least = interleaved(rounds, ours, lambda: floor(program, "copy", str(COPY)))
    ratio = least / seconds
    yield Line(
        "stdout through run, of a raw pipe-to-socket copy",
        f"{ratio:.2f} x ({COPY / seconds / 1e6:.0f} / {COPY / least / 1e6:.0f} MB/s)",
        ">= 0.7 x",
        ratio >= 0.7,
    )
