"""One session's video, room after room: what is done about which trouble, in which order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import CapturingLogger

from overshootd import presence
from overshootd.backoff import Uniform
from overshootd.contracts import CaptureFormat, Due, Media, Picture, PixelFormat, PublishPlan
from overshootd.errors import CameraLost, OvershootdError, StreamGone, Transient
from overshootd.ladder import Ladder
from overshootd.presence import Presence
from overshootd.status import Rung, StreamState
from overshootd.stream import reason
from tests.unit.attempt_parts import OneSession, Paths, Publisher, Publishers

PLAN = PublishPlan(2.0, 640, 360, 100_000, "vp8")
DEAD = Transient("no answer on the media path for 5 s")
REFUSED = Transient("joining the room failed: connection refused")
PICTURE = Picture(b"", 640, 360, PixelFormat.I420, 0)


class Camera:
    """One picture, then none."""

    def __init__(self) -> None:
        self.pictures = [PICTURE]

    async def ready(self) -> CaptureFormat:
        return CaptureFormat(2.0, 640, 360)

    def start(self, due: Due, width: int, height: int) -> None: ...

    def start_encoded(self, due: Due | None = None) -> None: ...

    def stop(self) -> None: ...

    async def next(self) -> Media:
        if not self.pictures:
            await asyncio.Event().wait()
        return self.pictures.pop()

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None: ...

    def close(self) -> None: ...


@dataclass
class Bed:
    """A session whose publishers have these troubles."""

    publishers: Publishers
    session: OneSession = field(default_factory=OneSession)
    paths: Paths = field(default_factory=Paths)
    state: StreamState = field(default_factory=StreamState)
    shown: list[Rung] = field(default_factory=list)

    def presence(self, clock: Callable[[], float] = time.monotonic) -> Presence:
        return Presence(
            session=self.session,
            publishers=self.publishers,
            publisher=self.publishers(PLAN),
            plan=PLAN,
            camera=Camera(),
            begin=lambda: None,
            paths=self.paths,
            period=2.0,
            state=self.state,
            changed=lambda: self.shown.append(self.state.rung),
            trouble=lambda why: None,
            log=CapturingLogger(),
            clock=clock,
        )

    async def until(self, condition: Callable[[], object]) -> None:
        """Run until the condition holds."""
        running = asyncio.create_task(self.presence().run())
        try:
            async with asyncio.timeout(10):
                while not condition():
                    assert not running.done(), running.exception()
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def end(self) -> OvershootdError:
        """What ends the session."""
        with pytest.raises((OvershootdError, BaseExceptionGroup)) as raised:
            await asyncio.wait_for(self.presence().run(), 5)
        ended = reason(raised.value) if isinstance(raised.value, BaseExceptionGroup) else raised.value
        assert isinstance(ended, OvershootdError)
        return ended


async def test_a_dead_path_is_met_by_a_keepalive_and_a_rejoin_in_the_same_room() -> None:
    bed = Bed(Publishers([Publisher(trouble=[DEAD])]))
    await bed.until(lambda: "watch" in bed.publishers.made[0].did)
    assert bed.publishers.made[0].did == ["connect with token 0", "rejoin", "watch"]
    assert bed.session.asked == ["doubt", "verify"]
    assert len(bed.publishers.made) == 1
    assert bed.state.switch is not None and bed.state.switch.rung is Rung.REJOIN


async def test_a_hint_rejoins_without_waiting_for_the_api() -> None:
    bed = Bed(Publishers())
    bed.session.refuses = [StreamGone("must not be asked by us: the session learns by itself")]
    await bed.until(lambda: bed.publishers.made and "watch" in bed.publishers.made[0].did and _once(bed))
    assert "rejoin" in bed.publishers.made[0].did
    assert bed.session.asked == []


def _once(bed: Bed) -> bool:
    """Change the path the first time; whether what that brings about was done."""
    if not bed.paths.changes:
        bed.paths.change()
    return bed.state.switch is not None


async def test_what_cannot_be_rejoined_is_left_before_a_new_room_is_joined_with_the_newest_token() -> None:
    bed = Bed(Publishers([Publisher(trouble=[DEAD], rejoins=[Transient("not connected")])]))
    await bed.until(lambda: len(bed.publishers.made) > 1 and "watch" in bed.publishers.made[1].did)
    old, new = bed.publishers.made
    assert old.did == ["connect with token 0", "rejoin", "close"]
    assert new.did[0] == "connect with token 2", "two keepalives were answered since"


async def test_a_room_that_is_gone_is_not_rejoined() -> None:
    bed = Bed(Publishers([Publisher(trouble=[DEAD], connected=False)]))
    await bed.until(lambda: len(bed.publishers.made) > 1 and "watch" in bed.publishers.made[1].did)
    assert bed.publishers.made[0].did == ["connect with token 0", "close"]


async def test_joins_that_fail_are_tried_again_with_a_fresh_token_each() -> None:
    bed = Bed(Publishers([Publisher(joins=[REFUSED]), Publisher(joins=[REFUSED])]))
    await bed.until(lambda: len(bed.publishers.made) > 2 and "watch" in bed.publishers.made[2].did)
    assert [publisher.did[0] for publisher in bed.publishers.made] == [f"connect with token {n}" for n in range(3)]


async def test_a_path_that_changes_while_a_room_is_begun_costs_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(presence, "LATE_SECONDS", 0.02)
    bed = Bed(Publishers([Publisher(hangs=True)]))

    def watched() -> bool:
        if bed.publishers.made[0].did and not bed.paths.changes:
            bed.paths.change()
        return len(bed.publishers.made) > 1 and "watch" in bed.publishers.made[1].did

    await bed.until(watched)
    assert bed.publishers.made[0].did == ["connect with token 0", "close"]


async def test_rooms_that_do_not_hold_are_joined_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []

    def pause(ladder: Ladder, *, joined: bool, uniform: Uniform) -> float:
        waits.append(ladder.failed)
        return 0.0

    monkeypatch.setattr(presence, "pause", pause)
    gone = [Publisher(trouble=[DEAD], connected=False) for _ in range(5)]
    bed = Bed(Publishers(gone))
    await bed.until(lambda: len(bed.publishers.made) > 5 and "watch" in bed.publishers.made[5].did)
    assert waits == [1, 2, 3, 4, 5]


async def test_a_stream_that_the_api_knows_no_more_ends_the_session() -> None:
    bed = Bed(Publishers([Publisher(trouble=[DEAD])]))
    bed.session.refuses = [StreamGone("404")]
    assert str(await bed.end()) == "404"


async def test_another_transport_is_another_stream() -> None:
    bed = Bed(Publishers([Publisher(joins=[REFUSED])], falls_back=True))
    assert isinstance(await bed.end(), StreamGone)


async def test_a_legacy_stream_ends_with_its_connection() -> None:
    bed = Bed(Publishers([Publisher(trouble=[DEAD])], rejoins=False))
    assert isinstance(await bed.end(), StreamGone)
    assert bed.publishers.made[0].did[-1] == "close"
    assert bed.session.asked == []


async def test_a_camera_that_is_lost_is_no_trouble_of_the_room() -> None:
    bed = Bed(Publishers([Publisher(trouble=[CameraLost("unplugged")])]))
    assert isinstance(await bed.end(), CameraLost)


async def test_results_that_stay_away_are_asked_for_then_the_room_is_begun_anew_then_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "LOOK_SECONDS", 0.001)
    bed, now = Bed(Publishers()), [0.0]

    def clock() -> float:
        now[0] += 1.0  # whoever looks finds that time has passed
        return now[0]

    with pytest.raises(StreamGone, match="no result for"):
        await asyncio.wait_for(bed.presence(clock).run(), 10)
    tried = [rung for rung in bed.shown if rung is not Rung.STEADY]
    assert tried == [Rung.KEEPALIVE, Rung.REJOIN, Rung.NEW_ROOM, Rung.NEW_STREAM]
    assert [publisher.did.count("rejoin") for publisher in bed.publishers.made] == [1, 0]


async def test_the_rung_is_shown_while_it_is_tried() -> None:
    bed = Bed(Publishers([Publisher(trouble=[DEAD], rejoins=[Transient("not connected")])]))
    await bed.until(lambda: len(bed.publishers.made) > 1 and "watch" in bed.publishers.made[1].did)
    assert bed.shown == [Rung.REJOIN, Rung.NEW_ROOM, Rung.STEADY]


async def test_what_was_sent_is_added_up_over_rooms_and_over_rejoins() -> None:
    first = Publisher(trouble=[DEAD], rejoins=[Transient("not connected")], bytes_sent=7000)
    bed = Bed(Publishers([first, Publisher(bytes_sent=500)]))
    presence = bed.presence()
    running = asyncio.create_task(presence.run())
    async with asyncio.timeout(10):
        while len(bed.publishers.made) < 2 or "watch" not in bed.publishers.made[1].did:
            await presence.count()
            await asyncio.sleep(0)
    await presence.count()
    assert presence.sent == 7500
    bed.publishers.made[1].bytes_sent = 200  # a rejoin begins to count anew
    await presence.count()
    assert presence.sent == 7700
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bed.publishers.made[1].bytes_sent = 300
    await presence.close()
    await presence.close()
    assert presence.sent == 7800
