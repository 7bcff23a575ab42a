"""The report of one run: everything that is known, as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from procnursery.cli.foreground import Undelivered
from procnursery.cli.plain import plain
from procnursery.cli.status import outcome_of_failed_start
from procnursery.errors import RequestError
from procnursery.model import Act, Outcome, ProcessInfo, ProcessSpec, StreamInfo


def report_of(
    info: ProcessInfo, host: str, undelivered: Mapping[str, Undelivered]
) -> dict[str, Any]:
    """The report of a process that has ended."""
    return {
        "host": host,
        "id": info.id,
        "pid": info.pid,
        "argv": plain(info.argv),
        "outcome": plain(info.outcome),
        "cause": info.cause,
        "acts": [_act(act) for act in info.acts],
        "usage": plain(info.usage),
        "tree_usage": plain(info.tree_usage),
        "times": plain(info.times),
        "streams": {
            name: _stream(stream, undelivered.get(name)) for name, stream in info.streams.items()
        },
        "tree": {
            "verdict": info.tree.verdict,
            "killed": info.tree.killed,
            "survivors": plain(info.tree.survivors),
        },
        "containment": info.containment,
    }


def _stream(stream: StreamInfo, lack: Undelivered | None) -> dict[str, Any]:
    errors = [stream.error, None if lack is None else lack.error]
    return {
        "bytes": stream.end,
        "lost": stream.lost,
        "undelivered": 0 if lack is None else lack.bytes,
        "gaps": plain(stream.gaps),
        "eof": stream.eof,
        "mode": stream.mode,
        "error": "; ".join(one for one in errors if one is not None) or None,
    }


def _act(act: Act) -> dict[str, Any]:
    fields: dict[str, Any] = plain(act)
    return fields


def report_of_failed_start(spec: ProcessSpec, error: RequestError, host: str) -> dict[str, Any]:
    """The report of a program that was not executed."""
    return _without_process(spec, outcome_of_failed_start(error), host, verdict="empty")


def report_of_lost(
    spec: ProcessSpec, reason: str, host: str, process_id: str | None, pid: int | None
) -> dict[str, Any]:
    """The report of a run whose end could not be seen."""
    outcome = Outcome(kind="lost", reason=reason)
    report = _without_process(spec, outcome, host, verdict="unknown")
    for stream in report["streams"].values():
        stream |= {"bytes": None, "lost": None, "undelivered": None}
    return report | {"id": process_id, "pid": pid}


def _without_process(
    spec: ProcessSpec, outcome: Outcome, host: str, *, verdict: str
) -> dict[str, Any]:
    nothing = {
        "bytes": 0,
        "lost": 0,
        "undelivered": 0,
        "gaps": [],
        "eof": None,
        "mode": None,
        "error": None,
    }
    return {
        "host": host,
        "id": None,
        "pid": None,
        "argv": plain(spec.argv),
        "outcome": plain(outcome),
        "cause": None,
        "acts": [],
        "usage": None,
        "tree_usage": None,
        "times": None,
        "streams": {
            name: nothing | {"mode": mode}
            for name, mode in (
                ("stdout", spec.output_mode("stdout")),
                ("stderr", spec.output_mode("stderr")),
            )
        },
        "tree": {"verdict": verdict, "killed": 0, "survivors": []},
        "containment": None,
    }
