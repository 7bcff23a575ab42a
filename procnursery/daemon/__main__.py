"""``procnurseryd``: the command line of the daemon."""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import trio

import procnursery
from procnursery import paths
from procnursery.containment.choose import Chosen, choose
from procnursery.containment.tree import ContainmentUnavailable
from procnursery.daemon.config import Config, ConfigError, load_config
from procnursery.daemon.giving_up import OutOfResources, give_up, what_is_lacking
from procnursery.daemon.listeners import Listener, ListenError, listen
from procnursery.daemon.logs import set_up_logging
from procnursery.daemon.main import Setting, run_daemon
from procnursery.inherited import fill_standard_descriptors, undo_locale_coercion
from procnursery.paths import UnixAddress
from procnursery.process.state import StateDirectory, StateDirectoryError

EXIT_CANNOT_START = 1
EXIT_USAGE = 2
EXIT_DEFECT = 70  # EX_SOFTWARE of sysexits(3)

_EPILOG = f"""
Without --listen, a daemon of root listens on unix://{paths.system_socket()} and one of another
user on unix://$XDG_RUNTIME_DIR/procnursery/procnursery.sock. State is kept in
/var/lib/procnursery or $XDG_STATE_HOME/procnursery. The configuration is read from
/etc/procnursery/daemon.toml or $XDG_CONFIG_HOME/procnursery/daemon.toml if it exists.

SIGTERM stops every process (stop signal, grace, SIGKILL), verifies it and exits with status 0;
a second SIGTERM skips the grace. When the daemon is killed, its processes are killed, too.

Exit status: 0 after SIGTERM, 1 if the daemon cannot start
or the machine lacks what it needs, 2 for a usage error, 70 after a defect.
"""


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument("--version", action="version", version=procnursery.__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; returns its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.embedded_fd is not None and options.listen:
        parser.error("--embedded-fd and --listen exclude each other")
    client = None if options.embedded_fd is None else _inherited_socket(options.embedded_fd)
    try:
        return _run(options, client)
    except (ConfigError, ContainmentUnavailable, ListenError, StateDirectoryError) as error:
        give_up(str(error), client)
    except OutOfResources as error:
        give_up(f"the daemon cannot work: {error}", client)
    except OSError as error:
        lack = what_is_lacking(error)
        if lack is None:
            raise
        give_up(f"the daemon cannot work: {lack}", client)
    return EXIT_CANNOT_START


def _run(options: argparse.Namespace, client: socket.socket | None) -> int:
    embedded = client is not None
    config_path = _config_path(options, embedded)
    config = load_config(config_path, _overrides(options))
    set_up_logging(config.log_format, "warning" if embedded else config.log_level)
    addresses = config.addresses() or (UnixAddress(str(paths.default_socket())),)
    config.allowed_uids()
    state = StateDirectory(_state_path(config, embedded))
    try:
        instance = secrets.token_hex(8)
        chosen = choose(config.containment, instance=instance, cgroup_root=config.cgroup_root)
        listeners: list[Listener] = []
        try:
            if not embedded:
                for address in addresses:
                    listeners += listen(address, open_to_others=bool(config.allow_users))
            setting = Setting(
                config=config,
                config_path=config_path,
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


def _config_path(options: argparse.Namespace, embedded: bool) -> Path | None:
    if options.config is not None:
        return Path(options.config)
    default = paths.default_config()
    return default if not embedded and default.exists() else None


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
            os.write(fd, json.dumps({"listen": addresses}).encode() + b"\n")
            os.close(fd)

    return announce


def entry() -> NoReturn:
    """The installed command."""
    fill_standard_descriptors()
    undo_locale_coercion()
    sys.exit(main())


if __name__ == "__main__":
    entry()
