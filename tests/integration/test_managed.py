"""A room of the user's own on a real livekit-server: this device publishes there, the gateway joins it and watches."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
import structlog

from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Redactor, Secret
from overshootd.config.transports import LiveKitTransport, RoomLogin
from overshootd.contracts import Picture, PixelFormat, PublishPlan
from overshootd.errors import Refused
from overshootd.publish.livekit import LiveKit
from overshootd.publish.managed import ManagedPublisher, OwnRoom
from overshootd.publish.tokens import PUBLISH_SECONDS, publish_token, watch_token
from overshootd.simulator.livekit_child import LiveKitChild
from tests.integration.daemon_bed import KEY, MODEL, Json, Simulator, config, daemon, eventually, simulator
from tests.integration.gateway_lab import until

PLAN = PublishPlan(fps=10.0, width=320, height=240, max_bitrate=300_000, codec="vp8")
WANTED = {"processing": {"interval_seconds": 0.2}, "inference": {"prompt": "what?", "model": MODEL}}


def transport(server: LiveKitChild) -> LiveKitTransport:
    return LiveKitTransport(url=server.url, room="yard", identity="pi", api_secret=SecretRef(env="S"))


def login(server: LiveKitChild) -> RoomLogin:
    return RoomLogin(api_key=Secret(server.key), api_secret=Secret(server.secret))


def ready_made(server: LiveKitChild) -> RoomLogin:
    made = (Secret(server.key), Secret(server.secret), "yard")
    return RoomLogin(
        token=watch_token(*made, "gateway", time.time()), publish_token=publish_token(*made, "pi", time.time())
    )


def publisher_to(room: LiveKitTransport, login: RoomLogin, livekit: LiveKit, late: float = 0.0) -> ManagedPublisher:
    """`late`: by how many seconds this device's clock is behind."""
    own = OwnRoom(room, login, lambda: None, Redactor(), lambda: time.time() - late)
    return ManagedPublisher(livekit.publisher(PLAN, structlog.get_logger()), own)


@pytest.fixture
async def livekit() -> AsyncIterator[LiveKit]:
    sdk = LiveKit()
    yield sdk
    await sdk.close(30.0)


async def give() -> Picture:
    pixels = PLAN.width * PLAN.height
    data = bytes([150]) * pixels + bytes([128]) * (pixels // 2)
    return Picture(data, PLAN.width, PLAN.height, PixelFormat.I420, time.monotonic_ns())


@asynccontextmanager
async def published(publisher: ManagedPublisher) -> AsyncIterator[None]:
    """In the room, showing a picture again and again."""
    try:
        await publisher.connect(None, give)
        pumping = asyncio.create_task(pump(publisher))
        yield
        pumping.cancel()
        await asyncio.wait([pumping])
    finally:
        await publisher.close()


async def pump(publisher: ManagedPublisher) -> None:
    while True:
        publisher.push(await give())
        await asyncio.sleep(1 / PLAN.fps)


async def created(gateway: Simulator, publisher: ManagedPublisher) -> None:
    """A stream that takes its video from this publisher's room."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=gateway.base_url, headers=headers) as http:
        response = await http.post("/streams", json={"source": await publisher.source(), **WANTED})
    assert response.status_code == 201, response.text
    assert response.json().get("livekit") is None


async def frames(gateway: Simulator) -> int:
    """How many arrived at the one stream so far."""
    (stream,) = await gateway.streams()
    assert (stream["source"], stream["end_reason"]) == ("livekit", None)
    return int(stream["frames_arrived"])


async def at_least(gateway: Simulator, count: int) -> bool:
    return await frames(gateway) >= count


async def arrived(gateway: Simulator, count: int) -> None:
    """Wait until so many frames have."""
    await until(partial(at_least, gateway, count))


@pytest.mark.parametrize("made", [login, ready_made], ids=["made here", "made by somebody"])
async def test_the_gateway_sees_what_is_published_in_a_room_that_the_api_never_knew(
    made: Callable[[LiveKitChild], RoomLogin], child: LiveKitChild, livekit: LiveKit, media_net: str, tmp_path: Path
) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        publisher = publisher_to(transport(child), made(child), livekit)
        await created(gateway, publisher)
        async with published(publisher):
            await arrived(gateway, 10)


async def test_a_new_room_of_the_same_stream_goes_on_where_the_gateway_watches(
    child: LiveKitChild, livekit: LiveKit, media_net: str, tmp_path: Path
) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        first = publisher_to(transport(child), login(child), livekit)
        await created(gateway, first)
        async with published(first):
            await arrived(gateway, 5)
        seen = await frames(gateway)
        async with published(publisher_to(transport(child), login(child), livekit)):
            await arrived(gateway, seen + 5)


async def test_hours_after_a_power_cut_a_clock_that_stood_still_is_no_matter(
    child: LiveKitChild, livekit: LiveKit
) -> None:
    async with published(publisher_to(transport(child), login(child), livekit, late=PUBLISH_SECONDS - 600)):
        pass


async def test_a_join_that_the_server_refuses_is_told_as_such(child: LiveKitChild, livekit: LiveKit) -> None:
    another = replace(login(child), api_secret=Secret(child.secret[::-1]))
    for logins, late, why in ((login(child), PUBLISH_SECONDS + 600, "is expired"), (another, 0.0, "is invalid")):
        publisher = publisher_to(transport(child), logins, livekit, late)
        with pytest.raises(Refused, match=rf"does not let us in \(token .* {why}\): api_key and api_secret must be"):
            await publisher.connect(None, give)
        await publisher.close()


# -- the whole daemon --------------------------------------------------------------------------------------------------


def configured(folder: Path, gateway: Simulator, server: LiveKitChild) -> Json:
    (folder / "secret").write_text(server.secret)
    room = {"url": server.url, "api_key": server.key, "api_secret": {"file": str(folder / "secret")}}
    return config(folder, gateway.base_url, one={"transport": {"type": "livekit", **room}})


async def test_results_come_of_the_user_s_room_and_go_on_after_the_daemon_was_killed(
    child: LiveKitChild, media_net: str, tmp_path: Path
) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        written = configured(tmp_path, gateway, child)
        async with daemon(tmp_path, written) as running:
            await running.more_results(4)
            await running.end(signal.SIGKILL)
        seen = await frames(gateway)
        async with daemon(tmp_path, written) as running:
            await arrived(gateway, seen + 5)
            assert await running.end() == 0
            assert "eyJ" not in running.said()
        (only,) = await gateway.streams()
        assert (only["source"], only["end_reason"]) == ("livekit", "client_requested")


async def test_a_room_server_that_is_away_when_a_stream_is_made_is_waited_for(
    child: LiveKitChild, media_net: str, tmp_path: Path
) -> None:
    await child.kill()
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, configured(tmp_path, gateway, child)) as running,
    ):
        await eventually(lambda: "does not get into the room" in running.said(), "it says so")
        await child.start()
        await running.more_results(1, bound=60.0)
