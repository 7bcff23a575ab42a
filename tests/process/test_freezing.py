"""A freeze that does not come to an end, which no real tree can be made to do at will."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from procnursery.containment.family import Family
from procnursery.containment.session import SessionTree
from procnursery.containment.tree import Left, Standstill
from procnursery.errors import RequestError
from procnursery.host.clock import stamp
from procnursery.model import ProcessSpec, Survivor
from procnursery.process import freezing
from procnursery.process.events import EventLog
from procnursery.process.freezing import Freezer
from procnursery.process.reaper import Reaper
from procnursery.process.record import Record

HANGING = Left(7, "D", "dd", "in uninterruptible sleep")


class Stubborn(SessionTree):
    """A tree of which one process hangs in the kernel.

    :ivar looks: how often it was looked for
    """

    def __init__(self) -> None:
        super().__init__(Family(), b"X=1")
        self.looks = 0
        self.hangs = True
        self.goes_on = False
        self.error: OSError | None = None

    def populated(self) -> bool:
        return True

    def freeze(self) -> Standstill:
        self.looks += 1
        if self.error is not None and self.looks > 1:
            raise self.error
        return Standstill([HANGING] if self.hangs else [], announced=False)

    def thaw(self) -> None:
        self.goes_on = True


@pytest.fixture
def tree() -> Stubborn:
    return Stubborn()


@pytest.fixture
def record() -> Record:
    return Record(
        "p1",
        ProcessSpec(argv=(b"x",)),
        by="test",
        containment="session",
        requested=stamp(),
        events=EventLog(8),
    )


@pytest.fixture
def freezer(record: Record, tree: Stubborn) -> Freezer:
    return Freezer(record, tree, Reaper(lambda: None))


@pytest.mark.spec("PN-9.12-3")
async def test_what_does_not_stand_still_in_time(
    record: Record, tree: Stubborn, freezer: Freezer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "STANDSTILL", 0.05)
    with trio.fail_after(10), pytest.raises(RequestError, match=r"pid 7 \(dd\)") as caught:
        await freezer.settle(freezer.begin("me"))
    assert (caught.value.code, caught.value.executed) == ("freeze_failed", "yes")
    assert caught.value.data["unfrozen"] == (
        Survivor(pid=7, state="D", command="dd", reason="in uninterruptible sleep"),
    )
    assert tree.goes_on
    assert not record.frozen
    assert not freezer.engaged
    (act,) = record.acts
    assert (act.act, act.errno, act.delivered) == ("freeze", "ETIMEDOUT", None)
    tree.hangs = False
    await freezer.settle(freezer.begin("me"))
    assert record.frozen


@pytest.mark.spec("PN-9.12-3")
async def test_a_thaw_before_all_stand_still(
    record: Record, tree: Stubborn, freezer: Freezer
) -> None:
    errors: list[RequestError] = []

    async def settle(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        attempt = freezer.begin("me")
        task_status.started()
        with pytest.raises(RequestError) as caught:
            await freezer.settle(attempt)
        errors.append(caught.value)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(settle)
            await nursery.start(settle)
            await trio.testing.wait_all_tasks_blocked()
            freezer.thaw("timeout", "daemon")
    assert [error.code for error in errors] == ["freeze_failed", "freeze_failed"]
    assert [(act.act, act.cause, act.errno) for act in record.acts] == [
        ("thaw", "timeout", None),
        ("freeze", "requested", "ECANCELED"),
    ]
    assert not record.frozen


async def test_a_freeze_is_not_left_half_done(
    record: Record, tree: Stubborn, freezer: Freezer
) -> None:
    """Its request may be cancelled: it is settled all the same."""
    with trio.fail_after(10), trio.CancelScope() as scope:
        attempt = freezer.begin("me")
        scope.cancel()
        tree.hangs = False
        await freezer.settle(attempt)
    assert record.frozen


async def test_want_of_descriptors(record: Record, tree: Stubborn, freezer: Freezer) -> None:
    tree.error = OSError(24, "Too many open files")
    with trio.fail_after(10), pytest.raises(RequestError) as caught:
        await freezer.settle(freezer.begin("me"))
    assert (caught.value.code, caught.value.data["errno"]) == ("resource_exhausted", "EMFILE")
    assert tree.goes_on
    assert not record.frozen
    assert not freezer.engaged
