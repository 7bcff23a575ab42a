"""The shapes that the implementation's attrs classes have, as schema.json writes them."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from procnursery import model
from procnursery.protocol import codec, messages

_SCALARS: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    bytes: {"x-msgpack": "bin"},
}


def classes() -> dict[str, Any]:
    """Every attrs class whose values travel, by name."""
    local = {model.Range, model.Length, model.Pattern, messages.Method, messages.NotificationType}
    return {
        cls.__name__: cls
        for module in (model, messages)
        for cls in vars(module).values()
        if isinstance(cls, type) and attrs.has(cls) and cls not in local
    }


def shape_of_class(cls: Any) -> dict[str, Any]:
    """Shape of a class, without descriptions."""
    hints = typing.get_type_hints(cls, include_extras=True)
    properties, required = {}, []
    for field in attrs.fields(cls):
        name = codec.wire_name(field.name)
        shape = _shape(hints[field.name])
        if field.default is attrs.NOTHING:
            required.append(name)
        else:
            shape["default"] = _default(field.default)
        properties[name] = shape
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _default(default: Any) -> Any:
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if isinstance(default, bytes):
        return {"$bin": default.hex()}
    return _listed(codec.encode(default))


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shape(hint: Any) -> dict[str, Any]:
    if hint == model.Time:
        return {"$ref": "#/$defs/Time"}
    constraints: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *rest = typing.get_args(hint)
        constraints = tuple(rest)
    shape = _plain(hint)
    for constraint in constraints:
        shape |= _constraint(constraint, shape)
    return shape


def _plain(hint: Any) -> dict[str, Any]:
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    if attrs.has(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": list(_alternatives(arguments))}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _shape(arguments[0])}
    if origin is tuple:
        return {
            "type": "array",
            "prefixItems": [_shape(one) for one in arguments],
            "items": False,
            "minItems": len(arguments),
            "maxItems": len(arguments),
        }
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _shape(arguments[1])}
    raise TypeError(f"no shape for {hint!r}")


def _alternatives(arguments: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for one in arguments:
        if one is not type(None):
            yield _shape(one)
    if type(None) in arguments:
        yield {"type": "null"}


def _constraint(constraint: Any, shape: dict[str, Any]) -> dict[str, Any]:
    if isinstance(constraint, model.Range):
        return {"minimum": constraint.min, "maximum": constraint.max}
    if isinstance(constraint, model.Pattern):
        return {"pattern": constraint.regex}
    if shape.get("x-msgpack"):
        names = ("x-minBytes", "x-maxBytes")
    elif shape["type"] == "array":
        names = ("minItems", "maxItems")
    elif shape["type"] == "object":
        names = ("minProperties", "maxProperties")
    else:
        names = ("minLength", "maxLength")
    bounds = zip(names, (constraint.min, constraint.max), strict=True)
    return {name: value for name, value in bounds if value is not None}


def without_descriptions(shape: Any) -> Any:
    """A shape of schema.json, comparable with one of these."""
    if isinstance(shape, dict):
        if "anyOf" in shape:
            flat = []
            for one in shape["anyOf"]:
                flat += one.get("anyOf", [one])
            shape = shape | {"anyOf": flat}
        return {
            key: without_descriptions(value)
            for key, value in shape.items()
            if not (key == "description" and isinstance(value, str))
        }
    if isinstance(shape, list):
        return [without_descriptions(one) for one in shape]
    return shape
