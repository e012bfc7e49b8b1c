"""A device that has no clock yet, and one whose clock is set while it works. Only the daemon's own view of the clock is
changed (libfaketime), never the host's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from overshootd.clock import clock_synced
from overshootd.simulator.livekit_child import LiveKitChild
from tests.integration.authority import Authority
from tests.integration.daemon_bed import Daemon, Json, config, daemon, eventually, simulator
from tests.integration.tunnels import tls_in_front

NOT_YET = "is not yet valid by this machine's clock"

LONG_AGO, FAR_AHEAD, RIGHT = "-400d", "+400d", "+0"
"""From the host's clock. Certificates are valid since yesterday, so that long ago they are not yet."""

PICTURES = """
import sys, time
n = 0
while True:
    n += 1
    sys.stdout.buffer.write(bytes([60 + n % 100]) * (160 * 96) + bytes([128]) * (160 * 48))
    sys.stdout.buffer.flush()
    time.sleep(0.1)
"""

CAMERA: Json = {
    "type": "command",
    # Without the faked clock: of libfaketime 0.9.10, the absolute sleeps of Python's time.sleep fail (EINVAL).
    "argv": ["env", "-u", "LD_PRELOAD", sys.executable, "-c", PICTURES],
    "format": "i420",
    "width": 160,
    "height": 96,
    "fps": 10,
}


class Clock:
    """What a process takes for the time of day; its monotonic clock stays what it is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.step(LONG_AGO)

    def step(self, offset: str) -> None:
        self._file.write_text(offset + "\n")

    @property
    def environ(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else libfaketime 0.9.10 fakes monotonic deadlines all the same: WebRTC's threads spin, or hang.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }


def library() -> Path:
    found = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide("needs Debian's package libfaketime")
    return found[0]


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path)


@pytest.fixture
def certificate(authority: Authority, media_net: str, tmp_path: Path) -> tuple[Path, Path]:
    return authority.sign(tmp_path, "127.0.0.1", media_net)


@asynccontextmanager
async def faked(folder: Path, base_url: str, clock: Clock, authority: Authority) -> AsyncIterator[Daemon]:
    """A daemon that lives by this clock."""
    environ = clock.environ | {"SSL_CERT_FILE": str(authority.file)}
    async with daemon(folder, config(folder, base_url, one={"camera": CAMERA}), **environ) as running:
        try:
            yield running
        finally:
            clean_up_after(running.process.pid)


def told_of(what: str, running: Daemon) -> bool:
    return any(what in line and NOT_YET in line for line in running.said().splitlines())


def clean_up_after(pid: int) -> None:
    """A process that leaves through os._exit does not remove what libfaketime shares with its children."""
    for path in Path("/dev/shm").glob(f"*faketime_*_{pid}"):
        path.unlink()


async def test_without_a_clock_it_waits_as_for_a_network_and_is_live_once_the_clock_is_set(
    clock: Clock, authority: Authority, certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    cert, key = certificate
    async with (
        simulator(tmp_path, "--advertise", media_net, "--tls-cert", str(cert), "--tls-key", str(key)) as gateway,
        faked(tmp_path, gateway.base_url, clock, authority) as running,
    ):
        await eventually(lambda: NOT_YET in running.heard(), "the reason in the status")
        assert "1 waiting" in running.heard(), "a stream that waits, not one that was given up"
        clock.step(RIGHT)
        assert await running.more_results(1)
        assert {record["clock_synced"] for record in running.records()} == {clock_synced()}
        assert await running.end() == 0


async def test_a_room_server_whose_certificate_is_not_yet_valid_is_joined_once_the_clock_is_set(
    clock: Clock,
    authority: Authority,
    certificate: tuple[Path, Path],
    media_net: str,
    child: LiveKitChild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same within the LiveKit library: the API does without TLS here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # the simulator joins the rooms too
    keys = ("--livekit-key", child.key, "--livekit-secret", child.secret)
    async with tls_in_front(media_net, urlsplit(child.url).port or 0, certificate) as front:
        rooms = ("--media", "livekit-server", "--livekit-url", f"wss://{media_net}:{front}", *keys)
        async with (
            simulator(tmp_path, "--advertise", media_net, *rooms) as gateway,
            faked(tmp_path, gateway.base_url, clock, authority) as running,
        ):
            await eventually(
                lambda: f"joining the room failed: the certificate of {media_net}" in running.said(), "why"
            )
            assert NOT_YET in running.said()
            clock.step(RIGHT)
            assert await running.more_results(1)


async def test_steps_of_the_clock_disturb_neither_the_lease_nor_results(
    clock: Clock, authority: Authority, certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    """Four results come in a second, and a lease of 6 s ends if it is kept by a clock that was set back."""
    cert, key = certificate
    clock.step(RIGHT)
    tls = ("--tls-cert", str(cert), "--tls-key", str(key))
    async with (
        simulator(tmp_path, "--advertise", media_net, "--lease-ttl", "6", *tls) as gateway,
        faked(tmp_path, gateway.base_url, clock, authority) as running,
    ):
        await running.more_results(1)
        for offset, results in ((FAR_AHEAD, 4), (LONG_AGO, 30), (RIGHT, 4)):
            clock.step(offset)
            await running.more_results(results)
        assert len(await gateway.streams()) == 1
        assert running.records("gap") == []
        years = [record["received_at"][:4] for record in running.records()]
        assert len(set(years)) > 1, "the clock was stepped"


async def test_a_results_socket_that_breaks_while_the_clock_is_wrong_comes_back_on_the_same_stream(
    clock: Clock, authority: Authority, certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    cert, key = certificate
    clock.step(RIGHT)
    async with (
        simulator(tmp_path, "--advertise", media_net, "--tls-cert", str(cert), "--tls-key", str(key)) as gateway,
        faked(tmp_path, gateway.base_url, clock, authority) as running,
    ):
        await running.more_results(1)
        clock.step(LONG_AGO)
        await gateway.act("drop_sockets")
        await eventually(lambda: told_of("results socket", running), "the reason in the log")
        clock.step(RIGHT)
        await running.more_results(3)
        assert len(await gateway.streams()) == 1
