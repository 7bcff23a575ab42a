"""``python blocking_client.py ADDRESS``: the scenario language with the blocking client."""

from __future__ import annotations

import io
import sys

from procnursery.client.blocking import Connection, connect
from procnursery.client.blocking_process import OutputReader, Process
from procnursery.client.streams import StreamName
from procnursery.errors import ConnectionFailed, ConnectionLost, RequestError
from tests.clients.python.scenario import Received, commands, failure, fate

CHUNK = 65_536


class Client:
    """State of one run."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._process: Process | None = None
        self._readers: dict[str, io.BufferedReader] = {}
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

    def connect(self, _rest: str) -> str:
        self._connection = connect(self._address)
        return f"connected {self._connection.hello.protocol}"

    def start(self, rest: str) -> str:
        process = self.connection.start(
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

    def _read(self, name: str) -> bool:
        """Take some bytes; False: there are no more."""
        reader, received = self._readers[name], self._received[name]
        raw = reader.raw
        assert isinstance(raw, OutputReader)
        before = len(raw.gaps)
        data = reader.read1(CHUNK)
        received.gaps += raw.gaps[before:]
        received.data += data
        return bool(data)

    def write(self, rest: str) -> str:
        assert self.process.stdin is not None
        data = rest.encode() + b"\n"
        self.process.stdin.write(data)
        self._written += len(data)
        return f"offset {self._written}"

    def close(self, _rest: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return f"offset {self._written}"

    def await_(self, rest: str) -> str:
        name, _, text = rest.partition(" ")
        while text.encode() not in self._received[name].data:
            if not self._read(name):
                raise SystemExit(2)
        return "seen"

    def signal(self, rest: str) -> str:
        self.process.signal(rest)
        return "delivered 1"

    def drop(self, _rest: str) -> str:
        self.connection.exchange.link.socket.close()
        self.connect("")
        identifier = self.process.id
        self._process = self.connection.get(identifier)
        if self._process.stdin is not None:
            self._process.stdin.resume(self._written)
        self._open()
        return "resumed"

    def stop(self, rest: str) -> str:
        info = self.process.stop(grace=float(rest))
        return f"{fate(info)} {info.tree.verdict}"

    def wait(self, _rest: str) -> str:
        # Whoever waits for a program whose output it does not take waits for ever.
        while self._read("stdout") or self._read("stderr"):
            pass
        return fate(self.process.wait_until("closed"))

    def sum(self, rest: str) -> str:
        while self._read(rest):
            pass
        return self._received[rest].summary()

    def list(self, _rest: str) -> str:
        return f"processes {len(self.connection.list())}"

    def goodbye(self, _rest: str) -> str:
        return f"goodbye {self.connection.goodbye()}"


def main() -> int:
    """Execute the scenario on stdin."""
    client = Client(sys.argv[1])
    try:
        for name, rest in commands():
            handler = getattr(client, "await_" if name == "await" else name, None)
            if handler is None:
                print(f"unknown command: {name}", file=sys.stderr)
                return 2
            try:
                answer = handler(rest)
            except RequestError as error:
                answer = failure(error)
            print(answer, flush=True)
    except (ConnectionFailed, ConnectionLost) as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
