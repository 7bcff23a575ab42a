"""A client made of a socket and a MessagePack library, written from spec/protocol.md alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

TIMEOUT = float(os.environ.get("CONFORMANCE_TIMEOUT", "30"))
"""Seconds that anything may take."""
CREDIT = 2**40


_SCHEMA = json.loads((Path(__file__).parents[2] / "spec" / "schema.json").read_text())
ERRORS = {method["name"]: set(method["errors"]) for method in _SCHEMA["methods"]}
"""With what each method may be refused."""


class Refused(Exception):
    """A request was answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: str = error["code"]
        self.data: dict[str, Any] = error["data"]


class Ended(Exception):
    """The daemon has closed the connection.

    :ivar goodbye: code of its goodbye; None: it said none
    """

    def __init__(self, goodbye: str | None) -> None:
        super().__init__(f"goodbye {goodbye}")
        self.goodbye = goodbye


def pack(value: Any) -> bytes:
    """The payload of a message."""
    data: bytes = msgpack.packb(value, use_bin_type=True)
    return data


def frame(payload: bytes) -> bytes:
    """A payload with its length."""
    return struct.pack(">I", len(payload)) + payload


def dial(address: str) -> socket.socket:
    """A connected socket."""
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        sock.connect(rest)
        return sock
    host, _, port = rest.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)


class Peer:
    """One connection.

    :ivar notes: notifications that have arrived: (method, params)
    :ivar largest: bytes of the largest payload that has arrived
    """

    def __init__(self, address: str, *, greet: bool = True, **hello: Any) -> None:
        self.sock = dial(address)
        self.notes: list[tuple[str, Any]] = []
        self.replies: dict[int, tuple[Any, Any]] = {}
        self.order: list[Any] = []
        self.largest = 0
        self._buffer = bytearray()
        self._reached: dict[int, int] = {}
        self._ends: dict[int, Any] = {}
        self._methods: dict[int, str] = {}
        self._next_id = 0
        self.goodbye: str | None = None
        self.hello: dict[str, Any] = {}
        if greet:
            client = {"name": "conformance"}
            self.hello = self.call("hello", {"protocol": 1, "client": client} | hello)

    def close(self) -> None:
        """Close the socket without a word."""
        self.sock.close()

    def reset(self) -> None:
        """Break the connection as a crash or a firewall does, with an RST on TCP."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Messages

    def send_raw(self, data: bytes) -> None:
        """Send bytes; a daemon that has closed the connection does not matter."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def send(self, message: Any) -> None:
        """Send one message."""
        self.send_raw(frame(pack(message)))

    def request(self, method: str, params: Any, number: int | None = None) -> int:
        """Send a request; its id."""
        if number is None:
            number = self._next_id
            self._next_id += 1
        self._methods[number] = method
        self.send([0, number, method, params])
        return number

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self.send([2, method, params])

    def take(self, timeout: float = TIMEOUT) -> Any:
        """The next message.

        :raises Ended: there is none
        :raises TimeoutError: nothing came
        """
        deadline = time.monotonic() + timeout
        while True:
            if len(self._buffer) >= 4:
                size = struct.unpack(">I", self._buffer[:4])[0]
                if len(self._buffer) >= 4 + size:
                    payload = bytes(self._buffer[4 : 4 + size])
                    del self._buffer[: 4 + size]
                    self.largest = max(self.largest, size)
                    return self._sort(msgpack.unpackb(payload, raw=False))
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Ended(self.goodbye)
            self._buffer += data

    def _sort(self, message: Any) -> Any:
        kind = message[0]
        self.order.append(message)
        if kind == 1:
            _, number, error, result = message
            assert number not in self.replies, f"two replies to request {number}"
            assert (error is None) != (result is None)
            method = self._methods.get(number)
            if error is not None and method is not None:
                allowed = ERRORS.get(method, {"unknown_method"}) | {"hello_expected"}
                assert error["code"] in allowed, f"{method} was answered with {error['code']}"
            self.replies[number] = (error, result)
        else:
            assert kind == 2
            self.notes.append((message[1], message[2]))
            if message[1] == "output.data":
                params = message[2]
                self._reached[params["subscription"]] = params["offset"] + len(params["data"])
            if message[1] == "output.end":
                number = message[2]["subscription"]
                assert number not in self._ends, f"subscription {number} ended twice"
                self._ends[number] = message[2]
            if message[1] == "goodbye":
                self.goodbye = message[2]["code"]
        return message

    def until(self, condition: Callable[[], Any], timeout: float = TIMEOUT) -> Any:
        """Take messages until ``condition`` gives something."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            self.take(deadline - time.monotonic())
        return found

    def answer(self, number: int, timeout: float = TIMEOUT) -> Any:
        """The result of a request.

        :raises Refused: the answer is an error
        """
        self.until(lambda: number in self.replies, timeout)
        error, result = self.replies.pop(number)
        if error is not None:
            raise Refused(error)
        return result

    def answered(self, number: int) -> None:
        """Wait for a reply, whatever it is."""
        self.until(lambda: number in self.replies)

    def call(self, method: str, params: Any | None = None, **fields: Any) -> Any:
        """Send a request and wait for its result."""
        return self.answer(self.request(method, (params or {}) | fields))

    def refusal(self, method: str, params: Any | None = None, **fields: Any) -> Refused:
        """Send a request that must be refused."""
        try:
            result = self.call(method, params, **fields)
        except Refused as refused:
            return refused
        raise AssertionError(f"{method} was not refused: {result}")

    def refusal_of(self, number: int) -> str:
        """Code of the error that answers a request."""
        try:
            self.answer(number)
        except Refused as refused:
            return refused.code
        raise AssertionError(f"request {number} was not refused")

    def farewell(self, timeout: float = TIMEOUT) -> str | None:
        """Wait for the end of the connection: the code of the goodbye before it."""
        try:
            while True:
                self.take(timeout)
        except Ended as ended:
            return ended.goodbye

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            self.take(seconds)
        except TimeoutError:
            return True
        return False

    # Processes

    def start(self, *argv: str | bytes, events: bool = True, **spec: Any) -> str:
        """Start a program; its id."""
        result = self.call("process.start", {"spec": {"argv": list(argv)} | spec, "events": events})
        identifier: str = result["id"]
        return identifier

    def shell(self, script: str, **spec: Any) -> str:
        """Start a shell script; its id."""
        return self.start("sh", "-c", script, **spec)

    def wait(self, identifier: str, **options: Any) -> dict[str, Any]:
        """Wait for the end of a process; everything that is known of it."""
        result = self.call("process.wait", {"id": identifier} | options)
        process: dict[str, Any] = result["process"]
        return process

    def get(self, identifier: str) -> dict[str, Any]:
        """Everything that is known of a process."""
        process: dict[str, Any] = self.call("process.get", id=identifier)["process"]
        return process

    def read_all(self, identifier: str, stream: str = "stdout", offset: int = 0) -> bytes:
        """A stream from ``offset`` to its end, by output.read."""
        parts = []
        while True:
            result = self.call(
                *("output.read",),
                id=identifier,
                stream=stream,
                offset=offset,
                wait=20,
                consumed=offset,
            )
            parts.append(result["data"])
            offset = result["offset"] + len(result["data"])
            if result.get("eof") is not None:
                return b"".join(parts)

    def output(self, script: str, **spec: Any) -> bytes:
        """What a shell script writes."""
        return self.read_all(self.shell(script, **spec))

    def subscribe(
        self, identifier: str, stream: str = "stdout", offset: int = 0, credit: int = CREDIT
    ) -> int:
        """Subscribe; the number of the subscription."""
        result = self.call(
            "output.subscribe", id=identifier, stream=stream, offset=offset, credit=credit
        )
        number: int = result["subscription"]
        return number

    def delivered(self, number: int) -> list[tuple[str, Any]]:
        """What has arrived on a subscription."""
        return [
            (method, params)
            for method, params in self.notes
            if method.startswith("output.") and params["subscription"] == number
        ]

    def data(self, number: int) -> bytes:
        """Bytes that have arrived on a subscription."""
        return b"".join(
            params["data"] for method, params in self.delivered(number) if method == "output.data"
        )

    def reached(self, number: int) -> int:
        """Offset behind the last bytes that have arrived on a subscription."""
        return self._reached.get(number, 0)

    def ended(self, number: int) -> Any:
        """The output.end of a subscription, once it has arrived."""
        return self._ends.get(number)

    def events(self, identifier: str) -> list[tuple[str, Any]]:
        """Events of a process that have arrived."""
        return [
            (method.removeprefix("process."), params)
            for method, params in self.notes
            if method.startswith("process.") and params["id"] == identifier
        ]

    def event(self, identifier: str, name: str, timeout: float = TIMEOUT) -> Any:
        """Wait for an event of a process."""
        return self.until(
            lambda: next((one for kind, one in self.events(identifier) if kind == name), None),
            timeout,
        )
