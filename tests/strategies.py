"""Hypothesis strategies for every value that travels, made from its class."""

from __future__ import annotations

import functools
import itertools
import re
import typing
from collections.abc import Mapping
from typing import Any

import attrs
from hypothesis import strategies as st

from procnursery.model import MAX_INT, Length, Pattern, Range, Time
from procnursery.protocol.messages import METHODS, NOTIFICATIONS

SMALL = 4
"""Most items of a generated array or map, beyond its minimum."""


@functools.cache
def instances(cls: Any) -> st.SearchStrategy[Any]:
    """Valid instances of an attrs class, defaults often included."""
    hints = typing.get_type_hints(cls, include_extras=True)
    required: dict[Any, Any] = {}
    optional: dict[Any, Any] = {}
    for field in attrs.fields(cls):
        target = required if field.default is attrs.NOTHING else optional
        target[field.name] = values(hints[field.name])
    return st.fixed_dictionaries(required, optional=optional).map(lambda one: cls(**one))


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type hint with its constraints."""
    if hint == Time:
        return st.tuples(st.integers(0, MAX_INT), st.integers(0, 999_999_999))
    constraints: list[Any] = []
    if typing.get_origin(hint) is typing.Annotated:
        hint, *constraints = typing.get_args(hint)
    limits = {type(one): one for one in constraints}
    length: Length = limits.get(Length, Length())
    low = length.min or 0
    high = min(length.max if length.max is not None else low + SMALL, low + SMALL)
    if Pattern in limits:
        matches = re.compile(limits[Pattern].regex).search
        return st.sampled_from(list(filter(matches, ["SIGTERM", "SIGRTMIN+3", "srv", "p", "_x.1"])))
    if hint is int:
        bounds = limits.get(Range, Range(-MAX_INT, MAX_INT))
        return st.integers(int(bounds.min), int(bounds.max))
    if hint is float:
        bounds = limits.get(Range, Range(-1e9, 1e9))
        return st.floats(bounds.min, bounds.max)
    if hint is bool:
        return st.booleans()
    if hint is str:
        return st.text(min_size=low, max_size=high)
    if hint is bytes:
        return st.binary(min_size=low, max_size=high)
    if attrs.has(hint):
        return st.deferred(lambda: instances(hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), min_size=low, max_size=high).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=8), values(arguments[1]), max_size=high)
    return st.one_of(*(st.none() if one is type(None) else values(one) for one in arguments))


def requests() -> st.SearchStrategy[tuple[str, Any]]:
    """(method, params) of every request but hello."""
    return st.one_of(
        *(
            st.tuples(st.just(name), instances(method.params))
            for name, method in METHODS.items()
            if name != "hello"
        )
    )


def to_daemon() -> st.SearchStrategy[tuple[str, Any]]:
    """(method, params) of every notification to a daemon, goodbye excluded."""
    return st.one_of(
        *(
            st.tuples(st.just(name), instances(one.params))
            for name, one in NOTIFICATIONS.items()
            if one.direction == "to_daemon"
        )
    )


def to_client() -> st.SearchStrategy[tuple[str, Any]]:
    """(method, params) of every notification to a client."""
    return st.one_of(
        *(
            st.tuples(st.just(name), instances(one.params))
            for name, one in NOTIFICATIONS.items()
            if one.direction == "to_client"
        )
    )


def chunked(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """``data`` cut into pieces in any way."""

    def cut(positions: list[int]) -> list[bytes]:
        bounds = [0, *sorted(positions), len(data)]
        return [data[a:b] for a, b in itertools.pairwise(bounds) if b > a]

    return st.lists(st.integers(0, len(data)), max_size=8).map(cut)
