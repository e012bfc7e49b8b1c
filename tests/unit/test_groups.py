"""A task group that fails leaves the task that waited for it as it was."""

import ast
import asyncio
from pathlib import Path

import pytest

from overshootd.groups import TaskGroup

PACKAGE = Path(__file__).parents[2] / "overshootd"


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


def test_the_daemon_has_no_other_groups() -> None:
    """The simulator does not run for years."""
    sources = [path for path in PACKAGE.rglob("*.py") if "simulator" not in path.parts and path.name != "groups.py"]
    nodes = ((path.name, node) for path in sources for node in ast.walk(ast.parse(path.read_text())))
    assert [
        name for name, node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.TaskGroup"
    ] == []
