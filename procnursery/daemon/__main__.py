"""``procnurseryd``: the command line of the daemon."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import secrets
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import trio

import procnursery
from procnursery import paths
from procnursery.containment.choose import Chosen, choose
from procnursery.containment.tree import ContainmentUnavailable
from procnursery.daemon.activation import listen_on, take_descriptors
from procnursery.daemon.config import Config, ConfigError, ConfigSource
from procnursery.daemon.giving_up import OutOfResources, give_up, what_is_lacking
from procnursery.daemon.listeners import Listener, ListenError, listen
from procnursery.daemon.logs import set_up_logging
from procnursery.daemon.main import Setting, run_daemon
from procnursery.daemon.notify import Manager
from procnursery.daemon.units import KINDS, UnitError, unit_text
from procnursery.inherited import fill_standard_descriptors, undo_locale_coercion
from procnursery.paths import TcpAddress, UnixAddress
from procnursery.process.state import StateDirectory, StateDirectoryError

EXIT_CANNOT_START = 1
EXIT_USAGE = 2
EXIT_DEFECT = 70  # EX_SOFTWARE of sysexits(3)

_CANNOT_START = (ConfigError, ContainmentUnavailable, ListenError, StateDirectoryError, UnitError)

_EPILOG = f"""
Without --listen, a daemon of root listens on unix://{paths.system_socket()} and one of another
user on unix://$XDG_RUNTIME_DIR/procnursery/procnursery.sock. State is kept in
/var/lib/procnursery or $XDG_STATE_HOME/procnursery. The configuration is read from
/etc/procnursery/daemon.toml or $XDG_CONFIG_HOME/procnursery/daemon.toml if it exists.

Started by a service manager with sockets (sd_listen_fds(3)), it listens on these, and beside them
only on what --listen names. It tells a manager when it is ready, reloads and stops (sd_notify(3)).

SIGTERM stops every process (stop signal, grace, SIGKILL), verifies it and exits with status 0;
a second SIGTERM skips the grace. SIGHUP reads the configuration again. When the daemon is killed,
its processes are killed, too.

Exit status: 0 after SIGTERM, 1 if the daemon cannot start
or the machine lacks what it needs, 2 for a usage error, 70 after a defect.
"""


def make_parser() -> argparse.ArgumentParser:
    """What the command line takes; its manual page is made from it, too."""
    parser = argparse.ArgumentParser(
        prog="procnurseryd",
        description="Executes and controls processes on this machine for remote controllers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        nargs="+",
        action="extend",
        help="where to listen: unix:///path or tcp://127.0.0.1:port; port 0 lets the kernel choose",
    )
    parser.add_argument("--state-dir", metavar="DIR", help="where ids and output are kept")
    parser.add_argument("--config", metavar="FILE", help="configuration (TOML)")
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="allow TCP on loopback, where every user of this machine may connect",
    )
    parser.add_argument(
        "--ready-fd",
        type=int,
        metavar="N",
        help='write {"listen": [ADDRESS, …]} and a newline to descriptor N once connections are '
        "served, and close it",
    )
    parser.add_argument(
        "--embedded-fd",
        type=int,
        metavar="N",
        help="serve only the connected socket N, and end with it",
    )
    parser.add_argument(
        "--print-unit",
        choices=KINDS,
        help="print a systemd unit that starts this installation of the daemon, and exit",
    )
    parser.add_argument(
        "--user", action="store_true", help="with --print-unit: the unit of a user's own daemon"
    )
    parser.add_argument("--version", action="version", version=procnursery.__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; returns its exit status."""
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.embedded_fd is not None and options.listen:
        parser.error("--embedded-fd and --listen exclude each other")
    if options.user and options.print_unit is None:
        parser.error("--user goes with --print-unit; a daemon started by a user is the user's own")
    client: socket.socket | None = None
    try:
        if options.print_unit is not None:
            print(unit_text(options.print_unit, user=options.user), end="")
            return 0
        _check_descriptors(options)
        if options.embedded_fd is not None:
            client = _inherited_socket(options.embedded_fd)
        return _run(options, client)
    except UsageError as error:
        print(f"procnurseryd: {error}", file=sys.stderr)
        return EXIT_USAGE
    except _CANNOT_START as error:
        give_up(str(error), client)
    except OutOfResources as error:
        give_up(f"the daemon cannot work: {error}", client)
    except OSError as error:
        lack = what_is_lacking(error)
        if lack is None:
            raise
        give_up(f"the daemon cannot work: {lack}", client)
    return EXIT_CANNOT_START


class UsageError(Exception):
    """An option that cannot be obeyed; the message says which and why."""


def _run(options: argparse.Namespace, client: socket.socket | None) -> int:
    embedded = client is not None
    manager, given = Manager.take(os.environ), take_descriptors(os.environ)
    if embedded and given:
        raise ListenError("--embedded-fd serves one connection; it takes no listening sockets")
    source = _config_source(options, embedded)
    config_path = source.find()
    config = source.load(config_path)
    set_up_logging(config.log_format, "warning" if embedded else config.log_level)
    addresses = _addresses(config, bool(given), named=bool(options.listen))
    allowed = config.allowed_uids()
    state = StateDirectory(_state_path(config, embedded))
    try:
        _tell_of_leftovers(state)
        instance = secrets.token_hex(8)
        chosen = choose(config.containment, instance=instance, cgroup_root=config.cgroup_root)
        listeners: list[Listener] = []
        try:
            for one in given:
                listeners.append(listen_on(one, config))
            if not embedded:
                for address in addresses:
                    listeners += listen(address, open_to_others=bool(config.allow_users))
            setting = Setting(
                source=source,
                config=config,
                config_path=config_path,
                allowed=allowed,
                manager=Manager(None) if embedded else manager,
                instance=instance,
                state=state,
                chosen=chosen,
                listeners=listeners,
                embedded=client,
                ready=_announcer(options.ready_fd, listeners, chosen),
            )
            return _serve(setting)
        finally:
            for listener in listeners:
                listener.close()
            chosen.containment.close()
    finally:
        state.close()


def _serve(setting: Setting) -> int:
    try:
        trio.run(run_daemon, setting)
    except BaseException as error:
        lack = what_is_lacking(error)
        if lack is not None:
            raise OutOfResources(lack) from error
        logging.getLogger(__name__).critical(
            "the daemon failed; its processes were stopped", exc_info=True
        )
        return EXIT_DEFECT
    return 0


def _addresses(
    config: Config, activated: bool, *, named: bool
) -> tuple[UnixAddress | TcpAddress, ...]:
    """The addresses to listen on beside the sockets that were given. Whoever writes a socket unit
    expects the daemon there and nowhere else, unless the command line names more."""
    addresses = config.addresses()
    if not activated:
        return addresses or (UnixAddress(str(paths.default_socket())),)
    if named:
        return addresses
    if addresses:
        logging.getLogger(__name__).warning(
            "not listening where the configuration says, since the service manager gives sockets",
            extra={"listen": ",".join(map(str, addresses))},
        )
    return ()


def _config_source(options: argparse.Namespace, embedded: bool) -> ConfigSource:
    named = options.config
    return ConfigSource(
        named=None if named is None else Path(os.path.abspath(named)),
        default=None if embedded else paths.default_config(),
        overrides=_overrides(options),
    )


def _check_descriptors(options: argparse.Namespace) -> None:
    """What was handed down is there, and is not handed on to the spawner.

    :raises UsageError: it is not
    """
    if (fd := options.ready_fd) is not None:
        try:
            writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
            os.set_inheritable(fd, False)
        except (OSError, OverflowError, ValueError):
            writable = False
        if not writable:
            raise UsageError(f"--ready-fd {fd}: there is no descriptor {fd} open for writing")
    if (fd := options.embedded_fd) is not None:
        try:
            is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
        except (OSError, OverflowError):
            is_socket = False
        if not is_socket:
            raise UsageError(f"--embedded-fd {fd}: there is no descriptor {fd} that is a socket")


def _tell_of_leftovers(state: StateDirectory) -> None:
    processes, size = state.leftovers()
    if processes:
        logging.getLogger(__name__).warning(
            "earlier daemons left the output of processes, which this one does not know; "
            "it can be deleted",
            extra={"processes": processes, "bytes": size, "path": str(state.path / "output")},
        )


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if options.listen:
        overrides["listen"] = tuple(options.listen)
    if options.state_dir is not None:
        overrides["state_dir"] = os.path.abspath(options.state_dir)
    if options.insecure is not None:
        overrides["insecure"] = True
    return overrides


def _state_path(config: Config, embedded: bool) -> Path | None:
    if config.state_dir is not None:
        return Path(config.state_dir)
    return None if embedded else paths.default_state_directory()


def _inherited_socket(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _announcer(fd: int | None, listeners: list[Listener], chosen: Chosen) -> Callable[[], None]:
    addresses = [listener.address for listener in listeners]
    if fd is not None:
        os.set_inheritable(fd, False)  # or the spawner holds it open, and no reader sees its end

    def announce() -> None:
        logging.getLogger(__name__).info(
            "ready", extra={"listen": ",".join(addresses), "containment": chosen.kind}
        )
        if fd is not None:
            try:
                os.write(fd, json.dumps({"listen": addresses}).encode() + b"\n")
            except OSError as error:  # whoever was to be told is gone, or has no room
                logging.getLogger(__name__).warning(
                    "nobody could be told of readiness", extra={"fd": fd, "error": error.strerror}
                )
            os.close(fd)

    return announce


def entry() -> NoReturn:
    """The installed command."""
    fill_standard_descriptors()
    undo_locale_coercion()
    sys.exit(main())


if __name__ == "__main__":
    entry()
