"""Mutants of sections 10 to 14: input, output, ends, time, the daemon."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STREAMS = [
    Mutant(
        "PN-10.1-1",
        "process/stdin.py",
        "await trio.lowlevel.wait_writable(self._end.fileno())",
        "return self.taken",
    ),
    Mutant(
        "PN-10.1-2",
        "process/stdin.py",
        "view = memoryview(data)[self.taken - offset :]",
        "view = memoryview(data)",
    ),
    Mutant(
        "PN-10.1-3", "process/stdin.py", "if offset > self.taken:", "if offset > self.taken + 4096:"
    ),
    Mutant("PN-10.1-4", "process/stdin.py", "self._turns[0].set()", "self._turns[-1].set()"),
    Mutant(
        "PN-10.1-5",
        "process/stdin.py",
        "if self._unanswered and self._unanswered + len(data) > WINDOW:",
        "if self._unanswered and len(data) > WINDOW:",
    ),
    Mutant(
        "PN-10.1-6",
        "process/stdin.py",
        'executed="yes" if self.taken > before else "no",\n            end=self.taken,',
        'executed="yes" if self.taken > before else "no",\n            end=before,',
    ),
    Mutant(
        "PN-10.1-7", "process/stdin.py", "if view and self._ended:", "if not view and self._ended:"
    ),
    Mutant(
        "PN-10.1-8",
        "process/stdin.py",
        "if offset is not None and offset != self.taken:",
        "if offset is not None and offset > self.taken:",
    ),
    Mutant(
        "PN-10.1-9",
        "daemon/handlers/streams.py",
        '"no_stdin", f"stdin of',
        '"stdin_closed", f"stdin of',
    ),
    Mutant(
        "PN-10.1-10",
        "daemon/session.py",
        "self.owned.clear()",
        "for process in self.owned:\n"
        "            if process.channels.stdin is not None:\n"
        "                process.channels.stdin.shut()\n"
        "        self.owned.clear()",
    ),
    Mutant(
        "PN-11.1-1",
        "daemon/subscription.py",
        "from_=self.offset, to=gap.to",
        "from_=gap.from_, to=gap.to",
    ),
    Mutant("PN-11.1-2", "process/channels.py", 'block=output.full == "block"', "block=False"),
    Mutant("PN-11.1-3", "process/channels.py", 'block=output.full == "block"', "block=True"),
    Mutant(
        "PN-11.1-4",
        "process/launch.py",
        'stderr_to_stdout=spec.stderr.mode == "stdout"',
        "stderr_to_stdout=False",
    ),
    Mutant(
        "PN-11.2-1",
        "daemon/handlers/streams.py",
        "limit = min(params.max, session.connection.max_data)",
        "limit = session.connection.max_data",
    ),
    Mutant(
        "PN-11.2-2",
        "daemon/handlers/streams.py",
        "deadline = trio.current_time() + params.wait",
        "deadline = trio.current_time()",
    ),
    Mutant(
        "PN-11.2-3",
        "daemon/handlers/streams.py",
        "at_end = log.eof is not None and offset + len(data) == log.end",
        "at_end = log.eof is not None",
    ),
    Mutant(
        "PN-11.2-4",
        "daemon/handlers/streams.py",
        "ReadResult(offset=offset,",
        "ReadResult(offset=params.offset,",
    ),
    Mutant(
        "PN-11.2-5",
        "daemon/handlers/streams.py",
        '"offset_expired"',
        '"offset_future"',
    ),
    Mutant(
        "PN-11.2-6",
        "daemon/handlers/streams.py",
        "if offset > log.end:",
        "if offset > log.end + 4096:",
    ),
    Mutant(
        "PN-11.2-7",
        "daemon/handlers/streams.py",
        '"no_stream"',
        '"not_found"',
    ),
    Mutant(
        "PN-11.2-8",
        "process/ring.py",
        "self._remove(up_to)\n            self._room.unpark_all()",
        "self._remove(up_to)",
    ),
    Mutant(
        "PN-11.3-1",
        "daemon/handlers/streams.py",
        "return Answer(result, lambda: session.serve(subscription))",
        "session._nursery.start_soon(session.serve, subscription)\n"
        "        await trio.sleep(0)\n"
        "        await trio.sleep(0)\n"
        "        return result",
    ),
    Mutant(
        "PN-11.3-2", "daemon/subscription.py", "self.offset += len(data)", "self.offset += limit"
    ),
    Mutant(
        "PN-11.3-3", "daemon/subscription.py", "self._credit - self.offset,", "self._credit + 1,"
    ),
    Mutant(
        "PN-11.3-4",
        "daemon/subscription.py",
        "if credit > self._credit:",
        "if credit != self._credit:",
    ),
    Mutant("PN-11.3-5", "daemon/subscription.py", "reason=log.eof)", 'reason="abandoned")'),
    Mutant(
        "PN-11.3-6",
        "daemon/subscription.py",
        "self.offset = offset",
        "self.offset = max(offset, stream.log.first)",
    ),
    Mutant(
        "PN-11.3-7",
        "daemon/handlers/streams.py",
        "if params.offset > stream.log.end:",
        "if params.offset > stream.log.end + 4096:",
    ),
    Mutant("PN-11.3-8", "daemon/subscription.py", "connection.max_data,", "MAX_DATA,"),
    Mutant(
        "PN-11.3-9",
        "daemon/session.py",
        "await subscription.run(self.connection, self.out)",
        'async with self.__dict__.setdefault("turn", trio.Lock()):\n'
        "                await subscription.run(self.connection, self.out)",
    ),
    Mutant("PN-11.3-10", "daemon/session.py", "subscription.scope.cancel()", "pass"),
    Mutant(
        "PN-11.3-11",
        "process/ring.py",
        "min(consumer.consumed for consumer in",
        "max(consumer.consumed for consumer in",
    ),
    Mutant(
        "PN-11.3-12",
        "daemon/session.py",
        "if isinstance(subscription, Subscription):  # else it has just ended",
        "if not isinstance(subscription, Subscription):\n"
        '                raise Closing("bad_envelope", "no such subscription")\n'
        "            else:",
    ),
    Mutant(
        "PN-11.3-13",
        "process/files.py",
        "os.pread, self._file, limit, offset,",
        "os.read, self._file, limit,",
    ),
    Mutant("PN-12.1-1", "process/run.py", 'cause="disconnect"', 'cause="requested"'),
    Mutant(
        "PN-12.1-2",
        "process/run.py",
        'if self.spec.on_disconnect == "kill":',
        'if self.spec.on_disconnect != "keep_for":',
    ),
    Mutant(
        "PN-12.1-3",
        "daemon/subscription.py",
        "with self.scope, contextlib.closing(self._consumer), stream.follow():",
        "with self.scope, stream.follow():",
    ),
    Mutant(
        "PN-12.2-1",
        "daemon/session.py",
        'self.connection.goodbye("shutting_down", grace=grace)',
        'b""',
    ),
    Mutant("PN-12.2-2", "daemon/session.py", 'error_info("shutting_down"', 'error_info("internal"'),
    Mutant("PN-12.2-3", "process/supervisor.py", 'cause="shutdown"', 'cause="requested"'),
    Mutant("PN-12.2-4", "spawner/reference.py", "if self._sweeper:", "if not self._sweeper:"),
    Mutant(
        "PN-13.1-1",
        "process/run.py",
        "exec=launched.executed, exec_seen",
        "requested=stamp(), exec=launched.executed, exec_seen",
    ),
    Mutant(
        "PN-13.1-2",
        "process/run.py",
        "exec=launched.executed, exec_seen",
        "exec=launched.seen, exec_seen",
    ),
    Mutant(
        "PN-14.1-1",
        "daemon/main.py",
        "limitations=tuple(chosen.containment.limitations)",
        "limitations=()",
    ),
    Mutant(
        "PN-14.1-2",
        "daemon/handlers/about.py",
        "pid=self._spawner.pid, form",
        "pid=os.getpid(), form",
    ),
]
