"""Checks values against the shapes of schema.json, bins included."""

from __future__ import annotations

import re
from typing import Any

ANY = "*"
"""In transcripts: any value of the right shape."""


class Schema:
    """The document.

    :param document: schema.json
    :param wildcard: whether :data:`ANY` stands for anything
    """

    def __init__(self, document: dict[str, Any], *, wildcard: bool = False) -> None:
        self.document = document
        self._wildcard = wildcard
        self.methods = {one["name"]: one for one in document["methods"]}
        self.notifications = {one["name"]: one for one in document["notifications"]}

    def problem(self, shape: dict[str, Any], value: Any, path: str = "") -> tuple[str, str] | None:
        """(path, what is wrong) of the first problem; None: the value has the shape."""
        if self._wildcard and value == ANY:
            return None
        if "$ref" in shape:
            name = shape["$ref"].removeprefix("#/$defs/")
            if name not in self.document["$defs"]:
                return path, f"{name} is not defined"
            return self.problem(self.document["$defs"][name], value, path)
        if "anyOf" in shape:
            problems = [self.problem(one, value, path) for one in shape["anyOf"]]
            return None if None in problems else _deepest(problems)
        if shape.get("x-msgpack") == "bin":
            return self._bin(shape, value, path)
        check = getattr(self, "_" + shape["type"])
        result: tuple[str, str] | None = check(shape, value, path)
        return result

    @staticmethod
    def _bin(shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        data = value.encode() if isinstance(value, str) else value
        if not isinstance(data, bytes):
            return path, "not a bin"
        if not shape.get("x-minBytes", 0) <= len(data) <= shape.get("x-maxBytes", len(data)):
            return path, "length"
        return None

    @staticmethod
    def _null(_shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        return None if value is None else (path, "not nil")

    @staticmethod
    def _boolean(_shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        return None if isinstance(value, bool) else (path, "not a boolean")

    @staticmethod
    def _string(shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return path, "not a str"
        if "enum" in shape and value not in shape["enum"]:
            return path, "not one of the values"
        if not shape.get("minLength", 0) <= len(value) <= shape.get("maxLength", len(value)):
            return path, "length"
        if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
            return path, "pattern"
        return None

    def _integer(self, shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            return path, "not an integer"
        return self._number(shape, value, path)

    @staticmethod
    def _number(shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return path, "not a number"
        if not shape.get("minimum", value) <= value <= shape.get("maximum", value):
            return path, "range"
        return None

    def _array(self, shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        if not isinstance(value, list):
            return path, "not an array"
        if "prefixItems" in shape:
            if len(value) != len(shape["prefixItems"]):
                return path, "length"
            items = zip(shape["prefixItems"], value, strict=True)
        else:
            if not shape.get("minItems", 0) <= len(value) <= shape.get("maxItems", len(value)):
                return path, "length"
            items = ((shape["items"], one) for one in value)  # type: ignore[assignment]
        for index, (item, one) in enumerate(items):
            problem = self.problem(item, one, f"{path}[{index}]")
            if problem is not None:
                return problem
        return None

    def _object(self, shape: dict[str, Any], value: Any, path: str) -> tuple[str, str] | None:
        if not isinstance(value, dict):
            return path, "not a map"
        if "properties" not in shape:
            return self._free_map(shape, value, path)
        for key, item in value.items():
            if key not in shape["properties"]:
                return _join(path, key), "unknown"
            problem = self.problem(shape["properties"][key], item, _join(path, key))
            if problem is not None:
                return problem
        for key in shape["required"]:
            if key not in value:
                return _join(path, key), "missing"
        return None

    def _free_map(
        self, shape: dict[str, Any], value: dict[str, Any], path: str
    ) -> tuple[str, str] | None:
        if len(value) > shape.get("maxProperties", len(value)):
            return path, "length"
        for key, item in value.items():
            problem = self.problem(shape["additionalProperties"], item, _join(path, key))
            if problem is not None:
                return problem
        return None


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _deepest(problems: list[tuple[str, str] | None]) -> tuple[str, str]:
    """Of the alternatives, the one that fits best tells most."""
    return max((one for one in problems if one is not None), key=lambda one: len(one[0]))


def with_bins(value: Any) -> Any:
    """Turn ``{"$bin": hex}`` and ``{"$text": text}`` into bytes."""
    if isinstance(value, dict):
        if value.keys() == {"$bin"}:
            return bytes.fromhex(value["$bin"])
        if value.keys() == {"$text"}:
            return value["$text"].encode()
        return {key: with_bins(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_bins(item) for item in value]
    return value
