"""One Room an identity: a join that outlived its publisher is waited for before another one in its name."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from livekit import rtc

from overshootd.contracts import PublishPlan, PublishTarget
from overshootd.errors import Transient
from overshootd.publish import health, livekit
from overshootd.publish.livekit import LiveKit, participant
from overshootd.simulator.media import RoomAccess
from overshootd.simulator.rooms import LiveKitRooms
from tests.integration.daemon_bed import eventually
from tests.integration.media_bed import STREAM

LOG = structlog.get_logger()
PLAN = PublishPlan(2.0, 320, 180, 100_000, "vp8")
NOBODY = PublishTarget("ws://127.0.0.1:9", "no token")


def target(access: RoomAccess) -> PublishTarget:
    return PublishTarget(access.url, access.token)


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_join_in_the_same_name_waits_and_another_does_not() -> None:
    sdk = LiveKit()
    under_way = asyncio.create_task(never())
    sdk.adopt(rtc.Room(), under_way, participant(NOBODY), LOG)
    same, other = sdk.publisher(PLAN, LOG), sdk.publisher(PLAN, LOG)
    waiting = asyncio.create_task(same.connect(NOBODY, asyncio.Event().wait))  # type: ignore[arg-type]  # never asked
    with pytest.raises(Transient, match="joining the room failed"):
        await other.connect(PublishTarget(NOBODY.url, "another token"), asyncio.Event().wait)  # type: ignore[arg-type]
    assert not waiting.done()
    under_way.cancel()
    with pytest.raises(Transient, match="joining the room failed"):
        await waiting
    for publisher in (same, other):
        await publisher.close()
    await sdk.close(5.0)
    await eventually(lambda: sdk.joins_under_way == 0, "the end of the join")


async def test_a_reconnection_of_the_librarys_own_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livekit, "RECONNECTING_SECONDS", 0.2)
    publisher = LiveKit().publisher(PLAN, LOG)
    publisher._on_state(rtc.ConnectionState.CONN_RECONNECTING)
    with pytest.raises(Transient, match=r"has been reconnecting for 0\.2 s"):
        await asyncio.wait_for(publisher.watch(), 10)
    await publisher.close()


async def test_a_library_that_says_connected_where_nothing_is_answered_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "LIMIT", 0.2)
    publisher = LiveKit().publisher(PLAN, LOG)
    publisher._on_state(rtc.ConnectionState.CONN_CONNECTED)
    with pytest.raises(Transient, match="no answer on the media path"):
        await asyncio.wait_for(publisher.watch(), 10)
    await publisher.close()


def test_tokens_of_one_participant_are_told_from_others(media_net: str) -> None:
    rooms = LiveKitRooms("ws://rooms", "devkey", "a secret of at least thirty-two characters")
    one, again = (participant(target(rooms.publish_access(STREAM, ttl))) for ttl in (60.0, 90.0))
    other = participant(target(rooms.publish_access("stream-2", 60.0)))
    assert one == again != other
