"""A small MessagePack decoder of the protocol's profile, written from protocol.md alone.

It shares no code with the implementation, so that vectors are judged by two.
"""

from __future__ import annotations

import math
import struct
from typing import Any

MAX_INT = 2**53 - 1
MAX_DEPTH = 16
MAX_VALUES = 400_000


class Refused(Exception):
    """The bytes are not one value of the profile."""


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.values = 0

    def take(self, count: int) -> bytes:
        if self.pos + count > len(self.data):
            raise Refused("cut off")
        piece = self.data[self.pos : self.pos + count]
        self.pos += count
        return piece

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def value(self, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise Refused("too many values")
        first = self.unsigned(1)
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first < 0x90:
            return self.map(first & 0x0F, depth)
        if first < 0xA0:
            return self.array(first & 0x0F, depth)
        if first < 0xC0:
            return self.text(first & 0x1F)
        return self.long_form(first, depth)

    def long_form(self, first: int, depth: int) -> Any:
        match first:
            case 0xC0:
                return None
            case 0xC2 | 0xC3:
                return first == 0xC3
            case 0xC4 | 0xC5 | 0xC6:
                return self.take(self.unsigned(1 << (first - 0xC4)))
            case 0xCA | 0xCB:
                wide = first == 0xCB
                number: float = struct.unpack(">d" if wide else ">f", self.take(8 if wide else 4))[
                    0
                ]
                if math.isnan(number):
                    raise Refused("NaN")
                return number
            case 0xCC | 0xCD | 0xCE | 0xCF:
                return self.integer(self.unsigned(1 << (first - 0xCC)))
            case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                piece = self.take(1 << (first - 0xD0))
                return self.integer(int.from_bytes(piece, "big", signed=True))
            case 0xD9 | 0xDA | 0xDB:
                return self.text(self.unsigned(1 << (first - 0xD9)))
            case 0xDC | 0xDD:
                return self.array(self.unsigned(2 << (first - 0xDC)), depth)
            case 0xDE | 0xDF:
                return self.map(self.unsigned(2 << (first - 0xDE)), depth)
        raise Refused(f"0x{first:02x}")

    @staticmethod
    def integer(number: int) -> int:
        if abs(number) > MAX_INT:
            raise Refused("an integer beyond 2^53 - 1")
        return number

    def text(self, count: int) -> str:
        try:
            return self.take(count).decode()
        except UnicodeDecodeError:
            raise Refused("not UTF-8") from None

    def deeper(self, depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise Refused("too deep")
        return depth + 1

    def array(self, count: int, depth: int) -> list[Any]:
        depth = self.deeper(depth)
        if count > len(self.data) - self.pos:
            raise Refused("cut off")
        return [self.value(depth) for _ in range(count)]

    def map(self, count: int, depth: int) -> dict[str, Any]:
        depth = self.deeper(depth)
        if 2 * count > len(self.data) - self.pos:
            raise Refused("cut off")
        result: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth)
            if not isinstance(key, str) or key in result:
                raise Refused("a key")
            result[key] = self.value(depth)
        return result


def decode(data: bytes) -> Any:
    """The value.

    :raises Refused: there is not exactly one
    """
    decoder = _Decoder(data)
    value = decoder.value(0)
    if decoder.pos != len(data):
        raise Refused("bytes behind the value")
    return value
