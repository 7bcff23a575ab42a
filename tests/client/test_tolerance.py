"""Clients take what a newer daemon may add: a proxy adds it to everything that a daemon sends."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgpack
import pytest

from procnursery.client import blocking, connection
from tests.daemons import Daemon


class Proxy:
    """Between clients and a daemon: adds unknown fields to maps, and unknown notifications."""

    def __init__(self, path: Path, daemon: str) -> None:
        self._daemon = daemon.removeprefix("unix://")
        self._random = random.Random(1)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self.added = 0
        self.address = f"unix://{path}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(self._daemon)
            for target, arguments in (
                (self._copy, (client, daemon)),
                (self._add, (daemon, client)),
            ):
                thread = threading.Thread(target=target, args=arguments, daemon=True)
                self._threads.append(thread)
                thread.start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def _add(self, daemon: socket.socket, client: socket.socket) -> None:
        with daemon, client, daemon.makefile("rb") as frames:
            while head := frames.read(4):
                message = msgpack.unpackb(frames.read(struct.unpack(">I", head)[0]), raw=False)
                try:
                    for one in self._with_unknown(message):
                        payload = msgpack.packb(one, use_bin_type=True)
                        client.sendall(struct.pack(">I", len(payload)) + payload)
                except BrokenPipeError:
                    return

    def _with_unknown(self, message: Any) -> Iterator[Any]:
        self.added += 1
        if self._random.random() < 0.5 and message[0] == 2:
            yield [2, "x-weather.changed", {"sky": ["blue", {"deep": 1}]}]
            yield [2, "process.dreamt", {"id": "p1"}]
        yield [self._enrich(part) for part in message]

    def _enrich(self, value: Any) -> Any:
        if isinstance(value, dict) and not set(value) >= {"stdout", "stderr"}:
            extra = {f"x-{self._random.randrange(99)}": [None, {"a": b"\xff"}]}
            return {key: self._enrich(item) for key, item in value.items()} | extra
        if isinstance(value, list):
            return [self._enrich(item) for item in value]
        return value

    def close(self) -> None:
        """Stop listening."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def proxy(short_path: Path, daemon: Daemon) -> Iterator[Proxy]:
    made = Proxy(short_path / "proxy", daemon.address)
    yield made
    made.close()


@pytest.mark.spec("PN-4.1-9")
def test_blocking_client_ignores_the_unknown(proxy: Proxy) -> None:
    with blocking.connect(proxy.address) as client:
        result = client.run(["sh", "-c", "cat; exit 3"], input=b"x" * 2_000_000)
        assert (len(result.stdout), result.outcome.code) == (2_000_000, 3)
        assert [one.id for one in client.list()] == ["p1"]
        assert client.info().daemon.pid > 0
    assert proxy.added > 10


@pytest.mark.spec("PN-4.1-9")
@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_async_client_ignores_the_unknown(proxy: Proxy, backend: str) -> None:
    async def use() -> None:
        async with connection.connect(proxy.address) as client:
            result = await client.run(["sh", "-c", "cat; exit 3"], input=b"x" * 2_000_000)
            assert (len(result.stdout), result.outcome.code) == (2_000_000, 3)

    anyio.run(use, backend=backend)
    assert proxy.added > 10
