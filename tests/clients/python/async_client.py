"""``python async_client.py ADDRESS trio|asyncio``: the scenario language, async."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack

import anyio

from procnursery.client.async_process import OutputReader, Process
from procnursery.client.connection import Connection, connect
from procnursery.client.streams import StreamName
from procnursery.errors import ConnectionFailed, ConnectionLost, RequestError
from tests.clients.python.scenario import Received, commands, failure, fate


class Client:
    """State of one run."""

    def __init__(self, address: str, stack: AsyncExitStack) -> None:
        self._address = address
        self._stack = stack
        self._connection: Connection | None = None
        self._process: Process | None = None
        self._readers: dict[str, OutputReader] = {}
        self._received: dict[str, Received] = {}
        self._written = 0

    @property
    def connection(self) -> Connection:
        assert self._connection is not None
        return self._connection

    @property
    def process(self) -> Process:
        assert self._process is not None
        return self._process

    async def connect(self, _rest: str) -> str:
        await self._stack.aclose()
        self._connection = await self._stack.enter_async_context(connect(self._address))
        return f"connected {self._connection.hello.protocol}"

    async def start(self, rest: str) -> str:
        process = await self.connection.start(
            rest.split("|"), stdin="pipe", stdout="pipe", stderr="pipe", on_disconnect="keep"
        )
        self._process, self._written = process, 0
        self._received = {"stdout": Received(), "stderr": Received()}
        self._open()
        return "started"

    def _open(self) -> None:
        names: tuple[StreamName, ...] = ("stdout", "stderr")
        for name in names:
            offset = self._received[name].offset
            self._readers[name] = self.process.output(name, offset=offset)

    async def _read(self, name: str) -> bool:
        """Take some bytes; False: there are no more."""
        reader, received = self._readers[name], self._received[name]
        before = len(reader.gaps)
        data = await reader.read_some()
        received.gaps += reader.gaps[before:]
        received.data += data
        return bool(data)

    async def write(self, rest: str) -> str:
        assert self.process.stdin is not None
        data = rest.encode() + b"\n"
        await self.process.stdin.write(data)
        self._written += len(data)
        return f"offset {self._written}"

    async def close(self, _rest: str) -> str:
        assert self.process.stdin is not None
        await self.process.stdin.close()
        return f"offset {self._written}"

    async def await_(self, rest: str) -> str:
        name, _, text = rest.partition(" ")
        while text.encode() not in self._received[name].data:
            if not await self._read(name):
                raise SystemExit(2)
        return "seen"

    async def signal(self, rest: str) -> str:
        await self.process.signal(rest)
        return "delivered 1"

    async def drop(self, _rest: str) -> str:
        identifier = self.process.id
        await self.connect("")
        self._process = await self.connection.get(identifier)
        if self._process.stdin is not None:
            self._process.stdin.resume(self._written)
        self._open()
        return "resumed"

    async def stop(self, rest: str) -> str:
        info = await self.process.stop(grace=float(rest))
        return f"{fate(info)} {info.tree.verdict}"

    async def _read_all(self, name: str) -> None:
        while await self._read(name):
            pass

    async def wait(self, _rest: str) -> str:
        # Whoever waits for a program whose output it does not take waits for ever.
        async with anyio.create_task_group() as tasks:
            for name in self._readers:
                tasks.start_soon(self._read_all, name)
        return fate(await self.process.wait_until("closed"))

    async def sum(self, rest: str) -> str:
        await self._read_all(rest)
        return self._received[rest].summary()

    async def list(self, _rest: str) -> str:
        return f"processes {len(await self.connection.list())}"

    async def goodbye(self, _rest: str) -> str:
        return f"goodbye {await self.connection.goodbye()}"


async def run(address: str) -> int:
    """Execute the scenario on stdin."""
    async with AsyncExitStack() as stack:
        client = Client(address, stack)
        for name, rest in commands():
            handler = getattr(client, "await_" if name == "await" else name, None)
            if handler is None:
                print(f"unknown command: {name}", file=sys.stderr)
                return 2
            try:
                answer = await handler(rest)
            except RequestError as error:
                answer = failure(error)
            print(answer, flush=True)
    return 0


def main() -> int:
    """Execute the scenario on stdin."""
    status = 0
    try:
        status = anyio.run(run, sys.argv[1], backend=sys.argv[2])
    except* (ConnectionFailed, ConnectionLost) as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        print(error, file=sys.stderr)
        status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
