"""The daemon's configuration: a TOML file, overruled by the command line."""

from __future__ import annotations

import pwd
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs

from procnursery.paths import TcpAddress, UnixAddress, parse_socket_address


class ConfigError(Exception):
    """The configuration is wrong; the message says where and what is possible."""


@attrs.frozen(kw_only=True)
class Config:
    """Every option, with its default. ``docs/configuration.md`` describes them.

    :ivar listen: addresses; empty: the default socket of this user
    :ivar state_dir: absolute path; None: the default of this user
    """

    listen: tuple[str, ...] = ()
    state_dir: str | None = None
    insecure: bool = False
    allow_users: tuple[str, ...] = ()
    containment: Literal["auto", "cgroup", "session"] = "auto"
    cgroup_root: str | None = None
    shutdown_grace: float = 10.0
    keep_closed: int = 1000
    keep_events: int = 4096
    max_connections: int = 1024
    max_frame: int = 8 * 2**20
    max_requests: int = 128
    max_in_flight: int = 16 * 2**20
    max_subscriptions: int = 64
    hello_timeout: float = 10.0
    write_timeout: float = 30.0
    file_threads: int = 4
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def addresses(self) -> tuple[UnixAddress | TcpAddress, ...]:
        """The addresses to listen on.

        :raises ConfigError: one of them is wrong, or is not to be listened on
        """
        return tuple(self._address(text) for text in self.listen)

    def _address(self, text: str) -> UnixAddress | TcpAddress:
        try:
            address = parse_socket_address(text)
        except ValueError as error:
            raise ConfigError(f"listen: {error}") from None
        if isinstance(address, UnixAddress):
            return address
        if not isinstance(address, TcpAddress):
            raise ConfigError(f"listen: {text} is not an address to listen on")
        self.check_tcp(address, f"listen: {text}")
        return address

    def check_tcp(self, address: TcpAddress, where: str) -> None:
        """Whether TCP may be listened on, and here.

        :param where: how the message names it
        :raises ConfigError: it may not
        """
        if not address.is_loopback:
            raise ConfigError(
                f"{where}: {address.host} is not a loopback address; TCP is neither encrypted nor "
                "authenticated, so only 127.0.0.0/8, ::1 and localhost are possible, and "
                "those only with --insecure (insecure = true)"
            )
        if not self.insecure:
            raise ConfigError(
                f"{where}: TCP is neither encrypted nor authenticated; every user of this "
                "machine could run programs as the daemon's user. Give --insecure (insecure = "
                "true) if that is wanted, or listen on a Unix socket"
            )

    def allowed_uids(self) -> frozenset[int]:
        """The uids of ``allow_users``.

        :raises ConfigError: there is no such user
        """
        return frozenset(_uid(name) for name in self.allow_users)


def _uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError(f"allow_users: there is no user {name!r} on this machine") from None


@attrs.frozen(kw_only=True)
class ConfigSource:
    """Where the configuration comes from, at the start and at every reload.

    :ivar named: file that the command line names
    :ivar default: file that is read if there is one, and none is named
    :ivar overrides: options of the command line, which overrule every file
    """

    named: Path | None = None
    default: Path | None = None
    overrides: dict[str, Any] = attrs.field(factory=dict)

    def find(self) -> Path | None:
        """The file to read now; None: there is none."""
        if self.named is not None or self.default is None:
            return self.named
        try:
            return self.default if self.default.exists() else None
        except OSError:  # a directory may not be searched: whoever reads it says so
            return self.default

    def load(self, path: Path | None) -> Config:
        """Read it; see :func:`load_config`."""
        return load_config(path, self.overrides)


_BOUNDS: dict[str, tuple[float, float]] = {
    "shutdown_grace": (0, 86_400),
    "keep_closed": (0, 1_000_000),
    "keep_events": (1, 1_000_000),
    "max_connections": (1, 1_000_000),
    "max_frame": (65_536, 2**24 - 1),
    "max_requests": (1, 65_535),
    "max_in_flight": (65_536, 2**31),
    "max_subscriptions": (1, 65_535),
    "hello_timeout": (0.01, 3600),
    "write_timeout": (0.01, 3600),
    "file_threads": (1, 64),
}


def load_config(path: Path | None, overrides: dict[str, Any]) -> Config:
    """Read the configuration.

    :param path: a TOML file; None: none
    :param overrides: options of the command line
    :raises ConfigError: it cannot be read, has unknown keys or wrong values
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            with path.open("rb") as file:
                values = tomllib.load(file)
        except OSError as error:
            raise ConfigError(
                f"the configuration {path} cannot be read: {error.strerror}"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"the configuration {path} is not TOML: {error}") from None
    checked = {key: _check(key, value, path) for key, value in values.items()}
    return Config(**(checked | overrides))


def _check(key: str, value: Any, path: Path | None) -> Any:
    hints = get_type_hints(Config)
    if key not in hints:
        raise ConfigError(f"{path}: unknown option {key!r}; there are {', '.join(sorted(hints))}")
    hint = hints[key]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{path}: {key} must be one of {', '.join(get_args(hint))}")
        return value
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{path}: {key} must be an array of strings")
        return tuple(value)
    if hint == str | None:
        if not isinstance(value, str) or not value.startswith("/"):
            raise ConfigError(f"{path}: {key} must be an absolute path")
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{path}: {key} must be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int if hint is int else (int, float)):
        raise ConfigError(f"{path}: {key} must be a number{' without fraction' * (hint is int)}")
    low, high = _BOUNDS[key]
    if not low <= value <= high:
        raise ConfigError(f"{path}: {key} must be between {low:g} and {high:g}")
    return hint(value)
