"""Mutants of sections 2 to 8: frames, profile, envelope, opening and closing, errors, limits."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WIRE = [
    Mutant(
        "PN-2.1-1",
        "protocol/framing.py",
        "if len(buffer) < HEADER_SIZE:",
        "if len(buffer) < HEADER_SIZE:\n                buffer.clear()",
    ),
    Mutant("PN-2.1-2", "protocol/framing.py", "if size == 0:", "if size < 0:"),
    Mutant(
        "PN-2.1-3", "protocol/framing.py", '"frame_too_large", f"a frame', '"truncated", f"a frame'
    ),
    Mutant(
        "PN-2.1-4",
        "protocol/framing.py",
        "if buffer and buffer[0] != 0:",
        "if len(buffer) > 3 and buffer[0] != 0:",
    ),
    Mutant(
        "PN-2.1-5",
        "protocol/framing.py",
        "FRAME_BEFORE_HELLO = 65_536",
        "FRAME_BEFORE_HELLO = 65_535",
    ),
    Mutant(
        "PN-2.1-6",
        "protocol/connection.py",
        "self._frames.max_frame = self.limits.max_frame",
        "self._frames.max_frame = self.peer_max_frame",
    ),
    Mutant(
        "PN-2.1-7",
        "protocol/connection.py",
        "self.peer_max_frame = hello.params.limits.max_frame",
        "self.peer_max_frame = 2**24 - 1",
    ),
    Mutant(
        "PN-2.1-8",
        "protocol/connection.py",
        "if self._ended and self._frames.mid_frame:",
        "if self._ended and not self.state:",
    ),
    Mutant(
        "PN-3.1-1",
        "protocol/profile.py",
        'problem = "the value is cut off"',
        'raise RemoteProtocolError("truncated", "the value is cut off") from None',
    ),
    Mutant("PN-3.1-2", "protocol/profile.py", "if type(key) is not str:", "if key is str:"),
    Mutant("PN-3.1-3", "protocol/profile.py", "if key in result:", "if key in ():"),
    Mutant(
        "PN-3.1-4",
        "protocol/profile.py",
        "0xD2: 4, 0xD3: 8}",
        "0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9}",
    ),
    Mutant("PN-3.1-5", "protocol/profile.py", "if number != number:", "if number is None:"),
    Mutant(
        "PN-3.1-6",
        "protocol/profile.py",
        "if not -MAX_INT <= number <= MAX_INT:",
        "if not -MAX_INT - 1 <= number <= MAX_INT + 1:",
    ),
    Mutant("PN-3.1-7", "protocol/profile.py", "MAX_DEPTH = 16", "MAX_DEPTH = 17"),
    Mutant("PN-3.1-8", "protocol/profile.py", "MAX_ELEMENTS = 400_000", "MAX_ELEMENTS = 400_001"),
    Mutant("PN-3.1-9", "protocol/profile.py", "raw=False,", 'raw=False, unicode_errors="replace",'),
    Mutant(
        "PN-3.1-10",
        "protocol/profile.py",
        "_walk(data)",
        "msgpack.unpackb(data)\n        _walk(data)",
    ),
    Mutant(
        "PN-3.2-1",
        "protocol/codec.py",
        "return value.encode()",
        'raise InvalidField("must be bin")',
    ),
    Mutant("PN-3.2-2", "protocol/codec.py", "and value.is_integer():", "and value is None:"),
    Mutant("PN-3.2-3", "protocol/codec.py", "if type(value) is int:", "if isinstance(value, int):"),
    Mutant("PN-3.2-4", "process/output.py", "path=os.fsencode(self.path) if", "path=self.path if"),
    Mutant(
        "PN-4.1-1",
        "protocol/envelope.py",
        "return type(value) is int and 0 <= value <= MAX_ID",
        "return type(value) is int",
    ),
    Mutant("PN-4.1-2", "daemon/session.py", "answer = _error_of(error)", "answer = None"),
    Mutant(
        "PN-4.1-3",
        "daemon/session.py",
        "result = await work",
        (
            'async with vars(self).setdefault("turn", trio.Lock()):\n'
            "                        result = await work"
        ),
    ),
    Mutant(
        "PN-4.1-4",
        "protocol/connection.py",
        "if message.id in self._outstanding:",
        "if message.id in ():",
    ),
    Mutant(
        "PN-4.1-5",
        "protocol/connection.py",
        "self._outstanding.pop(request_id)",
        "self._outstanding[request_id]",
    ),
    Mutant(
        "PN-4.1-6",
        "protocol/connection.py",
        'self._violation("unexpected_reply", "the daemon',
        'self._violation("bad_envelope", "the daemon',
    ),
    Mutant(
        "PN-4.1-7",
        "protocol/connection.py",
        'message.params, tolerant=sender == "to_client")',
        "message.params, tolerant=True)",
    ),
    Mutant(
        "PN-4.1-8",
        "protocol/connection.py",
        'error_info("unknown_method"',
        'error_info("not_found"',
    ),
    Mutant("PN-4.1-10", "protocol/codec.py", "if tolerant:", "if known is None:"),
    Mutant(
        "PN-4.1-11",
        "daemon/handlers/processes.py",
        "            _check_signal(params.signal)\n        if params.at",
        "            self._request_stop(session, process, m.StopParams(id=params.id))\n"
        "            _check_signal(params.signal)\n"
        "        if params.at",
    ),
    Mutant(
        "PN-4.1-12",
        "daemon/session.py",
        "self._requests: dict[int, trio.CancelScope] = {}",
        'self._requests = vars(service).setdefault("requests", {})',
    ),
    Mutant(
        "PN-5.1-1",
        "protocol/connection.py",
        'HelloRefused(message.id, error, "hello_expected")',
        'HelloRefused(message.id, error, "hello_failed")',
    ),
    Mutant(
        "PN-5.1-2",
        "protocol/connection.py",
        'self._violation("hello_expected"',
        'self._violation("bad_envelope"',
    ),
    Mutant(
        "PN-5.1-3",
        "protocol/connection.py",
        '_invalid_params(invalid), "hello_failed")',
        '_invalid_params(invalid), "done")',
    ),
    Mutant(
        "PN-5.1-4",
        "daemon/handlers/about.py",
        "min(params.protocol, PROTOCOL_VERSION)",
        "max(params.protocol, PROTOCOL_VERSION)",
    ),
    Mutant(
        "PN-5.1-5",
        "protocol/connection.py",
        'error_info("hello_repeated"',
        'error_info("unknown_method"',
    ),
    Mutant("PN-5.1-6", "daemon/session.py", 'Closing("hello_timeout"', 'Closing("done"'),
    Mutant(
        "PN-5.1-7",
        "daemon/__main__.py",
        "instance = secrets.token_hex(8)",
        "instance = str(state.path.stat().st_ino)",
    ),
    Mutant(
        "PN-5.1-8",
        "protocol/messages/opening.py",
        "tuple[Annotated[str, Length(min=1, max=64)], ...], Length(max=64)] = ()",
        'tuple[Literal["output.pipe", "stdin.offset"], ...], Length(max=64)] = ()',
    ),
    Mutant(
        "PN-5.2-1",
        "daemon/session.py",
        "self.out.send(self.connection.goodbye(code, message))",
        (
            'if code == "done":\n'
            "                self.out.send(self.connection.goodbye(code, message))"
        ),
    ),
    Mutant(
        "PN-5.2-2", "daemon/session.py", "await self.out.flush(FAREWELL)", "await self.out.flush(0)"
    ),
    Mutant(
        "PN-5.2-3",
        "daemon/session.py",
        "nursery.cancel_scope.cancel()",
        (
            'self.out.send(self.connection.goodbye("done"))\n'
            "                nursery.cancel_scope.cancel()"
        ),
    ),
    Mutant(
        "PN-5.3-1",
        "daemon/subscription.py",
        "                    await log.wait_change()\n                    continue\n",
        (
            "                    with trio.move_on_after(1):\n"
            "                        await log.wait_change()\n"
            "                        continue\n"
            "                    out.send(connection.notify_data(self.number, self.offset, 0))\n"
        ),
    ),
    Mutant(
        "PN-5.3-2",
        "daemon/outgoing.py",
        "trio.move_on_after(self._timeout)",
        "trio.move_on_after(3600)",
    ),
    Mutant(
        "PN-5.3-3",
        "daemon/handlers/about.py",
        "received=received, sent=stamp()",
        "received=stamp(), sent=received",
    ),
    Mutant("PN-6.1-1", "daemon/session.py", "executed=error.executed, **data", "**data"),
    Mutant(
        "PN-6.1-2",
        "process/record.py",
        'errno.errorcode.get(number, f"E{number}")',
        "os.strerror(number)",
    ),
    Mutant(
        "PN-6.1-3",
        "protocol/connection.py",
        "        code=code,\n        message=message",
        '        code=code.replace("_", "-"),\n        message=message',
    ),
    Mutant(
        "PN-7.1-1",
        "daemon/session.py",
        'ErrorInfo | None = error_info("cancelled", "the request was cancelled")',
        "ErrorInfo | None = None",
    ),
    Mutant("PN-7.1-2", "process/launch.py", "os.kill(self.child.pid, signal.SIGKILL)", "pass"),
    Mutant(
        "PN-7.1-3",
        "daemon/handlers/processes.py",
        "            await process.wait_stopped()\n"
        "        except trio.Cancelled:\n"
        '            raise RequestError("cancelled", "the stop goes on", executed="yes") from None\n'  # noqa: E501
        "        return m.ProcessResult(",
        "            await process.wait_stopped()\n"
        "        except trio.Cancelled:\n"
        '            raise RequestError("cancelled", "the stop goes on", executed="no") from None\n'
        "        return m.ProcessResult(",
    ),
    Mutant(
        "PN-7.1-4",
        "daemon/session.py",
        "            if scope is not None:\n                scope.cancel()\n",
        (
            "            if scope is None:\n"
            '                raise Closing("bad_notification", "no such request")\n'
            "            scope.cancel()\n"
        ),
    ),
    Mutant("PN-7.1-5", "process/stdin.py", "if self.taken == before:", "if self.taken >= before:"),
    Mutant(
        "PN-8.1-1",
        "protocol/connection.py",
        "if len(self._outstanding) >= self.limits.max_requests:",
        "if len(self._outstanding) > self.limits.max_requests:",
    ),
    Mutant(
        "PN-8.1-2",
        "protocol/connection.py",
        "if self._in_flight + size > max(self.limits.max_in_flight, size):",
        "if self._in_flight < 0:",
    ),
    Mutant(
        "PN-8.1-3",
        "daemon/session.py",
        "if len(self.subscriptions) >= limit:",
        "if len(self.subscriptions) > limit:",
    ),
    Mutant("PN-8.1-4", "protocol/connection.py", "if size > self.peer_max_frame:", "if size < 0:"),
]
