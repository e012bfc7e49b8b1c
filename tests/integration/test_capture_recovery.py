"""A camera that cannot be opened climbs its ladder, through the real helper, and says once when it cannot."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from overshootd.backoff import Backoff
from overshootd.capture import recovery
from overshootd.capture.recovery import Recoverer, ask_helper
from overshootd.config.cameras import RealCamera, Recovery, V4l2Camera
from overshootd.errors import CameraLost
from tests.integration.feed_bench import BOUND, SMALL, Journal, Script, ScriptedCamera, bench, until
from tests.integration.helper_lab import Machine, listening


class Bed:
    """A recoverer, and what it did."""

    def __init__(self, helper: Path, ladder: Recovery, usb: str | None = "1-1.2") -> None:
        self.told: list[str] = []
        self.journal = Journal()
        self.usb = usb
        yard = V4l2Camera(type="v4l2", device="usb-yard-video-index0", recovery=ladder)
        self.recoverer = Recoverer(yard, self.told.append, self.journal, helper=helper, locate=self._locate)

    def _locate(self, config: RealCamera) -> str | None:
        if self.usb is None:
            raise CameraLost("it is not there")
        return self.usb

    async def fail(self, times: int) -> None:
        for _ in range(times):
            await self.recoverer.failed()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


async def test_after_so_many_failures_the_usb_device_is_reset(machine: Machine, tmp_path: Path) -> None:
    device = machine.device("1-1.2", "0e")
    bed = Bed(tmp_path / "helper", Recovery(usb_reset_after=3))
    bed.recoverer.watching(lambda: ScriptedCamera(Script()))()
    async with listening(machine, tmp_path / "helper"):
        await bed.fail(2)
        assert (device / "authorized").read_text() == "9"
        await bed.fail(1)
    assert (device / "authorized").read_text() == "1"
    assert bed.told == ["its USB device 1-1.2 was reset, for it could not be opened 3 times in a row"]


async def test_the_place_of_a_camera_is_remembered_when_it_is_gone(machine: Machine, tmp_path: Path) -> None:
    machine.device("1-1.2", "0e")
    bed = Bed(tmp_path / "helper", Recovery(usb_reset_after=2))
    watched = bed.recoverer.watching(lambda: ScriptedCamera(Script()))
    watched()
    bed.usb = None
    watched()
    async with listening(machine, tmp_path / "helper"):
        await bed.fail(2)
    assert "1-1.2" in bed.told[0]


async def test_a_camera_that_is_not_on_the_usb_is_said_once(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "helper", Recovery(usb_reset_after=2), usb=None)
    bed.recoverer.watching(lambda: ScriptedCamera(Script()))()
    await bed.fail(10)
    assert len(bed.journal.errors) == 1 and "no USB device" in bed.journal.errors[0]


async def test_a_reboot_is_asked_for_and_explains_itself(machine: Machine, tmp_path: Path) -> None:
    bed = Bed(tmp_path / "helper", Recovery(reboot_after=10))
    async with listening(machine, tmp_path / "helper"):
        await bed.fail(10)
    assert machine.told.read_text() == "reboot\n"
    assert bed.told == ["the machine reboots, for it could not be opened 10 times in a row"]


async def test_what_works_in_between_begins_the_ladder_anew(machine: Machine, tmp_path: Path) -> None:
    bed = Bed(tmp_path / "helper", Recovery(reboot_after=10))
    async with listening(machine, tmp_path / "helper"):
        await bed.fail(9)
        bed.recoverer.worked()
        await bed.fail(9)
    assert not machine.told.exists()


async def test_a_refusal_is_said_once_in_the_helpers_words_and_nothing_claimed(tmp_path: Path) -> None:
    young = Machine(tmp_path / "machine", uptime=90)
    bed = Bed(tmp_path / "helper", Recovery(reboot_after=10))
    async with listening(young, tmp_path / "helper"):
        await bed.fail(30)
    assert len(bed.journal.errors) == 1 and "no reboot within an hour" in bed.journal.errors[0]
    assert not bed.told


async def test_without_the_helper_it_is_said_once_how_to_enable_it(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "nobody", Recovery(reboot_after=10))
    await bed.fail(30)
    assert len(bed.journal.errors) == 1
    assert "systemctl enable --now overshootd-helper.socket" in bed.journal.errors[0]


async def test_a_helper_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "HELPER_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "helper"))
        deaf.listen()
        async with asyncio.timeout(BOUND):
            assert "no answer within 0.2 s" in await ask_helper(tmp_path / "helper", {"do": "reboot"})


@pytest.mark.parametrize("answer", [b"", b"yes\n", b"[]\n", b'{"ok": 1}\n', b"x" * 100_000])
async def test_an_odd_answer_is_no_success(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "helper"):
        assert await ask_helper(tmp_path / "helper", {"do": "reboot"})


async def test_a_feed_climbs_only_for_openings_that_nothing_brought_about(machine: Machine, tmp_path: Path) -> None:
    """Somebody who plugs things in and out makes it try again; that must not make the machine reboot."""
    bed = Bed(tmp_path / "helper", Recovery(reboot_after=10))
    script, waiting = Script(refuse=CameraLost("unplugged")), Backoff(base=600, cap=600, floor=600)
    async with listening(machine, tmp_path / "helper"), bench(script, recoverer=bed.recoverer, backoff=waiting) as it:
        it.feed.subscribe(SMALL)
        for opened in range(1, 21):
            await until(lambda: it.script.closed == opened, f"opening {opened} has failed")  # noqa: B023
            await until(lambda: it.states[-1] == "lost", "lost")
            it.feed.nudge()
        assert not machine.told.exists()


async def test_a_feed_whose_camera_cannot_be_opened_climbs_the_ladder(machine: Machine, tmp_path: Path) -> None:
    bed = Bed(tmp_path / "helper", Recovery(reboot_after=10))
    async with (
        listening(machine, tmp_path / "helper"),
        bench(Script(refuse=CameraLost("wedged")), recoverer=bed.recoverer) as it,
    ):
        it.feed.subscribe(SMALL)
        await until(lambda: bed.told, "a reboot")
        assert machine.told.read_text() == "reboot\n"
