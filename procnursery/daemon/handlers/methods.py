"""What a handler is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procnursery.daemon.session import Session

Methods = dict[str, Callable[[Session, Any], Any]]
"""Handlers by method: each takes the session and the params, and gives the result or something
that gives it later."""
