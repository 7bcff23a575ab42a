"""Find whatever does not agree: text, schema, tables, vectors, classes, tests of the protocol.

    python spec/tools/check.py [--root DIR]

Prints one line per problem; exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

sys.path.insert(0, str(Path(__file__).resolve().parent))

import attrs_shapes
import decoder
import validate

ROOT = Path(__file__).resolve().parents[2]
_DEFINED = re.compile(r"^- \[(PN-(\d+\.\d+)-(\d+))\] (.*)$", re.MULTILINE)
_ANY_ID = re.compile(r"PN-\d+\.\d+-\d+")
_SECTION = re.compile(r"^### (\d+\.\d+) ", re.MULTILINE)
_TRANSCRIPT = re.compile(r"^```transcript\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Spec:
    """The files.

    :param root: of the project
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.text = (root / "spec" / "protocol.md").read_text(encoding="utf-8")
        self.schema = json.loads((root / "spec" / "schema.json").read_text(encoding="utf-8"))
        self.musts = {match[1]: match[4] for match in _DEFINED.finditer(self.text)}


def check_numbers(spec: Spec) -> Iterator[str]:
    """Numbers of MUSTs are unique, stand in their section, and say MUST once at least."""
    seen: set[str] = set()
    sections = [(match.start(), match[1]) for match in _SECTION.finditer(spec.text)]
    for match in _DEFINED.finditer(spec.text):
        must, section = match[1], match[2]
        if must in seen:
            yield f"protocol.md: {must} is defined twice"
        seen.add(must)
        here = [name for start, name in sections if start < match.start()]
        if not here or here[-1] != section:
            yield f"protocol.md: {must} does not stand in section {section}"
        if "MUST" not in match[4] and "withdrawn" not in match[4]:
            yield f"protocol.md: {must} says no MUST"
    for line in spec.text.splitlines():
        if "MUST" in line and not line.startswith("- [PN-") and "RFC 2119" not in line:
            yield f"protocol.md: a MUST without a number: {line.strip()[:60]}"
    for must in set(_ANY_ID.findall(spec.text)) - seen:
        yield f"protocol.md: {must} is mentioned and not defined"


def check_schema(spec: Spec) -> Iterator[str]:
    """The schema is one, has no dangling references, and describes everything."""
    try:
        jsonschema.Draft202012Validator.check_schema(spec.schema)
    except jsonschema.SchemaError as error:
        yield f"schema.json: {error.message}"
    names = set(spec.schema["$defs"])
    used = {"ErrorInfo"}  # of every error reply
    for path, reference in _references(spec.schema, ""):
        name = reference.removeprefix("#/$defs/")
        used.add(name)
        if name not in names:
            yield f"schema.json: {path} refers to {reference}, which is not there"
    for name in sorted(names - used):
        yield f"schema.json: nothing uses {name}"
    for name, definition in spec.schema["$defs"].items():
        if not definition.get("description"):
            yield f"schema.json: {name} has no description"
        for field, shape in definition.get("properties", {}).items():
            if not shape.get("description"):
                yield f"schema.json: {name}.{field} has no description"
            if (field in definition["required"]) == ("default" in shape):
                yield f"schema.json: {name}.{field} must be required or have a default"
    codes = {one["code"] for one in spec.schema["errors"] if one["where"] == "reply"}
    for method in spec.schema["methods"]:
        for code in sorted(set(method["errors"]) - codes):
            yield f"schema.json: {method['name']} has the unregistered error {code}"


def _references(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield path, value["$ref"]
        for key, item in value.items():
            yield from _references(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, f"{path}/{index}")


def check_text(spec: Spec) -> Iterator[str]:
    """Every method, notification and code stands in the text or in the reference."""
    reference = (spec.root / "spec" / "reference.md").read_text(encoding="utf-8")
    for one in (*spec.schema["methods"], *spec.schema["notifications"]):
        if f"`{one['name']}" not in spec.text and f'"{one["name"]}"' not in spec.text:
            yield f"protocol.md: {one['name']} of schema.json is not in the text"
    for one in spec.schema["errors"]:
        if f"`{one['code']}`" not in spec.text + reference:
            yield f"protocol.md: the code {one['code']} of schema.json is not in the text"
    fields = {f"stdin.{field}" for field in spec.schema["$defs"]["StdinSpec"]["properties"]}
    registered = {one["code"] for one in spec.schema["errors"]}
    methods = {one["name"] for one in (*spec.schema["methods"], *spec.schema["notifications"])}
    capabilities = set(spec.schema["capabilities"])
    for capability in sorted(capabilities):
        if f"`{capability}`" not in spec.text:
            yield f"protocol.md: the capability {capability} of schema.json is not in the text"
    for name in set(re.findall(r"`((?:process|output|stdin|daemon)\.[a-z]+)`", spec.text)):
        reserved = spec.text.index("Reserved for additions")
        if name not in methods | fields | capabilities and spec.text.index(f"`{name}`") < reserved:
            yield f"protocol.md: {name} is not in schema.json"
    for code in set(re.findall(r"(?:error|goodbye) `([a-z_]+)`", spec.text)) - registered:
        yield f"protocol.md: the code {code} is not in schema.json"


def check_transcripts(spec: Spec) -> Iterator[str]:
    """Every message of a transcript has its shape, and every reply its request."""
    schema = validate.Schema(spec.schema, wildcard=True)
    blocks = _TRANSCRIPT.findall(spec.text)
    if not blocks:
        yield "protocol.md: there is no transcript"
    shown: set[str] = set()
    for block in blocks:
        outstanding: dict[int, str] = {}
        for line in block.splitlines():
            problem = _check_line(schema, line, outstanding, shown)
            if problem is not None:
                yield f"protocol.md: transcript: {problem}: {line[:70]}"
    for name in sorted((schema.methods.keys() | schema.notifications.keys()) - shown):
        yield f"protocol.md: no transcript shows {name}"


def _check_line(
    schema: validate.Schema, line: str, outstanding: dict[int, str], shown: set[str]
) -> str | None:
    sender, _, text = line.partition(": ")
    if sender not in ("C", "D"):
        return "neither C nor D"
    try:
        message = validate.with_bins(json.loads(text))
    except ValueError as error:
        return str(error)
    match message:
        case [0, int() as number, str() as method, dict() as params] if sender == "C":
            outstanding[number] = method
            shown.add(method)
            if method not in schema.methods:
                return None  # shown as an unknown one
            found = schema.problem(schema.methods[method]["params"], params)
            return None if found is None or "nice" in found[0] else " ".join(found)
        case [1, int() as number, error, result] if sender == "D" and number in outstanding:
            method = outstanding.pop(number)
            if error is not None and result is None:
                found = schema.problem({"$ref": "#/$defs/ErrorInfo"}, error)
                codes = schema.methods.get(method, {"errors": ["unknown_method"]})["errors"]
                if error["code"] not in codes:
                    return f"{error['code']} is no error of {method}"
            elif error is None:
                found = schema.problem(schema.methods[method]["result"], result)
            else:
                return "neither error nor result"
            return None if found is None else " ".join(found)
        case [2, str() as method, dict() as params] if method in schema.notifications:
            shown.add(method)
            one = schema.notifications[method]
            if one["direction"] not in ("both", "to_daemon" if sender == "C" else "to_client"):
                return "the wrong direction"
            found = schema.problem(one["params"], params)
            return None if found is None else " ".join(found)
    return "not a message that may stand here"


def check_registry(spec: Spec) -> Iterator[str]:
    """The implementation's registries and limits are those of the schema."""
    from procnursery import model
    from procnursery.daemon.handlers.about import CAPABILITIES
    from procnursery.protocol import errors_registry, framing, messages, profile

    for where, codes in (
        ("reply", errors_registry.ERROR_CODES),
        ("goodbye", errors_registry.GOODBYE_CODES),
    ):
        wanted = {one["code"] for one in spec.schema["errors"] if one["where"] == where}
        for code in sorted(wanted ^ codes):
            yield f"errors_registry.py: {code} ({where}) is only on one side"
    for capability in sorted(set(spec.schema["capabilities"]) ^ set(CAPABILITIES)):
        yield f"about.py: the capability {capability} is only on one side"
    limits = {one["name"]: one["value"] for one in spec.schema["limits"]}
    implemented = {
        "frame_before_hello": framing.FRAME_BEFORE_HELLO,
        "frame_cap": framing.FRAME_CAP,
        "depth": profile.MAX_DEPTH,
        "elements": profile.MAX_ELEMENTS,
        "integer": model.MAX_INT,
    }
    if limits != implemented:
        yield f"limits: schema.json has {limits}, the implementation {implemented}"
    described = {
        one["name"]: (_target(one["params"]), _target(one["result"]))
        for one in spec.schema["methods"]
    }
    methods = {
        name: (one.params.__name__, one.result.__name__) for name, one in messages.METHODS.items()
    }
    yield from _differences("methods", described, methods)
    told = {
        one["name"]: (one["direction"], _target(one["params"]))
        for one in spec.schema["notifications"]
    }
    notifications = {
        name: (one.direction, one.params.__name__) for name, one in messages.NOTIFICATIONS.items()
    }
    yield from _differences("notifications", told, notifications)


def _target(shape: dict[str, str]) -> str:
    return shape["$ref"].removeprefix("#/$defs/")


def _differences(what: str, wanted: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            yield (
                f"{what}: {name} is {wanted.get(name)} in schema.json and {found.get(name)} in "
                "the implementation"
            )


def check_classes(spec: Spec) -> Iterator[str]:
    """The attrs classes have the shapes of the schema, and no others."""
    classes = attrs_shapes.classes()
    definitions = {
        name: attrs_shapes.without_descriptions(one)
        for name, one in spec.schema["$defs"].items()
        if "properties" in one
    }
    for name in sorted(definitions.keys() ^ classes.keys()):
        where = "schema.json" if name in definitions else "the implementation"
        yield f"classes: {name} is only in {where}"
    for name in sorted(definitions.keys() & classes.keys()):
        wanted, found = definitions[name], attrs_shapes.shape_of_class(classes[name])
        yield from _differences(f"classes: {name}", wanted["properties"], found["properties"])
        if sorted(wanted["required"]) != sorted(found["required"]):
            yield f"classes: {name} requires other fields than schema.json says"


def check_vectors(spec: Spec) -> Iterator[str]:
    """Every vector is what an independent decoder and the schema say of it."""
    schema = validate.Schema(spec.schema)
    names: set[str] = set()
    files = sorted((spec.root / "spec" / "vectors").glob("*.json"))
    if not files:
        yield "vectors: there are none"
    for path in files:
        for vector in json.loads(path.read_text(encoding="utf-8")):
            name = f"{path.name}: {vector['name']}"
            if name in names:
                yield f"{name}: there are two of this name"
            names.add(name)
            for must in vector["spec_ids"]:
                if must not in spec.musts:
                    yield f"{name}: {must} is not defined"
            problem = _check_vector(schema, vector)
            if problem is not None:
                yield f"{name}: {problem}"


def expand(pieces: list[Any]) -> bytes:
    """Bytes of a vector: hexadecimal strings, and ``[hexadecimal, count]`` for repetitions."""
    return b"".join(
        bytes.fromhex(one) if isinstance(one, str) else bytes.fromhex(one[0]) * one[1]
        for one in pieces
    )


def _check_vector(schema: validate.Schema, vector: dict[str, Any]) -> str | None:
    data, expect = expand(vector["hex"]), vector["expect"]
    if expect in ("frame", "empty_frame", "frame_too_large", "truncated"):
        return _check_frame(data, vector)
    try:
        value = decoder.decode(data)
    except decoder.Refused as refused:
        return None if expect == "bad_msgpack" else f"refused: {refused}"
    if expect == "bad_msgpack":
        return "decodes"
    if "value" in vector and validate.with_bins(vector["value"]) != value:
        return f"decodes to {value!r}"
    if expect == "value":
        return None
    return _check_message(schema, vector, value)


def _check_frame(data: bytes, vector: dict[str, Any]) -> str | None:
    limit, expect = vector["limit"], vector["expect"]
    if data and data[0] != 0:
        found = "frame_too_large"
    elif len(data) < 4:
        found = "truncated"
    else:
        size = int.from_bytes(data[:4], "big")
        if size == 0:
            found = "empty_frame"
        elif size > limit:
            found = "frame_too_large"
        else:
            found = "frame" if len(data) == 4 + size else "truncated"
    return None if found == expect else f"is {found}"


def _check_message(schema: validate.Schema, vector: dict[str, Any], value: Any) -> str | None:
    """``request``, ``notification``, ``reply``, ``bad_envelope``, ``invalid_params``,
    ``unknown_method``, ``bad_notification``"""
    expect = vector["expect"]
    found, path = _judge(schema, value)
    if found != expect:
        return f"is {found} {path}"
    if expect == "invalid_params" and path != vector["path"]:
        return f"the problem is at {path!r}"
    return None


def _judge(schema: validate.Schema, value: Any) -> tuple[str, str]:
    def is_id(number: Any) -> bool:
        return type(number) is int and 0 <= number < 2**32

    if isinstance(value, list) and value and type(value[0]) is not int:
        return "bad_envelope", ""
    match value:
        case [0, number, str() as method, dict() as params] if is_id(number):
            if method not in schema.methods:
                return "unknown_method", ""
            problem = schema.problem(schema.methods[method]["params"], params)
            return ("request", "") if problem is None else ("invalid_params", problem[0])
        case [1, number, None, dict()] | [1, number, dict(), None] if is_id(number):
            return "reply", ""
        case [2, str() as method, dict() as params]:
            one = schema.notifications.get(method)
            if one is None or one["direction"] == "to_client":
                return "bad_notification", ""
            problem = schema.problem(one["params"], params)
            return ("notification" if problem is None else "bad_notification"), ""
    return "bad_envelope", ""


def check_tests(spec: Spec) -> Iterator[str]:
    """Each MUST names a test, and each name is one of a MUST."""
    tested: dict[str, str] = {}
    for path in sorted((spec.root / "tests").rglob("test_*.py")):
        for must in _marked(ast.parse(path.read_text(encoding="utf-8"))):
            tested.setdefault(must, path.name)
    for must in sorted(spec.musts.keys() - tested.keys(), key=_order):
        yield f"tests: no test names {must}"
    for must in sorted(tested.keys() - spec.musts.keys(), key=_order):
        yield f"tests: {tested[must]} names {must}, which is not defined"


def _marked(tree: ast.Module) -> Iterator[str]:
    """Arguments of ``pytest.mark.spec(…)``."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "spec"
        ):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def _order(must: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", must)]


CHECKS = (
    check_numbers,
    check_schema,
    check_text,
    check_transcripts,
    check_registry,
    check_classes,
    check_vectors,
    check_tests,
)


def main(arguments: list[str] | None = None) -> int:
    """Run every check."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="directory of the project")
    options = parser.parse_args(arguments)
    spec = Spec(options.root)
    problems = [problem for check in CHECKS for problem in check(spec)]
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(spec.musts)} MUSTs, {len(spec.schema['$defs'])} types: all agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
