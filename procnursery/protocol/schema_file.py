"""The text of ``spec/schema.json``, as every daemon serves it."""

from __future__ import annotations

from pathlib import Path

_PACKAGED = Path(__file__).with_name("schema.json")
_IN_SOURCES = Path(__file__).parents[2] / "spec" / "schema.json"


def schema_text() -> str:
    """The JSON document: packaged beside this file, or of the source tree."""
    path = _PACKAGED if _PACKAGED.exists() else _IN_SOURCES
    return path.read_text(encoding="utf-8")
