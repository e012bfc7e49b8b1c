"""What befalls a legacy connection, how soon it is noticed, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from aiortc import RTCRtpReceiver
from structlog.testing import capture_logs

from overshootd.contracts import Answer, IceServer, PublishPlan, PublishTarget
from overshootd.errors import Congested, Transient
from overshootd.publish import feedback, health, webrtc
from overshootd.publish.ice import IceServers
from overshootd.publish.webrtc import WebRtc
from overshootd.simulator.webrtc import OfferAnswerer
from tests.integration.legacy_bed import PICTURES, UNITS, Far, connected, grey, near, publishing
from tests.integration.media_bed import eventually
from tests.integration.test_offer_answer import nft, silence
from tests.integration.test_publisher_encoded import Film, soon

NOBODY = IceServer("turn:10.77.0.99:3478", "gate", "secret")
"""In the namespace's network, and not there."""

REFUSING = IceServer("turn:10.77.0.1:9?transport=tcp", "gate", "secret")


@pytest.fixture
async def far(media_net: str) -> AsyncIterator[Far]:
    answerer = OfferAnswerer(media_net)
    yield Far(answerer)
    await answerer.close_all()


@pytest.fixture
async def library() -> AsyncIterator[WebRtc]:
    made = WebRtc()
    yield made
    await made.close(30.0)


# -- noticed


async def test_a_black_hole_is_noticed_within_the_limit(
    library: WebRtc, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library itself needs 30 s."""
    monkeypatch.setattr(health, "LIMIT", 2.0)
    publisher = near(library)
    async with connected(publisher, far, Film(PICTURES)):
        with silence():
            began = time.monotonic()
            with pytest.raises(Transient, match="no answer on the media path for 2 s"):
                await publisher.watch()
            assert time.monotonic() - began < 10.0
        assert publisher.connected, "the library has not noticed yet"


async def test_an_end_by_the_other_side_is_noticed_at_once(library: WebRtc, far: Far) -> None:
    publisher = near(library)
    async with connected(publisher, far, Film(PICTURES)):
        watching = asyncio.create_task(publisher.watch())
        await far.close()
        with pytest.raises(Transient, match="the connection was lost"):
            await asyncio.wait_for(watching, 4.0)
        assert not publisher.connected


async def test_a_receiver_that_reports_nothing_is_alive_while_it_answers_checks(
    library: WebRtc, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mute(receiver: RTCRtpReceiver, packet: object) -> None: ...

    monkeypatch.setattr(RTCRtpReceiver, "_send_rtcp", mute)
    monkeypatch.setattr(health, "LIMIT", 2.0)
    publisher = near(library)
    async with connected(publisher, far, Film(PICTURES)):
        before = (await publisher.stats()).bytes_sent
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(publisher.watch(), 3.0)
        assert (await publisher.stats()).bytes_sent > before, "reports of ours"


async def test_frames_that_are_lost_on_a_narrow_path_are_told_where_pictures_can_be_had(
    library: WebRtc, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "NARROW_SECONDS", 1.5)
    plan = replace(UNITS, replaceable=True)

    async def starve() -> None:
        async with publishing(near(library, plan), far, Film(plan)):
            with losing_large_packets():
                await asyncio.wait_for(asyncio.Event().wait(), 15.0)

    with pytest.RaisesGroup(Congested):
        await starve()


@contextmanager
def losing_large_packets() -> Iterator[None]:
    """What carries frames does not arrive; reports and checks do."""
    nft("add table inet narrow; add chain inet narrow in { type filter hook input priority 0; }")
    nft("add rule inet narrow in meta l4proto udp meta length > 300 drop")
    try:
        yield
    finally:
        nft("delete table inet narrow")


# -- refused


async def test_a_connection_that_cannot_be_made_is_given_up_and_other_servers_have_their_turn(
    library: WebRtc, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc, "CONNECT_SECONDS", 0.5)
    servers = IceServers([REFUSING, replace(REFUSING, url="turn:10.77.0.2:9?transport=tcp")])
    monkeypatch.setattr(IceServers, "failed", lambda _: failures.append(1))
    failures: list[int] = []
    publisher = near(library, servers=servers)
    try:
        answer = await far.answer(publisher)
        failures.clear()  # the relay's
        with silence(), pytest.raises(Transient, match=r"neither directly nor by a relay: nothing within 0\.5 s"):
            await publisher.connect(answer, soon(lambda: grey(60)))
    finally:
        await publisher.close()
    assert failures == [1]


@pytest.mark.parametrize("sdp", ["", "no SDP", "v=0\r\nm=video"])
async def test_an_answer_that_is_none_is_told(sdp: str, library: WebRtc, far: Far) -> None:
    publisher = near(library)
    try:
        await publisher.source()
        with pytest.raises(Transient, match="the answer to the offer is of no use"):
            await publisher.connect(Answer(sdp), soon(lambda: grey(60)))
    finally:
        await publisher.close()


async def test_an_answer_without_our_codec_is_told(library: WebRtc, far: Far) -> None:
    publisher, other = near(library), near(library, UNITS)
    try:
        await publisher.source()
        answer = await far.answer(other)
        with pytest.raises(Transient, match=r"the answer to the offer is of no use: .*parameters"):
            await publisher.connect(answer, soon(lambda: grey(60)))
    finally:
        await publisher.close()
        await other.close()


async def test_a_room_is_no_answer(library: WebRtc) -> None:
    publisher = near(library)
    try:
        with pytest.raises(Transient, match="answered no offer"):
            await publisher.connect(PublishTarget("wss://room", ""), soon(lambda: grey(60)))
    finally:
        await publisher.close()


async def test_nothing_begins_anew_in_a_legacy_connection(library: WebRtc, far: Far) -> None:
    publisher = near(library)
    async with connected(publisher, far, Film(PICTURES)):
        with pytest.raises(Transient, match="takes a new stream"):
            await publisher.rejoin()


async def test_another_size_of_the_cameras_video_ends_the_attempt(library: WebRtc, far: Far) -> None:
    film, publisher = Film(UNITS), near(library, UNITS)
    async with connected(publisher, far, film):
        with pytest.raises(Transient, match="from 640x360 to 320x360"):
            publisher.push(replace(film.unit(), width=320))


# -- ICE servers


async def test_a_relay_that_refuses_costs_no_time_and_is_told_and_another_has_its_turn(
    library: WebRtc, media_net: str
) -> None:
    other = IceServer("turn:10.77.0.2:9?transport=tcp", "gate", "secret")
    servers = IceServers([REFUSING, other])
    publisher = near(library, servers=servers)
    with capture_logs() as logged:
        try:
            began = time.monotonic()
            offer = (await publisher.source())["sdp"]
            assert time.monotonic() - began < 4.0
        finally:
            await publisher.close()
    assert "typ host" in offer
    assert any("gave no relay" in entry["event"] for entry in logged)
    assert servers.next() == [other]


async def test_what_an_answer_names_is_for_the_next_time(library: WebRtc, far: Far) -> None:
    servers = IceServers([])
    publisher = near(library, servers=servers)
    odd = IceServer("turn:[2001:db8::1]:3478", "gate", "secret")
    try:
        answer = replace(await far.answer(publisher), turn_servers=(odd, NOBODY))
        with capture_logs() as logged:
            await publisher.connect(answer, soon(lambda: grey(60)))
    finally:
        await publisher.close()
    assert servers.next() == [NOBODY]
    (warning,) = [entry["event"] for entry in logged if entry["log_level"] == "warning"]
    assert f"of no use here: {odd.url};" in warning


# -- left behind


@pytest.mark.parametrize("plan", [PICTURES, UNITS], ids=["pictures", "access units"])
async def test_a_connection_leaves_no_task_thread_or_socket_behind(
    plan: PublishPlan, library: WebRtc, far: Far
) -> None:
    before = left()
    async with publishing(near(library, plan), far, Film(plan)):
        await eventually(lambda: far.eye.count >= 3, "3 frames")
        await far.close()
    await eventually(lambda: left() == before, "an end of all that it started", bound=3.0)


async def test_a_relay_that_does_not_answer_delays_offers_and_ends_for_seconds_only_and_leaves_nothing(
    library: WebRtc, media_net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc, "LEAVE_SECONDS", 0.2)
    before = left()
    patient, hasty = (near(library, servers=IceServers([NOBODY])) for _ in range(2))
    began = time.monotonic()
    offering = [asyncio.create_task(publisher.source()) for publisher in (patient, hasty)]
    await eventually(lambda: left()[2] >= before[2] + 4, "two addresses for each")
    offering[1].cancel()
    await hasty.close()
    assert time.monotonic() - began < 4.0
    assert "typ host" in (await offering[0])["sdp"]
    assert time.monotonic() - began < webrtc.GATHER_SECONDS
    await patient.close()
    await library.close(10.0)
    await eventually(lambda: left() == before, "an end of all that they started", bound=3.0)


def left() -> tuple[int, int, int]:
    """Tasks, threads and descriptors of this process. The threads of the loop's executor are its own."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")]
    return len(asyncio.all_tasks()), len(threads), len(os.listdir("/proc/self/fd"))
