"""What a mutant is."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One place of the package changed so that one MUST is violated.

    :ivar file: within ``procnursery/``
    :ivar before: text that stands in it once
    :ivar after: what it becomes
    :ivar containment: of the daemon, where only one kind shows it
    """

    must: str
    file: str
    before: str
    after: str
    containment: str = "auto"
