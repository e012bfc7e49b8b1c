"""The legacy publisher through a relay alone: where UDP is blocked, TURN over TCP or TLS carries all of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from overshootd.contracts import IceServer
from overshootd.errors import Transient
from overshootd.publish import health, webrtc
from overshootd.publish.ice import IceServers
from overshootd.publish.webrtc import WebRtc
from overshootd.simulator.webrtc import OfferAnswerer
from tests.integration import namespace
from tests.integration.authority import Authority
from tests.integration.legacy_bed import PICTURES, Far, connected, near, publishing
from tests.integration.media_bed import eventually
from tests.integration.test_offer_answer import nft, silence
from tests.integration.test_publisher_encoded import Film
from tests.integration.turn_server import CREDENTIAL, RELAYED, USER, Relay, relay


@asynccontextmanager
async def far_side(address: str) -> AsyncIterator[Far]:
    answerer = OfferAnswerer(address)
    try:
        yield Far(answerer)
    finally:
        await answerer.close_all()


@contextmanager
def udp_blocked(*but: int) -> Iterator[None]:
    """Save these ports, and what the relay exchanges with the simulator, which no firewall of a camera would see."""
    ports = ", ".join(["-".join(map(str, RELAYED)), *map(str, but)])
    nft("add table inet blocked; add chain inet blocked in { type filter hook input priority 0; }")
    nft(f"add rule inet blocked in udp sport != {{ {ports} }} udp dport != {{ {ports} }} drop")
    try:
        yield
    finally:
        nft("delete table inet blocked")


def told(server: Relay, transport: str) -> IceServers:
    return IceServers([IceServer(server.url(transport), USER, CREDENTIAL)])


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_frames_arrive_where_udp_is_blocked(
    transport: str, media_net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    certificate = authority.sign(tmp_path, namespace.ADDRESSES[1])
    library = WebRtc()
    async with relay(namespace.ADDRESSES[1], tmp_path, certificate) as server, far_side(media_net) as far:
        with udp_blocked():
            publisher = near(library, servers=told(server, transport))
            async with publishing(publisher, far, Film(PICTURES)):
                await eventually(lambda: far.eye.count >= 10, "10 frames")
                assert library.peers() == {namespace.ADDRESSES[1]}
    assert library.peers() == frozenset()


async def test_a_relay_with_a_certificate_that_nobody_trusts_is_no_relay(media_net: str, tmp_path: Path) -> None:
    certificate = Authority.make(tmp_path).sign(tmp_path, namespace.ADDRESSES[1])
    async with relay(namespace.ADDRESSES[1], tmp_path, certificate) as server:
        publisher = near(WebRtc(), servers=told(server, "tls"))
        try:
            assert " typ relay" not in (await publisher.source())["sdp"]
        finally:
            await publisher.close()


async def test_a_relay_that_falls_silent_is_noticed_and_does_not_hold_up_the_end(
    media_net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked to forget us, again and again for a minute."""
    monkeypatch.setattr(health, "LIMIT", 2.0)
    monkeypatch.setattr(webrtc, "LEAVE_SECONDS", 0.2)
    library = WebRtc()
    async with relay(namespace.ADDRESSES[1], tmp_path) as server, far_side(media_net) as far:
        with udp_blocked(server.port):
            publisher = near(library, servers=told(server, "udp"))
            async with connected(publisher, far, Film(PICTURES)):
                began = time.monotonic()
                with silence():
                    with pytest.raises(Transient, match="no answer on the media path"):
                        await publisher.watch()
                    await publisher.close()
                assert time.monotonic() - began < 10.0
            await library.close(10.0)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
