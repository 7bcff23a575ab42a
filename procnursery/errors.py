"""The exceptions of procnursery.

``ProcnurseryError`` is the root. What the peer or the user did wrong is told apart from what is a
defect of our own (``LocalProtocolError``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procnursery.model import Outcome


class ProcnurseryError(Exception):
    """Root of all exceptions that procnursery raises on purpose."""


class LocalProtocolError(ProcnurseryError):
    """Our own side tried something that the protocol forbids: a defect of the caller."""


class RemoteProtocolError(ProcnurseryError):
    """The peer violated the protocol; the connection ends with a goodbye of this code.

    :param code: a code of the registry of goodbyes
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class InvalidField(ProcnurseryError):
    """A field of a message is missing, unknown, of the wrong type or out of range.

    :ivar path: the field, as ``spec.argv[2]``
    :ivar problem: what is wrong with it
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def within(self, part: str) -> InvalidField:
        """Prepend ``part`` (a name, or ``[index]``) to the path and return this error."""
        if not self.path:
            self.path = part
        elif self.path.startswith("["):
            self.path = part + self.path
        else:
            self.path = f"{part}.{self.path}"
        return self

    def __str__(self) -> str:
        return f"{self.path or 'params'}: {self.problem}"


class RequestError(ProcnurseryError):
    """The daemon answered a request with an error.

    :ivar code: a code of the error registry
    :ivar message: for people
    :ivar executed: ``yes``, ``no`` or ``unknown``: whether the request had any effect
    :ivar data: the other fields of the error's data that were set (errno, stage, path, …)
    """

    def __init__(self, code: str, message: str, *, executed: str = "no", **data: object) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.executed = executed
        self.data = data


class StartFailed(RequestError):
    """The program was not executed: ``data`` has the stage and, where there is one, the errno."""

    def __init__(self, message: str, *, stage: str, **data: object) -> None:
        super().__init__("start_failed", message, executed="no", stage=stage, **data)
        self.args = (message,)
        self.stage = stage
        self.errno = data.get("errno")


class ConnectionFailed(ProcnurseryError):
    """The daemon could not be reached, or did not speak the protocol."""


class ConnectionLost(ProcnurseryError):
    """The connection ended while an answer was awaited: what the daemon did is not known."""


class OutcomeError(ProcnurseryError):
    """A program did not exit with status 0; raised by ``raise_for_status()``.

    :ivar outcome: the outcome
    """

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome
