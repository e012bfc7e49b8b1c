"""Legacy streams: a complete offer, a complete answer, and media over the connection that they make."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction

import numpy as np
import pytest
from aioice import ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from av import VideoFrame

from overshootd.simulator.webrtc import OfferAnswerer, OfferError
from tests.integration import namespace
from tests.integration.media_bed import STREAM, RecordingEye, eventually


class Camera(VideoStreamTrack):
    """A grey picture at 30 fps."""

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame.from_ndarray(np.full((360, 320), 128, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


@pytest.fixture
async def answerer(media_net: str) -> AsyncIterator[OfferAnswerer]:
    it = OfferAnswerer(media_net)
    yield it
    await it.close_all()


@contextlib.asynccontextmanager
async def client(configuration: RTCConfiguration | None = None) -> AsyncIterator[tuple[RTCPeerConnection, str]]:
    """A peer connection with a camera, and its complete offer."""
    connection = RTCPeerConnection(configuration or RTCConfiguration(iceServers=[]))
    try:
        connection.addTrack(Camera())
        await connection.setLocalDescription(await connection.createOffer())
        yield connection, connection.localDescription.sdp
    finally:
        await connection.close()


async def accept(connection: RTCPeerConnection, answer: str) -> None:
    await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))


def without_candidates(offer: str) -> str:
    lines = offer.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates")))


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No datagram arrives any more in the namespace of the tests, and nobody is told."""
    nft("add table inet silence; add chain inet silence in { type filter hook input priority 0; }")
    nft("add rule inet silence in meta l4proto udp drop")
    try:
        yield
    finally:
        nft("delete table inet silence")


def nft(rules: str) -> None:
    subprocess.run(["nft", rules], check=True, capture_output=True, timeout=10)


async def test_media_flows_after_one_offer_and_one_answer(answerer: OfferAnswerer) -> None:
    eye = RecordingEye()
    async with client() as (connection, offer):
        await accept(connection, await answerer.answer(STREAM, offer, eye))
        await eventually(lambda: eye.count > 5, "5 frames")
        assert eye.frames[-1].luma().shape == (240, 320)
        assert eye.violations == []


async def test_the_answer_offers_the_advertised_address_alone(answerer: OfferAnswerer) -> None:
    """The interface holds two addresses."""
    async with client() as (_, offer):
        answer = await answerer.answer(STREAM, offer, RecordingEye())
    offered = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
    assert offered == {namespace.ADDRESSES[0]}


async def test_every_address_is_offered_unless_told() -> None:
    answerer = OfferAnswerer(None)
    async with client() as (_, offer):
        answer = await answerer.answer(STREAM, offer, RecordingEye())
    await answerer.close_all()
    assert set(namespace.ADDRESSES) <= {line.split()[4] for line in answer.splitlines() if "a=candidate:" in line}


async def test_a_client_that_closes_is_reported(answerer: OfferAnswerer) -> None:
    eye = RecordingEye()
    async with client() as (connection, offer):
        await accept(connection, await answerer.answer(STREAM, offer, eye))
        await eventually(lambda: eye.count > 5, "5 frames")
    await eventually(lambda: eye.left == ["peer connection closed"], "the publisher left")


async def test_closing_ends_the_connection_and_reports_nobody(answerer: OfferAnswerer) -> None:
    eye = RecordingEye()
    async with client() as (connection, offer):
        await accept(connection, await answerer.answer(STREAM, offer, eye))
        await eventually(lambda: eye.count > 5, "5 frames")
        await answerer.close(STREAM)
        await eventually(lambda: connection.connectionState == "closed", "the client's end")
    assert eye.left == []


async def test_a_client_that_falls_silent_is_reported_when_its_consent_has_run_out(
    answerer: OfferAnswerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A black hole: nothing closes, nothing is refused. aioice asks every 5 s and gives up after six times without an
    answer; here it asks more often."""
    monkeypatch.setattr(ice, "CONSENT_INTERVAL", 0.1)
    eye = RecordingEye()
    async with client() as (connection, offer):
        await accept(connection, await answerer.answer(STREAM, offer, eye))
        await eventually(lambda: eye.count > 5, "5 frames")
        with silence():
            await eventually(lambda: eye.left == ["peer connection closed"], "the publisher left")


async def test_a_client_that_never_comes_is_reported(media_net: str) -> None:
    """Without candidates in its offer there is nothing that could fail."""
    eye = RecordingEye()
    answerer = OfferAnswerer(media_net, connect_within=0.2)
    async with client() as (_, offer):
        await answerer.answer(STREAM, without_candidates(offer), eye)
        await eventually(lambda: eye.left == ["not connected within 0.2 s"], "giving up")
    await answerer.close_all()


async def test_a_client_is_found_that_offers_before_it_has_candidates(answerer: OfferAnswerer) -> None:
    eye = RecordingEye()
    async with client() as (connection, offer):
        await accept(connection, await answerer.answer(STREAM, without_candidates(offer), eye))
        await eventually(lambda: eye.count > 5, "5 frames")


@pytest.mark.parametrize("offer", ["", "no SDP", "v=0\r\nm=video"])
async def test_what_is_no_offer_is_refused(answerer: OfferAnswerer, offer: str) -> None:
    with pytest.raises(OfferError, match="the SDP offer cannot be answered"):
        await answerer.answer(STREAM, offer, RecordingEye())


async def test_an_offer_that_lacks_any_line_is_answered_or_refused(answerer: OfferAnswerer) -> None:
    async with client() as (_, offer):
        lines = offer.splitlines(keepends=True)
    for missing in range(len(lines)):
        with contextlib.suppress(OfferError):
            await answerer.answer(STREAM, "".join(lines[:missing] + lines[missing + 1 :]), RecordingEye())
        await answerer.close(STREAM)


async def test_an_address_that_is_not_ours_is_named(media_net: str) -> None:
    with pytest.raises(RuntimeError, match="for media: it is no address of this machine"):
        await OfferAnswerer("10.99.0.1").answer(STREAM, "", RecordingEye())
