"""A task group that fails leaves the task that waited for it as it was, and loses no cancellation."""

import ast
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from overshootd.errors import Transient
from overshootd.groups import TaskGroup

PACKAGE = Path(__file__).parents[2] / "overshootd"
BOUND = 5.0


async def fail_soon() -> None:
    await asyncio.sleep(0)
    raise OSError("no")


async def test_a_group_that_fails_at_its_end_leaves_no_cancellation_behind() -> None:
    with pytest.raises(ExceptionGroup):
        async with TaskGroup() as tasks:
            tasks.create_task(fail_soon())
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_a_group_that_fails_in_its_body_leaves_none_either() -> None:
    async def fail() -> None:
        async with TaskGroup() as tasks:
            tasks.create_task(fail_soon())
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup):
        await fail()
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_a_cancellation_of_the_task_itself_stays_one() -> None:
    async def wait() -> None:
        async with TaskGroup() as tasks:
            tasks.create_task(asyncio.Event().wait())

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()


# -- a cancellation in the moment of a failure -------------------------------------------------------------------------


class Moment:
    """A group that fails, and closes only when it is told to: between the two somebody may cancel its task.

    `in_body`: the task is cancelled while it is in the body, and one of the group fails because of that.
    """

    def __init__(self, error: Exception, *, in_body: bool = False) -> None:
        self._error = error
        self._in_body = in_body
        self._closes = asyncio.Event()
        self.aborts = asyncio.Event()

    def let_close(self) -> None:
        self._closes.set()

    async def fail(self) -> None:
        async with TaskGroup() as tasks:
            tasks.create_task(self._close_slowly())
            if self._in_body:
                self.aborts.set()
                await asyncio.Event().wait()
            tasks.create_task(self._fail())

    async def _fail(self) -> None:
        raise self._error

    async def _close_slowly(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.aborts.set()
            await self._closes.wait()
            if self._in_body:
                raise self._error from None
            raise


async def go_on(moment: Moment) -> None:
    """As what delivers and what keeps a stream does, which try for ever."""
    with suppress(ExceptionGroup):
        await moment.fail()
    await asyncio.sleep(0)


async def cancelled_in(moment: Moment, run: Callable[[Moment], Awaitable[None]]) -> asyncio.Task[None]:
    """The task, ended or not, that was cancelled while the group aborted."""

    async def running() -> None:
        await run(moment)

    task = asyncio.create_task(running())
    async with asyncio.timeout(BOUND):
        await moment.aborts.wait()
    task.cancel()
    await asyncio.sleep(0)
    moment.let_close()
    async with asyncio.timeout(BOUND):
        await asyncio.wait([task])
    return task


@pytest.mark.parametrize("in_body", [False, True])
async def test_who_goes_on_after_a_failure_is_cancelled_all_the_same(in_body: bool) -> None:
    task = await cancelled_in(Moment(Transient("away"), in_body=in_body), go_on)
    assert task.cancelled()


async def test_a_timeout_in_that_moment_is_one_and_leaves_nothing_behind() -> None:
    moment = Moment(Transient("away"))

    async def expire(bound: asyncio.Timeout) -> None:
        await moment.aborts.wait()
        bound.reschedule(0)
        asyncio.get_running_loop().call_soon(moment.let_close)

    async def run() -> None:
        async with asyncio.timeout(None) as bound:
            expiring = asyncio.create_task(expire(bound))
            await moment.fail()
        await expiring

    with pytest.raises(TimeoutError):
        await run()
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_a_failure_of_a_group_in_a_group_is_told_when_the_outer_one_fails_meanwhile() -> None:
    """That cancels the task too, but it is nobody else's."""
    moment = Moment(Transient("inner"))

    async def fail_too() -> None:
        await moment.aborts.wait()
        moment.let_close()
        raise Transient("outer")

    async def both() -> None:
        async with TaskGroup() as tasks:
            tasks.create_task(fail_too())
            await moment.fail()

    with pytest.raises(ExceptionGroup) as raised:
        await both()
    assert "outer" in [str(error) for error in raised.value.exceptions]
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_a_task_that_is_being_cancelled_is_told_what_fails_while_it_closes() -> None:
    """An earlier cancellation is none that comes in that moment."""

    async def close_badly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            async with TaskGroup() as tasks:
                tasks.create_task(fail_soon())

    task = asyncio.create_task(close_badly())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert isinstance(task.exception(), ExceptionGroup)


@pytest.mark.parametrize(("error", "told"), [(Transient("away"), []), (KeyError("ours"), [KeyError])])
async def test_what_nobody_expects_is_left_in_the_log(error: Exception, told: list[type[Exception]]) -> None:
    found: list[type[BaseException]] = []

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        found.extend(type(leaf) for leaf in context["exception"].exceptions)

    asyncio.get_running_loop().set_exception_handler(handle)
    task = await cancelled_in(Moment(error), Moment.fail)
    assert (task.cancelled(), found) == (True, told)


def test_the_daemon_has_no_other_groups() -> None:
    """The simulator does not run for years."""
    sources = [path for path in PACKAGE.rglob("*.py") if "simulator" not in path.parts and path.name != "groups.py"]
    nodes = ((path.name, node) for path in sources for node in ast.walk(ast.parse(path.read_text())))
    assert [
        name for name, node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.TaskGroup"
    ] == []
