"""Properties of the sans-IO core, for any input."""

from __future__ import annotations

import tracemalloc
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procnursery.errors import InvalidField, LocalProtocolError, RemoteProtocolError
from procnursery.protocol import codec, profile
from procnursery.protocol.connection import ClientConnection, DaemonConnection
from procnursery.protocol.envelope import frame
from procnursery.protocol.framing import frame_header
from procnursery.protocol.messages import METHODS, NOTIFICATIONS
from tests import strategies
from tests.protocol.test_vectors import LIMITS, open_connection

ALL_CLASSES = sorted(
    {one.params for one in METHODS.values()}
    | {one.result for one in METHODS.values()}
    | {one.params for one in NOTIFICATIONS.values()},
    key=lambda cls: cls.__name__,
)
JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)


def events_of(connection: DaemonConnection, pieces: list[bytes]) -> list[Any]:
    """Everything that the pieces mean, a violation's code included."""
    found: list[Any] = []
    try:
        for piece in pieces:
            connection.feed(piece)
            while (event := connection.next_event()) is not None:
                found.append(event)
    except RemoteProtocolError as error:
        found.append(error.code)
    return found


@pytest.mark.parametrize("cls", ALL_CLASSES, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_decoding_what_was_encoded(cls: type, data: st.DataObject) -> None:
    value = data.draw(strategies.instances(cls))
    travelled = profile.unpack(profile.pack(codec.encode(value)))
    assert codec.decode(cls, travelled) == value


@given(JSONISH)
def test_profile_round_trip(value: Any) -> None:
    assert profile.unpack(profile.pack(value)) == value


@given(st.binary(max_size=200))
def test_any_payload_is_a_value_or_refused(payload: bytes) -> None:
    try:
        profile.unpack(payload)
    except RemoteProtocolError as error:
        assert error.code == "bad_msgpack"


@given(st.data())
@settings(deadline=None)
def test_chunking_does_not_matter(data: st.DataObject) -> None:
    pieces = data.draw(
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                JSONISH.map(lambda value: frame([0, 1, "ping", {"x": value}])),
                strategies.requests().map(lambda one: frame([0, 5, one[0], codec.encode(one[1])])),
                strategies.to_daemon().map(lambda one: frame([2, one[0], codec.encode(one[1])])),
            ),
            max_size=5,
        )
    )
    stream = b"".join(pieces)
    whole = events_of(open_connection(), [stream])
    assert events_of(open_connection(), data.draw(strategies.chunked(stream))) == whole


@given(st.data())
@settings(deadline=None)
def test_any_params_are_taken_or_refused_with_a_path(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(sorted(METHODS)))
    value = data.draw(st.dictionaries(st.text(min_size=1, max_size=5), JSONISH, max_size=3))
    fields = [codec.wire_name(one.name) for one in attrs.fields(METHODS[method].params)]
    if fields:
        value[data.draw(st.sampled_from(fields))] = data.draw(JSONISH)
    try:
        codec.decode(METHODS[method].params, value)
    except InvalidField as error:
        assert error.path
        assert error.problem


@given(st.binary(max_size=4000))
@settings(deadline=None)
def test_memory_is_bounded(payload: bytes) -> None:
    connection = open_connection()
    data = frame_header(max(1, len(payload))) + (payload or b"\xc0")
    tracemalloc.start()
    try:
        events_of(connection, [data])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000 + 200 * len(data)


@given(st.data())
@settings(deadline=None)
def test_clients_take_any_bytes(data: st.DataObject) -> None:
    stream = data.draw(st.binary(max_size=100))
    client = ClientConnection()
    try:
        for piece in data.draw(strategies.chunked(stream)):
            client.feed(piece)
            while client.next_event() is not None:
                pass
    except RemoteProtocolError as error:
        assert error.code


def test_own_mistakes_are_local_errors() -> None:
    client = ClientConnection()
    with pytest.raises(LocalProtocolError):
        client.request("ping", METHODS["ping"].params())
    daemon = DaemonConnection(LIMITS)
    with pytest.raises(LocalProtocolError):
        daemon.reply(7, None)
    with pytest.raises(LocalProtocolError):
        daemon.goodbye("no_such_code")
    with pytest.raises(LocalProtocolError):
        open_connection().refuse(7, Any)  # type: ignore[arg-type]
    connection = open_connection()
    connection.feed(b"")
    with pytest.raises(LocalProtocolError):
        connection.feed(b"x")
    with pytest.raises(LocalProtocolError):
        profile.pack(object())
    with pytest.raises(LocalProtocolError):
        frame_header(2**24)
