"""Options of ``run`` and ``start`` that say what the program is to be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from procnursery.cli import suggest
from procnursery.cli.values import Directory, Seconds, Umask, Who, Whole
from procnursery.signals import signal_name, signal_names, signal_number

F = TypeVar("F", bound=Callable[..., Any])
_LIMIT = re.compile(r"([A-Za-z_]+)=(\d+|unlimited|infinity)(?::(\d+|unlimited|infinity))?")


class Signal(click.ParamType[str]):
    """A signal by name or number: SIGTERM, TERM, 15."""

    name = "signal"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The full name."""
        text = str(value).upper()
        try:
            if text.isdigit():
                name = signal_name(int(text))
            else:
                name = text if text.startswith("SIG") else f"SIG{text}"
            signal_number(name)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        """Names with SIG, and without where it was begun so."""
        from click.shell_completion import CompletionItem

        begun = incomplete.upper()
        full = signal_names()
        short = [name.removeprefix("SIG") for name in full] if begun else []
        return [CompletionItem(name) for name in [*full, *short] if name.startswith(begun)]


class Cpus(click.ParamType[tuple[int, ...]]):
    """A list of CPUs: 0,2-3."""

    name = "cpus"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Their numbers."""
        if isinstance(value, tuple):
            return value
        cpus: set[int] = set()
        for part in str(value).split(","):
            matched = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
            if matched is None:
                self.fail(f"{value!r} is no list of CPUs such as 0,2-3", param, ctx)
            first, last = int(matched[1]), int(matched[2] or matched[1])
            if first > last:
                self.fail(f"{part!r} is an empty range", param, ctx)
            cpus.update(range(first, last + 1))
        return tuple(sorted(cpus))


class Limit(click.ParamType[tuple[str, tuple[int | None, int | None]]]):
    """A resource limit: nofile=1024:4096."""

    name = "limit"

    def convert(
        self, value: Any, param: Any, ctx: Any
    ) -> tuple[str, tuple[int | None, int | None]]:
        """(name, (soft, hard)); None: unlimited."""
        if isinstance(value, tuple):
            return value
        matched = _LIMIT.fullmatch(str(value))
        if matched is None:
            self.fail(f"{value!r} is not of the form NAME=SOFT[:HARD]", param, ctx)
        name = matched[1].lower().removeprefix("rlimit_")
        soft = _amount(matched[2])
        return name, (soft, soft if matched[3] is None else _amount(matched[3]))


def _amount(text: str) -> int | None:
    return int(text) if text.isdigit() else None


class Variable(click.ParamType[tuple[bytes, bytes]]):
    """NAME=VALUE, or NAME for the caller's value."""

    name = "variable"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[bytes, bytes]:
        """(name, value)"""
        if isinstance(value, tuple):
            return value
        name, equals, content = os.fsencode(value).partition(b"=")
        if not name:
            self.fail(f"{value!r} has no name", param, ctx)
        if not equals:
            if name not in os.environb:
                self.fail(f"{value} is not set here; give {value}=VALUE", param, ctx)
            content = os.environb[name]
        return name, content


_OPTIONS = (
    click.option(
        "--env",
        type=Variable(),
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Set a variable of the program's environment; NAME alone takes the value it has "
        "here. Can be given many times.",
    ),
    click.option(
        "--inherit-env",
        is_flag=True,
        help="Begin with the daemon's environment instead of a clean one (PATH, HOME, USER, "
        "LOGNAME, SHELL, LANG). With local: that is the environment of this command, always. "
        "PROCNURSERY_ID and PROCNURSERY_INSTANCE are set in any case.",
    ),
    click.option(
        "--cwd",
        type=Directory(),
        metavar="DIR",
        shell_complete=suggest.directory,
        help="Directory to run in, by default and if relative from the user's home; with local: "
        "from the present directory.",
    ),
    click.option("--user", type=Who(), metavar="NAME", help="User to run as, by name or number."),
    click.option(
        "--group",
        type=Who(),
        metavar="NAME",
        help="Group to run as, by name or number.  [default: the user's]",
    ),
    click.option(
        "--umask",
        type=Umask(),
        metavar="OCTAL",
        help="Permissions that new files do not get.  [default: 022; with local: this command's]",
    ),
    click.option(
        "--timeout",
        type=Seconds(),
        metavar="SECONDS",
        help="Stop the program when it has run so long; the exit status of run and wait is then "
        "124.",
    ),
    click.option(
        "--stop-signal",
        type=Signal(),
        metavar="SIGNAL",
        help="First signal of a stop.  [default: SIGTERM]",
    ),
    click.option(
        "--grace",
        type=Seconds(),
        metavar="SECONDS",
        help="Time between the stop signal and SIGKILL.  [default: 10]",
    ),
    click.option(
        "--affinity", type=Cpus(), metavar="CPUS", help="CPUs that it may use, such as 0,2-3."
    ),
    click.option("--nice", type=Whole(-20, 19), metavar="N", help="Niceness, -20 to 19."),
    click.option(
        "--rlimit",
        type=Limit(),
        multiple=True,
        metavar="NAME=SOFT[:HARD]",
        help="A resource limit, such as nofile=1024 or core=0:unlimited. Can be given many times.",
    ),
)


_MODES = {
    "pipe": "pipe: through memory, the program waits for a slow reader.",
    "spool": "spool: kept in files by the daemon.",
    "direct": "direct: the program writes the files itself, the daemon does nothing; not for "
    "programs that open /dev/stdout anew.",
    "null": "null: nowhere.",
}


def spec_options(function: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def output_mode_option(default: str, modes: tuple[str, ...]) -> Callable[[F], F]:
    """Add ``--output-mode``."""
    return click.option(
        "--output-mode",
        type=click.Choice(modes),
        default=default,
        show_default=True,
        help=" ".join(_MODES[mode] for mode in modes),
    )


def spec_fields(
    *,
    env: tuple[tuple[bytes, bytes], ...],
    inherit_env: bool,
    cwd: str | None,
    user: str | int | None,
    group: str | int | None,
    umask: int | None,
    timeout: float | None,
    stop_signal: str | None,
    grace: float | None,
    affinity: tuple[int, ...] | None,
    nice: int | None,
    rlimit: tuple[tuple[str, tuple[int | None, int | None]], ...],
    output_mode: str,
) -> dict[str, Any]:
    """Fields of a spec, as :func:`procnursery.client.core.make_spec` takes them."""
    return {
        "env": env or None,
        "env_base": "inherit" if inherit_env else None,
        "cwd": cwd,
        "user": user,
        "group": group,
        "umask": umask,
        "timeout": timeout,
        "stop_signal": stop_signal,
        "grace": grace,
        "affinity": affinity,
        "nice": nice,
        "rlimits": dict(rlimit) or None,
        "stdout": output_mode,
        "stderr": output_mode,
    }
