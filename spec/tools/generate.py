"""Write spec/reference.md, the tables of the protocol, from spec/schema.json.

python spec/tools/generate.py            write it
python spec/tools/generate.py --check    exit with 1 unless it is up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

SPEC = Path(__file__).resolve().parents[1]


def reference(schema: dict[str, Any]) -> str:
    """The text of reference.md."""
    lines = [
        "# Reference",
        "",
        "Generated from `schema.json` by `tools/generate.py`; do not edit. The text: protocol.md.",
        "",
    ]
    lines += _methods(schema)
    lines += _notifications(schema)
    lines += _errors(schema)
    lines += _limits(schema)
    lines += _types(schema)
    return "\n".join(lines).rstrip() + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    def row(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [row(head), row(["---"] * len(head)), *map(row, rows), ""]


def _name(reference: dict[str, str]) -> str:
    return reference["$ref"].removeprefix("#/$defs/")


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _methods(schema: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"`{method['name']}`",
            _link(_name(method["params"])),
            _link(_name(method["result"])),
            method["summary"],
            ", ".join(f"`{code}`" for code in method["errors"]),
        ]
        for method in schema["methods"]
    ]
    return ["## Methods", "", *_table(["method", "params", "result", "", "errors"], rows)]


def _notifications(schema: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"`{one['name']}`",
            one["direction"].replace("_", " "),
            _link(_name(one["params"])),
            one["summary"],
        ]
        for one in schema["notifications"]
    ]
    return ["## Notifications", "", *_table(["notification", "direction", "params", ""], rows)]


def _errors(schema: dict[str, Any]) -> list[str]:
    lines = []
    for where, title in (("reply", "Errors of replies"), ("goodbye", "Codes of goodbyes")):
        rows = [
            [f"`{one['code']}`", one["summary"]]
            + ([", ".join(f"`{field}`" for field in one["data"])] if where == "reply" else [])
            for one in schema["errors"]
            if one["where"] == where
        ]
        head = ["code", "meaning"] + (["data"] if where == "reply" else [])
        lines += [f"## {title}", "", *_table(head, rows)]
    return lines


def _limits(schema: dict[str, Any]) -> list[str]:
    rows = [[one["name"], f"{one['value']:,}", one["summary"]] for one in schema["limits"]]
    return ["## Limits", "", *_table(["limit", "value", ""], rows)]


def _types(schema: dict[str, Any]) -> list[str]:
    lines = ["## Types", ""]
    for name, definition in schema["$defs"].items():
        lines += [f"### {name}", "", definition["description"], ""]
        properties = definition.get("properties")
        if properties is None:
            lines += [f"Type: {_type(definition)}", ""]
            continue
        rows = [
            [
                f"`{field}`",
                _type(shape),
                "required" if field in definition["required"] else _default(shape),
                shape["description"],
            ]
            for field, shape in properties.items()
        ]
        if rows:
            lines += _table(["field", "type", "default", ""], rows)
    return lines


def _default(shape: dict[str, Any]) -> str:
    value = shape["default"]
    if isinstance(value, dict) and "$bin" in value:
        return "empty bin"
    if value == {} and "$ref" in shape:
        return "all defaults"
    return f"`{json.dumps(value)}`"


def _type(shape: dict[str, Any]) -> str:
    """A type in words."""
    if "$ref" in shape:
        return _link(_name(shape))
    if "anyOf" in shape:
        return " or ".join(_type(one) for one in shape["anyOf"])
    if "enum" in shape:
        return " · ".join(f"`{one}`" for one in shape["enum"])
    if shape.get("x-msgpack") == "bin":
        return "bin" + _bounds(shape, "x-minBytes", "x-maxBytes", "bytes")
    kind = shape["type"]
    if kind == "null":
        return "nil"
    if kind == "array":
        if "prefixItems" in shape:
            return "[" + ", ".join(_type(one) for one in shape["prefixItems"]) + "]"
        return f"array of {_type(shape['items'])}" + _bounds(shape, "minItems", "maxItems", "items")
    if kind == "object":
        return f"map of str to {_type(shape['additionalProperties'])}"
    if kind == "string":
        pattern = f", `{shape['pattern']}`" if "pattern" in shape else ""
        return "str" + _bounds(shape, "minLength", "maxLength", "characters") + pattern
    return str(kind) + _bounds(shape, "minimum", "maximum", "")


def _bounds(shape: dict[str, Any], low: str, high: str, unit: str) -> str:
    if low not in shape and high not in shape:
        return ""
    first, last = (f"{shape[key]:g}" if key in shape else "" for key in (low, high))
    first, last = (
        f"{shape[key]:,}" if isinstance(shape.get(key), int) else text
        for key, text in ((low, first), (high, last))
    )
    return f" ({first}…{last}{' ' + unit if unit else ''})"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only check that it is up to date")
    parser.add_argument("--spec", type=Path, default=SPEC, help="directory of the specification")
    options = parser.parse_args(arguments)
    schema = json.loads((options.spec / "schema.json").read_text(encoding="utf-8"))
    path = options.spec / "reference.md"
    text = reference(schema)
    if not options.check:
        path.write_text(text, encoding="utf-8")
        return 0
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        print(f"{path} is not what schema.json gives: run spec/tools/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
