"""The strict MessagePack profile: one value in, one value out, within hard bounds.

A stock decoder allocates what a header claims: 5,000 bytes of nested array headers grew one by
68 MB. So the bytes are walked once, without building anything, before they are decoded.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from procnursery.errors import LocalProtocolError, RemoteProtocolError
from procnursery.model import MAX_INT

MAX_DEPTH = 16
MAX_ELEMENTS = 400_000

_F32 = struct.Struct(">f").unpack_from
_F64 = struct.Struct(">d").unpack_from
_BYTES_HEADER = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_UNSIGNED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


class _Violation(Exception):
    """Why bytes are not one value of the profile."""


def _walk(data: bytes | memoryview) -> None:
    """Raise _Violation unless ``data`` is exactly one value whose structure fits the profile."""
    size = len(data)
    pos = elements = 0
    remaining = 1
    stack: list[int] = []
    while True:
        while remaining == 0:
            if not stack:
                if pos != size:
                    raise _Violation(f"{size - pos} bytes follow the value")
                return
            remaining = stack.pop()
        remaining -= 1
        elements += 1
        if elements > MAX_ELEMENTS:
            raise _Violation(f"more than {MAX_ELEMENTS} values")
        byte = data[pos]
        pos += 1
        if byte <= 0x7F or byte >= 0xE0:
            continue
        if byte <= 0x9F or 0xDC <= byte <= 0xDF:
            if byte <= 0x8F:
                count = 2 * (byte & 0x0F)
            elif byte <= 0x9F:
                count = byte & 0x0F
            else:
                width = 2 if byte in (0xDC, 0xDE) else 4
                count = int.from_bytes(data[pos : pos + width], "big")
                pos += width
                if byte >= 0xDE:
                    count *= 2
            if count > size - pos:
                raise _Violation("an array or map is longer than the frame")
            stack.append(remaining)
            if len(stack) > MAX_DEPTH:
                raise _Violation(f"nested deeper than {MAX_DEPTH}")
            remaining = count
        elif byte <= 0xBF:
            pos += byte & 0x1F
        elif byte in (0xC0, 0xC2, 0xC3):
            continue
        elif byte in _BYTES_HEADER:
            width = _BYTES_HEADER[byte]
            pos += width + int.from_bytes(data[pos : pos + width], "big")
        elif byte in _UNSIGNED or byte in _SIGNED:
            signed = byte in _SIGNED
            width = _SIGNED[byte] if signed else _UNSIGNED[byte]
            if width == 8 and pos + 8 <= size:
                number = int.from_bytes(data[pos : pos + 8], "big", signed=signed)
                if not -MAX_INT <= number <= MAX_INT:
                    raise _Violation("an integer exceeds 2^53-1")
            pos += width
        elif byte in (0xCA, 0xCB):
            width = 4 if byte == 0xCA else 8
            number = _F32(data, pos)[0] if width == 4 else _F64(data, pos)[0]
            if number != number:
                raise _Violation("NaN")
            pos += width
        else:
            raise _Violation(f"byte 0x{byte:02x} begins no value of the profile")
        if pos > size:
            raise _Violation("the value is cut off")


def _pairs_to_dict(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if type(key) is not str:
            raise _Violation("a map key is not a string")
        if key in result:
            raise _Violation(f"key {key!r} stands twice in one map")
        result[key] = value
    return result


def unpack(data: bytes | memoryview) -> Any:
    """Decode one value.

    :raises RemoteProtocolError: (``bad_msgpack``) unless ``data`` is one value of the profile
    """
    try:
        _walk(data)
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_pairs_to_dict,
        )
    except _Violation as violation:
        problem = str(violation)
    except (IndexError, struct.error):
        problem = "the value is cut off"
    except UnicodeDecodeError:
        problem = "a string is not UTF-8"
    except (ValueError, TypeError) as error:  # what msgpack itself refuses
        problem = f"{type(error).__name__}: {error}"
    raise RemoteProtocolError("bad_msgpack", problem)


def pack(value: Any) -> bytes:
    """Encode one value.

    :raises LocalProtocolError: if it has no representation in MessagePack
    """
    try:
        packed: bytes = msgpack.packb(value, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"cannot encode a message: {error}") from error
    return packed
