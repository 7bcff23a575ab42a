"""Between attrs values and what MessagePack carries: strict, with the path of a wrong field.

Decoders and encoders are made from type hints once per class, when the class is first used, so
that a short-lived client pays only for the messages that it exchanges.
"""

from __future__ import annotations

import functools
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from procnursery.errors import InvalidField
from procnursery.model import Length, Pattern, Range

T = TypeVar("T")
Decoder = Callable[[Any], Any]


def wire_name(attribute: str) -> str:
    """Name on the wire of an attrs attribute: a trailing underscore is not part of it."""
    return attribute.rstrip("_")


def decode(cls: type[T], value: Any, *, tolerant: bool = False) -> T:
    """Make an instance of the attrs class ``cls`` from a decoded map.

    :param tolerant: ignore unknown fields, as a client does in results
    :raises InvalidField: with the path of the first field that is wrong
    """
    key: Any = cls
    result: T = _class_decoder(key, tolerant)(value)
    return result


def encode(value: Any) -> Any:
    """Make maps and arrays from attrs values; fields that have their default are left out.

    :raises InvalidField: a number is NaN or infinite, which no field may be
    """
    cls: Any = type(value)
    if cls in _PLAIN:
        return value
    if isinstance(value, float):
        return _finite(value)
    if attrs.has(cls):
        result = {}
        for name, key, default in _class_encoder(cls):
            field = getattr(value, name)
            if field is default:
                continue
            kind = type(field)
            if kind is type(default) and field == default:
                continue
            try:
                result[key] = field if kind in _PLAIN else encode(field)
            except InvalidField as error:
                raise error.within(key) from None
        return result
    if cls is tuple or cls is list:
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    return value


_PLAIN = frozenset({int, str, bytes, bool, type(None)})
"""Types of which a value is what it becomes; most fields are of these."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InvalidField(f"must be a finite number, not {value}")
    return value


@functools.cache
def _class_encoder(cls: Any) -> tuple[tuple[str, str, Any], ...]:
    fields = []
    for field in attrs.fields(cls):
        default = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            default = default.factory()
        fields.append((field.name, wire_name(field.name), default))
    return tuple(fields)


@functools.cache
def _class_decoder(cls: Any, tolerant: bool) -> Decoder:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {
        wire_name(field.name): (field.name, _decoder(hints[field.name], tolerant))
        for field in attrs.fields(cls)
    }
    required = [
        (wire_name(field.name)) for field in attrs.fields(cls) if field.default is attrs.NOTHING
    ]

    def decode_class(value: Any) -> Any:
        if not isinstance(value, dict):
            raise InvalidField("must be a map")
        arguments = {}
        for key, item in value.items():
            known = fields.get(key)
            if known is None:
                if tolerant:
                    continue
                raise InvalidField("is not a known field", key)
            name, decoder = known
            try:
                arguments[name] = decoder(item)
            except InvalidField as error:
                raise error.within(key) from None
        for key in required:
            if key not in value:
                raise InvalidField("is missing", key)
        return cls(**arguments)

    return decode_class


def _decoder(hint: Any, tolerant: bool) -> Decoder:
    constraints: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *rest = typing.get_args(hint)
        constraints = tuple(rest)
    decoder = _plain_decoder(hint, tolerant)
    for constraint in constraints:
        decoder = _constrained(decoder, constraint)
    return decoder


def _plain_decoder(hint: Any, tolerant: bool) -> Decoder:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if attrs.has(hint):
        # Looked up when used: a class may be deep, and most of its fields are mostly absent.
        return lambda value: _class_decoder(hint, tolerant)(value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _literal(arguments)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, tolerant)
    if origin is tuple and arguments[-1] is Ellipsis:
        return _array(_decoder(arguments[0], tolerant))
    if origin is tuple:
        return _fixed_array([_decoder(argument, tolerant) for argument in arguments])
    if origin is Mapping:
        return _mapping(_decoder(arguments[1], tolerant))
    raise TypeError(f"no decoder for {hint!r}")


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():  # what JavaScript sends for 1
        return int(value)
    raise InvalidField("must be an integer")


def _number(value: Any) -> float:
    if type(value) in (int, float):
        return value  # type: ignore[no-any-return]
    raise InvalidField("must be a number")


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise InvalidField("must be a boolean")


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    raise InvalidField("must be a string")


def _binary(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is str:
        return value.encode()
    raise InvalidField("must be bytes")


_SCALARS: dict[Any, Decoder] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    str: _string,
    bytes: _binary,
}


def _constrained(decoder: Decoder, constraint: Any) -> Decoder:
    if isinstance(constraint, Range):
        low, high = constraint.min, constraint.max

        def in_range(value: Any) -> Any:
            number = decoder(value)
            if not low <= number <= high:
                raise InvalidField(f"must be between {low} and {high}, not {number}")
            return number

        return in_range
    if isinstance(constraint, Length):
        shortest, longest = constraint.min or 0, constraint.max

        def of_length(value: Any) -> Any:
            item = decoder(value)
            if len(item) < shortest or (longest is not None and len(item) > longest):
                bounds = f"at least {shortest}" if longest is None else f"{shortest} to {longest}"
                raise InvalidField(f"must have a length of {bounds}, not {len(item)}")
            return item

        return of_length
    if isinstance(constraint, Pattern):
        matches = re.compile(constraint.regex).search

        def matching(value: Any) -> Any:
            text = decoder(value)
            if not matches(text) or text.endswith("\n"):  # `$` also matches before a newline
                raise InvalidField(f"must match {constraint.regex}")
            return text

        return matching
    raise TypeError(f"no such constraint: {constraint!r}")


def _literal(allowed: tuple[Any, ...]) -> Decoder:
    def decode_literal(value: Any) -> Any:
        if type(value) is str and value in allowed:
            return value
        raise InvalidField("must be one of " + ", ".join(map(str, allowed)))

    return decode_literal


def _union(hints: tuple[Any, ...], tolerant: bool) -> Decoder:
    nullable = type(None) in hints
    decoders = [_decoder(hint, tolerant) for hint in hints if hint is not type(None)]

    def decode_union(value: Any) -> Any:
        if value is None and nullable:
            return None
        problems = []
        for decoder in decoders:
            try:
                return decoder(value)
            except InvalidField as error:
                problems.append(error)
        if len(problems) == 1:
            raise problems[0]
        raise InvalidField(" or ".join(error.problem for error in problems))

    return decode_union


def _array(item: Decoder) -> Decoder:
    def decode_array(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise InvalidField("must be an array")
        result = []
        for index, element in enumerate(value):
            try:
                result.append(item(element))
            except InvalidField as error:
                raise error.within(f"[{index}]") from None
        return tuple(result)

    return decode_array


def _fixed_array(items: list[Decoder]) -> Decoder:
    def decode_fixed(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(items):
            raise InvalidField(f"must be an array of {len(items)}")
        result = []
        for index, (item, element) in enumerate(zip(items, value, strict=True)):
            try:
                result.append(item(element))
            except InvalidField as error:
                raise error.within(f"[{index}]") from None
        return tuple(result)

    return decode_fixed


def _mapping(item: Decoder) -> Decoder:
    def decode_mapping(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise InvalidField("must be a map")
        result = {}
        for key, element in value.items():
            try:
                result[key] = item(element)
            except InvalidField as error:
                raise error.within(key) from None
        return result

    return decode_mapping
