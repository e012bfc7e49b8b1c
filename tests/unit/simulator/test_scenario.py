"""The scenario file: read, checked, played in order."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from overshootd.simulator.faults import AnyFault
from overshootd.simulator.scenario import ScenarioError, load, parse, play


def test_entries_are_sorted_by_time(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("- {at: 9, fault: deploy}\n- {fault: status, status: 503, for: 10}\n- {at: 2.5, fault: credits}\n")
    assert [(timed.at, timed.fault.fault) for timed in load(file)] == [(0, "status"), (2.5, "credits"), (9, "deploy")]


def test_every_mistake_is_told_with_file_and_entry() -> None:
    wrong = [{"at": -1, "fault": "deploy"}, {"fault": "hang"}, "deploy", {"fault": "status", "status": 9, "colour": 1}]
    with pytest.raises(ScenarioError) as caught:
        parse(wrong, "f.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["f.yaml", "entry 1"],
        ["f.yaml", "entry 3"],
        ["f.yaml", "entry 4"],
        ["f.yaml", "entry 4"],
    ]


@pytest.mark.parametrize("content", ["a: 1", "- [", "", "\xff"])
def test_a_file_that_holds_no_list_is_told_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ScenarioError, match=r"faults\.yaml"):
        load(file)


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nowhere"):
        load(tmp_path / "nowhere")


async def test_faults_are_applied_in_order_and_not_early() -> None:
    loop = asyncio.get_running_loop()
    start, applied = loop.time(), list[tuple[str, float]]()

    async def apply(fault: AnyFault) -> None:
        applied.append((fault.fault, loop.time() - start))

    entries: list[Any] = [{"at": 0.1, "fault": "deploy"}, {"fault": "hang"}]
    await play(parse(entries, "f"), apply)
    assert [name for name, _ in applied] == ["hang", "deploy"]
    assert applied[1][1] >= 0.1
