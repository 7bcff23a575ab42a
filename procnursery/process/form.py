"""The form of a spec, beyond what its types say: checked before anything is done."""

from __future__ import annotations

import re
import resource

from procnursery.errors import InvalidField
from procnursery.model import OutputSpec, ProcessSpec, StdinSpec
from procnursery.paths import parse_socket_address
from procnursery.signals import signal_number

_LABEL = re.compile(r"[A-Za-z0-9_./-]{1,64}")

RLIMITS = {
    name.removeprefix("RLIMIT_").lower(): getattr(resource, name)
    for name in (
        "RLIMIT_AS",
        "RLIMIT_CORE",
        "RLIMIT_CPU",
        "RLIMIT_DATA",
        "RLIMIT_FSIZE",
        "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_NOFILE",
        "RLIMIT_NPROC",
        "RLIMIT_RSS",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING",
        "RLIMIT_STACK",
    )
    if hasattr(resource, name)
}
"""Names of resource limits as in getrlimit(2), lower case without the prefix."""
RLIMITS.setdefault("rttime", 15)  # in <bits/resource.h>, not in every Python's module


def check_form(spec: ProcessSpec) -> None:
    """Check what the fields of a spec say together.

    :raises InvalidField: with the path of the field, ``spec`` not included
    """
    _check_bytes(spec)
    _check_limits(spec)
    _check_pty(spec)
    _check_stdin(spec)
    _check_output(spec.stdout, "stdout")
    _check_output(spec.stderr, "stderr")
    _check_ready(spec)
    for key in spec.labels:
        if not _LABEL.fullmatch(key):
            raise InvalidField(
                "a label's name has 1 to 64 characters of A-Z a-z 0-9 _ . / -", f"labels.{key}"
            )
    if (spec.keep_for is not None) != (spec.on_disconnect == "keep_for"):
        raise InvalidField("must be given with on_disconnect 'keep_for', and only then", "keep_for")
    if spec.scheduler is not None:
        real_time = spec.scheduler.policy in ("fifo", "rr")
        if real_time != (spec.scheduler.priority > 0):
            raise InvalidField(
                "must be 1 to 99 for fifo and rr, and 0 for the others", "scheduler.priority"
            )
    try:
        signal_number(spec.stop_signal)
    except ValueError as error:
        raise InvalidField(str(error), "stop_signal") from None


def _check_bytes(spec: ProcessSpec) -> None:
    for index, argument in enumerate(spec.argv):
        _no_nul(argument, f"argv[{index}]")
    for index, (name, value) in enumerate(spec.env):
        if b"=" in name:
            raise InvalidField("a name must not contain '='", f"env[{index}][0]")
        _no_nul(name, f"env[{index}][0]")
        _no_nul(value, f"env[{index}][1]")
    for field in ("executable", "cwd"):
        path = getattr(spec, field)
        if path is not None:
            _no_nul(path, field)


def _no_nul(value: bytes, path: str) -> None:
    if b"\0" in value:
        raise InvalidField("must not contain a NUL byte", path)


def _check_limits(spec: ProcessSpec) -> None:
    for name, (soft, hard) in spec.rlimits.items():
        if name not in RLIMITS:
            raise InvalidField(
                f"is no resource limit; there are {', '.join(sorted(RLIMITS))}", f"rlimits.{name}"
            )
        if hard is not None and (soft is None or soft > hard):
            raise InvalidField("the soft limit exceeds the hard limit", f"rlimits.{name}")


def _check_pty(spec: ProcessSpec) -> None:
    if spec.pty is not None:
        defaults = {"stdin": StdinSpec(), "stdout": OutputSpec(), "stderr": OutputSpec()}
        for name, default in defaults.items():
            if getattr(spec, name) != default:
                raise InvalidField("must not be given with pty, which takes its place", name)


def _check_stdin(spec: ProcessSpec) -> None:
    stdin = spec.stdin
    if (stdin.path is not None) != (stdin.mode == "file"):
        raise InvalidField("must be given with mode 'file', and only then", "stdin.path")
    if stdin.path is not None:
        _no_nul(stdin.path, "stdin.path")
    if (stdin.data is not None) != (stdin.mode == "bytes"):
        raise InvalidField("must be given with mode 'bytes', and only then", "stdin.data")


def _check_ready(spec: ProcessSpec) -> None:
    ready = spec.ready
    if ready is None:
        return
    if (ready.pattern is not None) != (ready.mode == "output"):
        raise InvalidField("must be given with mode 'output', and only then", "ready.pattern")
    if ready.mode == "output" and ready.stream not in spec.own_streams:
        raise InvalidField(f"{ready.stream} has no bytes of its own", "ready.stream")
    if (ready.address is not None) != (ready.mode == "connect"):
        raise InvalidField("must be given with mode 'connect', and only then", "ready.address")
    if ready.address is not None:
        try:
            parse_socket_address(ready.address)
        except ValueError as error:
            raise InvalidField(str(error), "ready.address") from None


def _check_output(output: OutputSpec, name: str) -> None:
    if output.mode == "stdout" and name == "stdout":
        raise InvalidField("only stderr can be merged into stdout", "stdout.mode")
    if output.path is not None:
        if output.mode != "direct":
            raise InvalidField("needs mode 'direct'", f"{name}.path")
        _no_nul(output.path, f"{name}.path")
    if output.append and output.path is None:
        raise InvalidField("needs a path", f"{name}.append")
