"""The implementation judges every vector as the specification does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from procnursery.errors import RemoteProtocolError
from procnursery.host.clock import stamp
from procnursery.protocol import profile
from procnursery.protocol.connection import (
    DaemonConnection,
    GoodbyeReceived,
    HelloReceived,
    NotificationReceived,
    RequestReceived,
    RequestRefused,
)
from procnursery.protocol.envelope import frame
from procnursery.protocol.framing import FrameReader, frame_header
from procnursery.protocol.messages import (
    ClientInfo,
    DaemonId,
    DaemonLimits,
    HelloParams,
    HelloResult,
)

VECTORS = Path(__file__).parents[2] / "spec" / "vectors"
LIMITS = DaemonLimits(
    max_frame=8 * 2**20,
    max_requests=8,
    max_in_flight=16 * 2**20,
    stdin_window=2**20,
    max_subscriptions=8,
)


def load(name: str) -> list[Any]:
    """Vectors of one file, as pytest parameters."""
    vectors = json.loads((VECTORS / name).read_text())
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in vectors]


def data_of(vector: dict[str, Any]) -> bytes:
    return b"".join(
        bytes.fromhex(one) if isinstance(one, str) else bytes.fromhex(one[0]) * one[1]
        for one in vector["hex"]
    )


def without_bins(value: Any) -> Any:
    return bytes.fromhex(value["$bin"]) if isinstance(value, dict) and "$bin" in value else value


def open_connection() -> DaemonConnection:
    connection = DaemonConnection(LIMITS)
    connection.feed(frame([0, 0, "hello", {"protocol": 1, "client": {"name": "x"}}]))
    hello = connection.next_event()
    assert isinstance(hello, HelloReceived)
    result = HelloResult(
        protocol=1,
        daemon=DaemonId(version="1", instance="i", pid=1),
        host="h",
        boot_id="b",
        capabilities=(),
        limits=LIMITS,
        peer="p",
        now=stamp(),
    )
    connection.accept_hello(hello, result)
    return connection


@pytest.mark.parametrize("vector", load("frames.json"))
def test_frames(vector: dict[str, Any]) -> None:
    reader = FrameReader(vector["limit"])
    reader.feed(data_of(vector))
    expect = vector["expect"]
    if expect == "frame":
        assert reader.next_frame() == data_of(vector)[4:]
        assert not reader.mid_frame
    elif expect == "truncated":
        assert reader.next_frame() is None
        assert reader.mid_frame
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            reader.next_frame()
        assert caught.value.code == expect


@pytest.mark.parametrize("vector", load("profile.json"))
def test_profile(vector: dict[str, Any]) -> None:
    if vector["expect"] == "bad_msgpack":
        with pytest.raises(RemoteProtocolError) as caught:
            profile.unpack(data_of(vector))
        assert caught.value.code == "bad_msgpack"
        return
    value = profile.unpack(data_of(vector))
    if "value" in vector:
        wanted = without_bins(vector["value"])
        assert value == wanted
        assert type(value) is type(wanted)


def judge(payload: bytes) -> tuple[str, str]:
    """What a daemon makes of one message behind the hello: (expectation, path)."""
    connection = open_connection()
    connection.feed(frame_header(len(payload)) + payload)
    try:
        event = connection.next_event()
    except RemoteProtocolError as error:
        return ("reply" if error.code == "unexpected_reply" else error.code), ""
    if isinstance(event, NotificationReceived | GoodbyeReceived):
        return "notification", ""
    if isinstance(event, RequestRefused):
        if event.error.code == "hello_repeated":
            return "request", ""
        return event.error.code, event.error.data.path or ""
    assert isinstance(event, RequestReceived)
    return "request", ""


@pytest.mark.parametrize("vector", load("envelope.json"))
def test_envelope(vector: dict[str, Any]) -> None:
    assert judge(data_of(vector))[0] == vector["expect"]


@pytest.mark.parametrize("vector", [one for one in load("params.json") if "hello:" not in one.id])
def test_params(vector: dict[str, Any]) -> None:
    assert judge(data_of(vector)) == (vector["expect"], vector.get("path", ""))


@pytest.mark.parametrize("vector", [one for one in load("params.json") if "hello:" in one.id])
def test_hello_params(vector: dict[str, Any]) -> None:
    payload = data_of(vector)
    connection = DaemonConnection(LIMITS)
    connection.feed(frame_header(len(payload)) + payload)
    event = connection.next_event()
    if vector["expect"] == "request":
        assert isinstance(event, HelloReceived)
        assert event.params.client == ClientInfo(name="x", version=event.params.client.version)
        assert isinstance(event.params, HelloParams)
    else:
        error: Any = event
        assert error.error.data.path == vector["path"]
