"""From what became of a program to an exit status and a line for people."""

from __future__ import annotations

from procnursery.cli.complaint import FAILURE as FAILURE
from procnursery.cli.complaint import complain as complain
from procnursery.errors import RequestError
from procnursery.model import Outcome, ProcessInfo
from procnursery.signals import signal_number

TIMEOUT = 124
CANNOT_EXECUTE = 126
NOT_FOUND = 127


def status_of(info: ProcessInfo) -> int:
    """Exit status for a process that has ended."""
    outcome = info.outcome
    if outcome is None or outcome.kind == "lost":
        return FAILURE
    if timed_out(info):
        return TIMEOUT
    return status_of_outcome(outcome)


def status_of_outcome(outcome: Outcome) -> int:
    """Exit status for an outcome that is known."""
    if outcome.kind == "start_failed":  # behind its gate
        return _status_of_stage(outcome.stage, outcome.errno)
    if outcome.kind == "exited":
        assert outcome.code is not None
        return outcome.code
    assert outcome.signal is not None
    return 128 + signal_number(outcome.signal)


def timed_out(info: ProcessInfo) -> bool:
    """Whether its time was over before it ended, whatever it made of the stop signal."""
    return any(act.cause == "timeout" for act in info.acts)


def status_of_failed_start(error: RequestError) -> int:
    """127: no such file at exec; 126: any other failed start; 255: everything else."""
    if error.code != "start_failed":
        return FAILURE
    return _status_of_stage(error.data.get("stage"), error.data.get("errno"))


def _status_of_stage(stage: object, number: object) -> int:
    return NOT_FOUND if (stage, number) == ("exec", "ENOENT") else CANNOT_EXECUTE


def outcome_of_failed_start(error: RequestError) -> Outcome:
    """The outcome of a start that failed."""
    data = error.data
    return Outcome(
        kind="start_failed",
        stage=str(data["stage"]) if "stage" in data else None,
        errno=str(data["errno"]) if "errno" in data else None,
        errno_number=data.get("errno_number"),  # type: ignore[arg-type]
        signal=str(data["signal"]) if "signal" in data else None,
        reason=error.message,
    )


def explain(info: ProcessInfo) -> str | None:
    """What there is to say of a process that has ended; None: it just exited."""
    outcome = info.outcome
    if outcome is None:
        return f"{info.id}: the outcome is unknown"
    if timed_out(info):
        return f"{info.id}: its timeout was over; it {outcome}"
    if outcome.kind == "exited":
        return None
    cause = "" if info.cause in ("own", None) else f" (cause: {info.cause})"
    return f"{info.id} {outcome}{cause}"


def tell_of_losses(info: ProcessInfo) -> None:
    """Say what went wrong beside the outcome: survivors, lost output."""
    for one in info.tree.survivors:
        complain(f"{info.id}: pid {one.pid} ({one.command}) is still there: {one.reason}")
    for name, stream in info.streams.items():
        if stream.lost:
            complain(f"{info.id}: {stream.lost} bytes of {name} were lost")
        if stream.error:
            complain(f"{info.id}: {name}: {stream.error}")
