"""The three messages: request, reply, notification, as MessagePack-RPC writes them."""

from __future__ import annotations

from typing import Any

import attrs

from procnursery.errors import RemoteProtocolError
from procnursery.protocol import profile
from procnursery.protocol.framing import frame_header

MAX_ID = 2**32 - 1


@attrs.frozen
class Request:
    """``[0, id, method, params]``; params undecoded."""

    id: int
    method: str
    params: dict[str, Any]


@attrs.frozen
class Reply:
    """``[1, id, error, result]``: exactly one of error and result is a map, the other nil."""

    id: int
    error: dict[str, Any] | None
    result: dict[str, Any] | None


@attrs.frozen
class Notification:
    """``[2, method, params]``; params undecoded."""

    method: str
    params: dict[str, Any]


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_ID


def decode_message(payload: bytes) -> Request | Reply | Notification:
    """Decode the payload of one frame.

    :raises RemoteProtocolError: ``bad_msgpack`` or ``bad_envelope``
    """
    message = profile.unpack(payload)
    if type(message) is list and message and type(message[0]) is int:
        match message:
            case [0, number, str() as method, dict() as params] if _is_id(number):
                return Request(number, method, params)
            case [1, number, None, dict() as result] if _is_id(number):
                return Reply(number, None, result)
            case [1, number, dict() as error, None] if _is_id(number):
                return Reply(number, error, None)
            case [2, str() as method, dict() as params]:
                return Notification(method, params)
    raise RemoteProtocolError(
        "bad_envelope",
        "expected [0, id, method, params], [1, id, error, result] or [2, method, params]",
    )


def frame(message: list[Any]) -> bytes:
    """One message as a whole frame."""
    payload = profile.pack(message)
    return frame_header(len(payload)) + payload
