"""Both peers of the core against each other, driven by Hypothesis: whatever they do in whatever
order, each request gets one reply, and neither side is ever wrong about the other."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from procnursery.protocol.connection import (
    ClientConnection,
    DaemonConnection,
    GoodbyeReceived,
    HelloAccepted,
    HelloReceived,
    NotificationReceived,
    ReplyReceived,
    RequestReceived,
    RequestRefused,
    State,
    error_info,
)
from procnursery.protocol.errors_registry import ERROR_CODES
from procnursery.protocol.messages import METHODS, ClientInfo, HelloParams, HelloResult
from tests import strategies
from tests.protocol.test_vectors import LIMITS


class Conversation(RuleBasedStateMachine):
    """A client and a daemon, and the bytes under way between them."""

    def __init__(self) -> None:
        super().__init__()
        self.client = ClientConnection(2**24 - 1)
        self.daemon = DaemonConnection(LIMITS)
        self.to_daemon = b""
        self.to_client = b""
        self.sent: dict[int, tuple[str, Any]] = {}
        self.waiting: dict[int, str] = {}
        self.answers: dict[int, Any] = {}
        self.notes_to_daemon: list[tuple[str, Any]] = []
        self.notes_to_client: list[tuple[str, Any]] = []

    @initialize(result=strategies.instances(HelloResult))
    def greet(self, result: HelloResult) -> None:
        params = HelloParams(protocol=1, client=ClientInfo(name="x"))
        self.daemon.feed(self.client.hello(params))
        hello = self.daemon.next_event()
        assert isinstance(hello, HelloReceived)
        assert hello.params == params
        limits = attrs.evolve(result.limits, max_frame=2**24 - 1)
        reply = self.daemon.accept_hello(hello, attrs.evolve(result, limits=limits))
        self.client.feed(reply)
        accepted = self.client.next_event()
        assert isinstance(accepted, HelloAccepted)

    def open(self) -> bool:
        return self.client.state is State.OPEN and self.daemon.state is State.OPEN

    @precondition(open)
    @rule(one=strategies.requests())
    def request(self, one: tuple[str, Any]) -> None:
        method, params = one
        number, data = self.client.request(method, params)
        assert number not in self.sent
        self.sent[number] = (method, params)
        self.to_daemon += data

    @precondition(open)
    @rule(one=strategies.to_daemon())
    def notify_daemon(self, one: tuple[str, Any]) -> None:
        self.notes_to_daemon.append(one)
        self.to_daemon += self.client.notify(*one)

    @precondition(open)
    @rule(one=strategies.to_client())
    def notify_client(self, one: tuple[str, Any]) -> None:
        self.notes_to_client.append(one)
        self.to_client += self.daemon.notify(*one)

    @rule(data=st.data())
    def deliver_to_daemon(self, data: st.DataObject) -> None:
        piece = self._cut(data, "to_daemon")
        if not piece or self.daemon.state is State.CLOSED:
            return
        self.daemon.feed(piece)
        while (event := self.daemon.next_event()) is not None:
            if isinstance(event, RequestReceived):
                assert self.sent[event.id] == (event.method, event.params)
                self.waiting[event.id] = event.method
            elif isinstance(event, RequestRefused):
                assert event.error.code == "too_many_requests"
                self.answers[event.id] = event.error
                self.to_client += self.daemon.refuse(event.id, event.error)
            elif isinstance(event, NotificationReceived):
                assert self.notes_to_daemon.pop(0) == (event.method, event.params)
            else:
                assert isinstance(event, GoodbyeReceived)

    @precondition(lambda self: self.waiting and self.open())
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        method = self.waiting.pop(number)
        if data.draw(st.booleans()):
            result = data.draw(strategies.instances(METHODS[method].result))
            self.answers[number] = result
            self.to_client += self.daemon.reply(number, result)
        else:
            error = error_info(data.draw(st.sampled_from(sorted(ERROR_CODES))), "why")
            self.answers[number] = error
            self.to_client += self.daemon.refuse(number, error)

    @rule(data=st.data())
    def deliver_to_client(self, data: st.DataObject) -> None:
        piece = self._cut(data, "to_client")
        if not piece or self.client.state is State.CLOSED:
            return
        self.client.feed(piece)
        while (event := self.client.next_event()) is not None:
            if isinstance(event, ReplyReceived):
                del self.sent[event.id]
                wanted = self.answers.pop(event.id)
                assert wanted in (event.result, event.error)
            elif isinstance(event, NotificationReceived):
                assert self.notes_to_client.pop(0) == (event.method, event.params)
            else:
                assert isinstance(event, GoodbyeReceived)

    @precondition(open)
    @rule()
    def goodbye_of_the_client(self) -> None:
        self.to_daemon += self.client.goodbye("done")

    def _cut(self, data: st.DataObject, name: str) -> bytes:
        stream: bytes = getattr(self, name)
        count = data.draw(st.integers(0, len(stream)))
        setattr(self, name, stream[count:])
        return stream[:count]

    @invariant()
    def the_daemon_counts_what_is_outstanding(self) -> None:
        assert self.daemon.outstanding == len(self.waiting)
        assert self.daemon.outstanding <= LIMITS.max_requests


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
