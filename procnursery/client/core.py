"""What both clients share: specs from plain values, errors from replies, credit, results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs

import procnursery
from procnursery.errors import RequestError, StartFailed
from procnursery.inherited import current_umask
from procnursery.model import (
    Gap,
    IoNice,
    Outcome,
    OutputSpec,
    ProcessInfo,
    ProcessSpec,
    PtySpec,
    ReadySpec,
    Scheduler,
    StdinSpec,
)
from procnursery.protocol.connection import PROTOCOL_VERSION
from procnursery.protocol.messages import (
    ClientInfo,
    CreditParams,
    ErrorInfo,
    HelloParams,
    PeerLimits,
)

Text = str | bytes | os.PathLike[str] | os.PathLike[bytes]
WINDOW = 1_048_576
"""Bytes of output that may be under way to a reader."""
STDIN_CHUNK = 262_144
INLINE_STDIN = 1_048_576
"""Input up to this size travels in the start request."""
MAX_FRAME = 1_048_576


def hello_params() -> HelloParams:
    """The first request of this client."""
    return HelloParams(
        protocol=PROTOCOL_VERSION,
        client=ClientInfo(name="procnursery-python", version=procnursery.__version__),
        limits=PeerLimits(max_frame=MAX_FRAME),
    )


class Collected(Protocol):
    """All bytes of a stream."""

    data: bytearray
    gaps: list[Gap]


@attrs.frozen
class Result:
    """What became of a program that was run to its end.

    :ivar process: all that the daemon knows of it
    :ivar stdout: bytes; without those lost to ``gaps``
    """

    process: ProcessInfo
    stdout: bytes
    stderr: bytes
    gaps: dict[str, list[Gap]]

    @classmethod
    def collected(cls, info: ProcessInfo, collectors: Mapping[Any, Collected]) -> Result:
        """From what collectors of the streams have."""
        data = {name: bytes(one.data) for name, one in collectors.items()}
        return cls(
            process=info,
            stdout=data.get("stdout", b""),
            stderr=data.get("stderr", b""),
            gaps={name: one.gaps for name, one in collectors.items()},
        )

    @property
    def outcome(self) -> Outcome:
        """How it ended; ``outcome.raise_for_status()`` raises unless it exited with 0."""
        assert self.process.outcome is not None
        return self.process.outcome


def request_error(error: ErrorInfo) -> RequestError:
    """The exception for an error reply."""
    data = {
        field.name: value
        for field in attrs.fields(type(error.data))
        if field.name != "executed" and (value := getattr(error.data, field.name)) is not None
    }
    if error.code == "start_failed":
        return StartFailed(error.message, stage=data.pop("stage", "unknown"), **data)
    return RequestError(error.code, error.message, executed=error.data.executed, **data)


def make_spec(argv: Sequence[Text] | Text, *, local: bool, **options: Any) -> ProcessSpec:
    """A spec from values as ``subprocess`` takes them.

    :param argv: the program and its arguments
    :param local: the program runs beside the caller: it gets the caller's environment,
        directory and umask unless ``env_base``, ``cwd`` and ``umask`` say otherwise, and a relative
        ``cwd`` is relative to that directory; on a lasting daemon it is relative to the target
        user's home
    :param options: fields of :class:`procnursery.model.ProcessSpec`, where ``env`` may be a
        mapping, paths and names may be str, ``stdin`` may be a mode, bytes or a path,
        ``stdout`` and ``stderr`` may be a mode or a path, ``pty`` may be (rows, columns), and
        ``keep_for`` alone implies ``on_disconnect``
    :raises TypeError: a field is unknown or has an impossible type
    """
    words = [argv] if isinstance(argv, str | bytes | os.PathLike) else argv
    if local:
        options.setdefault("env_base", "inherit")
        if options.get("cwd") is None:
            options["cwd"] = os.getcwdb()
        elif (cwd := os.fsencode(options["cwd"])) and not os.path.isabs(cwd):
            options["cwd"] = os.path.join(os.getcwdb(), cwd)
        if options.get("umask") is None:
            options["umask"] = current_umask()
    options = {key: value for key, value in options.items() if value is not None}
    for name in ("cwd", "executable"):
        if name in options:
            options[name] = os.fsencode(options[name])
    if "env" in options:
        options["env"] = _pairs(options["env"])
    if "stdin" in options:
        options["stdin"] = _stdin(options["stdin"])
    for name in ("stdout", "stderr"):
        if name in options:
            options[name] = _output(options[name])
    if "pty" in options:
        options["pty"] = _pty(options["pty"])
    if "keep_for" in options:
        options.setdefault("on_disconnect", "keep_for")
    for name in ("affinity", "groups"):
        if name in options:
            options[name] = tuple(options[name])
    for name, kind in (
        ("scheduler", Scheduler),
        ("ionice", IoNice),
        ("ready", ReadySpec),
    ):
        if name in options and not isinstance(options[name], kind):
            raise TypeError(f"{name} must be a {kind.__name__}")
    return ProcessSpec(argv=tuple(os.fsencode(word) for word in words), **options)


def run_options(options: dict[str, Any], input: bytes | None) -> dict[str, Any]:
    """Options for the start of a program whose output is collected."""
    if options.get("pty") is not None:  # which is fed and read as pipes are
        return options
    result: dict[str, Any] = {"stdout": "pipe", "stderr": "pipe"} | options
    if input is not None:
        result["stdin"] = input if len(input) <= INLINE_STDIN else "pipe"
    return result


def _pairs(env: Mapping[Text, Text] | Iterable[tuple[Text, Text]]) -> tuple[Any, ...]:
    items = env.items() if isinstance(env, Mapping) else env
    return tuple((os.fsencode(name), os.fsencode(value)) for name, value in items)


def _stdin(value: Any) -> StdinSpec:
    if isinstance(value, StdinSpec):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return StdinSpec(mode="bytes", data=bytes(value))
    if isinstance(value, os.PathLike):
        return StdinSpec(mode="file", path=os.fsencode(value))
    if value in ("pipe", "null"):
        return StdinSpec(mode=value)
    raise TypeError(f"stdin must be 'pipe', 'null', bytes, a path or a StdinSpec, not {value!r}")


def _output(value: Any) -> OutputSpec:
    if isinstance(value, OutputSpec):
        return value
    if isinstance(value, os.PathLike):
        return OutputSpec(mode="direct", path=os.fsencode(value))
    if value in ("pipe", "spool", "direct", "null", "stdout"):
        return OutputSpec(mode=value)
    raise TypeError(f"an output is a mode, a path or an OutputSpec, not {value!r}")


def _pty(value: Any) -> PtySpec:
    if isinstance(value, PtySpec):
        return value
    try:
        rows, columns = value
    except (TypeError, ValueError):
        raise TypeError(f"pty must be (rows, columns) or a PtySpec, not {value!r}") from None
    return PtySpec(rows=rows, columns=columns)


class Credit:
    """How far the daemon may send on one subscription.

    :ivar number: of the subscription
    :ivar consumed: up to where the reader has taken the output
    """

    def __init__(self, number: int, offset: int) -> None:
        self.number = number
        self.consumed = offset
        self._told = offset

    def consume(self, offset: int) -> CreditParams | None:
        """The reader has taken everything below ``offset``; the notification to send, if any."""
        self.consumed = max(self.consumed, offset)
        if self.consumed - self._told < WINDOW // 4:
            return None
        self._told = self.consumed
        return CreditParams(
            subscription=self.number, credit=self.consumed + WINDOW, consumed=self.consumed
        )


def daemon_argv(descriptor: int) -> list[str]:
    """Command line of an embedded daemon that serves the socket ``descriptor``."""
    return [sys.executable, "-P", "-m", "procnursery.daemon", "--embedded-fd", str(descriptor)]
