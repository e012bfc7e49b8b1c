"""Simulator and daemon in the lab, and what must be true after each ordeal."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration import daemon_bed
from tests.net.certificates import authority
from tests.net.device import Device
from tests.net.gateway import KEY, Gateway, gateway
from tests.net.judge import Life, longest_gap, most_at_a_time, told
from tests.net.lab import Lab, lab

START_BOUND = 45.0
TOLD_LINES = 60
CAMERA = {"type": "test", "width": 320, "height": 180}
STREAM: dict[str, Any] = {"camera": CAMERA, "processing": {"interval_seconds": 0.25}}
"""Eight pictures a second."""


@dataclass
class Bed:
    """The network, the simulator and the daemon in it, whose streams are live."""

    net: Lab
    gateway: Gateway
    device: Device
    most: int
    """How many streams may be billed at a time: as many as were configured at first."""

    def ids(self) -> dict[str, str]:
        """Which stream of the API each configured one is."""
        return {stream: self.device.stream_id(stream) for stream in self.device.streams}

    async def home(self) -> None:
        """As at the start: the default route over `a`, no trouble anywhere, all streams live if the daemon runs."""
        await self.gateway.faults()
        await self.gateway.act("room_server_start")
        await self.net.home()
        if self.device.process is not None:
            await self.device.fresh(START_BOUND)

    @asynccontextmanager
    async def survives(self, within: float, *, gap: float | None = None, same: bool = True) -> AsyncIterator[None]:
        """What happens inside must leave every stream well: a fresh result `within` seconds of its end, no longer a
        `gap` than that between frames at the server, never more streams billed than there are, and (`same`) those of
        before."""
        before, began = self.ids(), time.monotonic()
        yield
        await self.device.fresh(within)
        if same:
            assert self.ids() == before, "other streams than before"
        if gap is not None:
            worst = await self.worst_gap(began)
            assert worst <= gap, f"a gap of {worst:.2f} s between frames, not {gap:g}"
        await self.none_twice()

    async def worst_gap(self, since: float) -> float:
        """The longest time without a frame since then, of any of the streams of now."""
        until, alive = time.monotonic(), set(self.ids().values())
        lives = [life for life in await self.gateway.lives(since) if life.stream_id in alive]
        return max(longest_gap(life.frames, since, until) for life in lives)

    async def none_twice(self) -> None:
        """No more streams were ever billed at a time than may be."""
        most = most_at_a_time(await self.gateway.lives())
        assert most <= self.most, f"{most} streams billed at a time, not {self.most}"

    async def life(self, stream_id: str) -> Life:
        """What became of that stream."""
        return next(life for life in await self.gateway.lives() if life.stream_id == stream_id)


@asynccontextmanager
async def bed(
    net: Lab,
    folder: Path,
    *,
    streams: int = 1,
    stream: Mapping[str, Any] = STREAM,
    simulate: Sequence[str] = (),
    config: dict[str, Any] | None = None,
    start: bool = True,
    tls: bool = False,
    **environ: str,
) -> AsyncIterator[Bed]:
    """A bed with `streams` streams called s1, s2 …, each as `stream` says. With `start` all of them are live; else the
    daemon is still to be started. A failed assertion is told with what both programs said.

    `simulate` are arguments of the simulator, `config` is merged over the daemon's configuration, `environ` over its
    environment. `tls`: the API has a certificate of a private authority, which the daemon trusts.
    """
    async with AsyncExitStack() as stack:
        if tls:
            simulate = (*simulate, *authority(folder))
            environ = {"SSL_CERT_FILE": str(folder / "ca.pem")} | environ
        server = await stack.enter_async_context(gateway(net, folder, simulate))
        wanted = {f"s{number}": dict(stream) for number in range(1, streams + 1)}
        settings = daemon_bed.config(folder, server.base_url, **wanted) | (config or {})
        (folder / "key").write_text(KEY + "\n")
        device = Device(net.device, folder, settings, environ)
        stack.push_async_callback(device.stack.aclose)
        try:
            if start:
                await device.start()
                await device.fresh(START_BOUND)
            yield Bed(net, server, device, streams)
        except AssertionError as error:
            error.add_note(f"the daemon said:\n{_tail(device.log)}\nthe simulator said:\n{_tail(server.log)}")
            now = time.monotonic()
            error.add_note("\n".join(["its ledger says:", *(told(life, now) for life in await server.lives())]))
            raise


def _tail(log: Path) -> str:
    """The last that was said, without the LiveKit library's own talk."""
    lines = log.read_text().splitlines() if log.exists() else []
    return "\n".join([line for line in lines if " livekit: " not in line][-TOLD_LINES:])


@asynccontextmanager
async def site(folder: Path, *, versions: Sequence[int] = (4,), **how: Any) -> AsyncIterator[Bed]:
    """A network of its own, and a bed in it: `how` as `bed` takes it."""
    async with lab(folder, versions=versions) as net, bed(net, folder, **how) as running:
        yield running
