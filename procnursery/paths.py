"""Addresses of daemons, and where things are by default for root and for a user.

Files follow the File Hierarchy Standard for root and the XDG Base Directory Specification for
everybody else.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import NamedTuple

NAME = "procnursery"
MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path, unix(7)."""


class UnixAddress(NamedTuple):
    """``unix:///path``"""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


class TcpAddress(NamedTuple):
    """``tcp://host:port``; an IPv6 address stands in brackets"""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host can only be this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class LocalAddress(NamedTuple):
    """``local:``, a daemon of one command"""

    def __str__(self) -> str:
        return "local:"


Address = UnixAddress | TcpAddress | LocalAddress
_FORMS = "unix:///absolute/path, tcp://host:port"
_TCP = re.compile(r"tcp://(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:/]+)):(\d{1,5})/?")


def parse_address(text: str) -> Address:
    """The address that ``text`` writes.

    :raises ValueError: it is none; says what addresses look like
    """
    if text == "local:":
        return LocalAddress()
    return _parse_socket_address(text, f"{_FORMS} and local:")


def parse_socket_address(text: str) -> UnixAddress | TcpAddress:
    """As :func:`parse_address`, where ``local:``, which names no socket, is no address."""
    return _parse_socket_address(text, _FORMS)


def _parse_socket_address(text: str, forms: str) -> UnixAddress | TcpAddress:
    if text.startswith("unix://"):
        path = text.removeprefix("unix://")
        if path.startswith("/"):
            if len(os.fsencode(path)) > MAX_SOCKET_PATH:
                raise ValueError(
                    f"{text!r}: the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes"
                )
            return UnixAddress(path)
    matched = _TCP.fullmatch(text)
    if matched is not None and int(matched[3]) <= 65535:
        return TcpAddress(matched[1] or matched[2], int(matched[3]))
    raise ValueError(f"{text!r} is no address; addresses are {forms}")


def _directory(variable: str, fallback: Path) -> Path:
    """An XDG directory; relative paths in these variables are to be ignored."""
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else fallback


def system_socket() -> Path:
    """The socket of the machine's daemon."""
    return Path("/run") / NAME / f"{NAME}.sock"


def user_socket() -> Path:
    """The socket of a user's own daemon."""
    runtime = _directory("XDG_RUNTIME_DIR", Path(f"/run/user/{os.getuid()}"))
    return runtime / NAME / f"{NAME}.sock"


def default_socket() -> Path:
    """Where a daemon of this user listens."""
    return system_socket() if os.geteuid() == 0 else user_socket()


def default_state_directory() -> Path:
    """Where a daemon of this user keeps its state."""
    if os.geteuid() == 0:
        return Path("/var/lib") / NAME
    return _directory("XDG_STATE_HOME", Path.home() / ".local" / "state") / NAME


def default_config() -> Path:
    """The configuration file of a daemon of this user; it need not exist."""
    if os.geteuid() == 0:
        return Path("/etc") / NAME / "daemon.toml"
    return _directory("XDG_CONFIG_HOME", Path.home() / ".config") / NAME / "daemon.toml"
