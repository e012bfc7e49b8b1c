"""Both room servers take the official SDK's media and tell the same of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import aiohttp
import pytest
from livekit import rtc
from yarl import URL

from overshootd.simulator import tokens
from overshootd.simulator.livekit_child import LiveKitChild
from overshootd.simulator.media import MediaAdapter, RoomAccess
from overshootd.simulator.rooms import LiveKitRooms, watch_foreign
from tests.integration.media_bed import (
    STREAM,
    Bed,
    RecordingEye,
    SdkPublisher,
    embedded,
    eventually,
    picture,
    publishing,
    real,
)

TTL = 60.0


@pytest.mark.parametrize("codec", [rtc.VideoCodec.VP8, rtc.VideoCodec.H264], ids=["vp8", "h264"])
async def test_the_picture_arrives_as_it_was_sent(
    rooms: MediaAdapter, eye: RecordingEye, codec: rtc.VideoCodec.ValueType
) -> None:
    """Size and luma are those of the source; a line of 328 is padded by decoders, so a stride taken wrong shows."""
    publisher = SdkPublisher(size=(328, 248), codec=codec)
    async with publishing(rooms.publish_access(STREAM, TTL), publisher):
        await eventually(lambda: eye.count > 20, "20 frames")
        frame = eye.frames[-1]
        luma = frame.luma()
        assert (frame.width, frame.height) == (328, 248)
        assert luma.shape == (248, 328)
        assert luma[:, :25].max() < 60
        assert luma[:, -25:].min() > 190
        assert shows(eye, 120)


async def test_a_well_behaved_publisher_is_steady_and_breaks_no_rule(media_net: str) -> None:
    """20 s: past the pings, and past the time in which a publisher without signalling is kept."""
    eye, publisher = RecordingEye(), SdkPublisher(fps=30.0)
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, eye)
        async with publishing(rooms.publish_access(STREAM, TTL), publisher):
            await eventually(lambda: publisher.sent >= 630, "21 s of frames", bound=60)
            assert eye.count > 0.8 * publisher.sent
        assert eye.violations == []
        assert publisher.events in ([], ["disconnected"]), "the library tells of the end when it comes to it"


async def test_a_frame_is_seen_before_the_next_one_is_sent(rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)) as publisher:
        await eventually(lambda: eye.count > 10, "10 frames")
        await publisher.pause()
        for level in (60, 200, 90):
            await asyncio.sleep(1 / publisher.fps)  # a camera's pace: the SDK drops what comes faster
            publisher.show(level)
            await eventually(functools.partial(shows, eye, level), f"the one frame of brightness {level}")


async def test_two_peer_connections_are_served_too(rooms: MediaAdapter, eye: RecordingEye) -> None:
    """The older way of the SDK: /rtc with a parameter each, and no offer in the join."""
    publisher = SdkPublisher(single_peer_connection=False)
    async with publishing(rooms.publish_access(STREAM, TTL), publisher):
        await eventually(lambda: eye.count > 5, "5 frames")
    assert eye.violations == []


@pytest.mark.parametrize(
    ("publisher", "violation"),
    [
        (lambda: SdkPublisher(source=rtc.TrackSource.SOURCE_SCREENSHARE), "source"),
        (lambda: SdkPublisher(size=(1280, 720), simulcast=True), "simulcast"),
    ],
    ids=["screen share", "simulcast"],
)
async def test_a_publication_of_another_kind_is_a_violation(
    bed: Bed, eye: RecordingEye, publisher: Callable[[], SdkPublisher], violation: str
) -> None:
    async with publishing(bed.loose, publisher()):
        await eventually(lambda: any(what.startswith(violation) for what in eye.violations), f"a {violation} violation")


async def test_a_second_track_is_a_violation(rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)) as publisher:
        second = rtc.VideoSource(64, 64)
        second.capture_frame(picture(64, 64, 120))
        track = rtc.LocalVideoTrack.create_video_track("second", second)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=False)
        await publisher.room.local_participant.publish_track(track, options)
        await eventually(lambda: any("tracks at a time" in what for what in eye.violations), "a violation")


async def test_audio_is_a_violation(bed: Bed, eye: RecordingEye) -> None:
    async with publishing(bed.loose) as publisher:
        source = rtc.AudioSource(48000, 1)
        track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        await publisher.room.local_participant.publish_track(track, rtc.TrackPublishOptions())
        await eventually(lambda: any(what.startswith("audio") for what in eye.violations), "a violation")


async def test_a_track_that_replaces_the_former_is_none(rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)) as publisher:
        await eventually(lambda: eye.count > 5, "5 frames")
        await publisher.room.local_participant.unpublish_track(publisher.track.sid)
        await publisher.publish()
        before = eye.count
        await eventually(lambda: eye.count > before + 20, "frames of the second track")
    assert eye.violations == []


async def test_auto_subscribe_is_a_violation(media_net: str) -> None:
    """Seen by the embedded rooms alone: a real server does not tell other participants."""
    eye = RecordingEye()
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, eye)
        async with publishing(rooms.publish_access(STREAM, TTL), SdkPublisher(auto_subscribe=True)):
            assert eye.violations == ["auto-subscribe: the client joined with it on"]


async def test_a_codec_that_is_not_understood_is_refused(media_net: str) -> None:
    eye = RecordingEye()
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, eye)
        async with publishing(rooms.publish_access(STREAM, TTL), SdkPublisher(codec=rtc.VideoCodec.VP9)) as publisher:
            await eventually(lambda: "disconnected" in publisher.events, "being sent away")
    assert "VP8, H.264 and Opus are understood" in eye.violations[0]


async def test_who_leaves_is_reported(rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)):
        await eventually(lambda: eye.count > 5, "5 frames")
        assert eye.left == []
    await eventually(lambda: len(eye.left) == 1, "the publisher left")


async def test_a_second_connection_evicts_the_first_and_goes_on(rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)) as former:
        await eventually(lambda: eye.count > 5, "5 frames")
        async with publishing(rooms.publish_access(STREAM, TTL)) as successor:
            await eventually(lambda: "disconnected" in former.events, "the first is evicted")
            await former.pause()
            successor.show(200)
            await eventually(lambda: shows(eye, 200), "frames of the second")
            assert (eye.left, eye.violations) == ([], [])


@pytest.mark.parametrize(
    "kind",
    [rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT, rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT],
    ids=["signal reconnect", "full reconnect"],
)
async def test_a_reconnect_brings_the_picture_back(
    rooms: MediaAdapter, eye: RecordingEye, kind: rtc.SimulateScenarioKind.ValueType
) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)) as publisher:
        await eventually(lambda: eye.count > 5, "5 frames")
        await publisher.room.simulate_scenario(kind)
        await eventually(lambda: "reconnected" in publisher.events, "the SDK reconnects")
        before = eye.count
        await eventually(lambda: eye.count > before + 20, "frames after it")
    assert eye.violations == []


async def test_closing_the_room_sends_its_publisher_away(rooms: MediaAdapter, eye: RecordingEye) -> None:
    async with publishing(rooms.publish_access(STREAM, TTL)) as publisher:
        await eventually(lambda: eye.count > 5, "5 frames")
        await rooms.close_room(STREAM)
        await eventually(lambda: "disconnected" in publisher.events, "the publisher is disconnected")
        await rooms.close_room(STREAM)  # again, which does nothing


async def test_rooms_do_not_see_each_other(rooms: MediaAdapter, eye: RecordingEye) -> None:
    other = RecordingEye()
    await rooms.open_room("stream-2", other)
    async with publishing(rooms.publish_access(STREAM, TTL)):
        await eventually(lambda: eye.count > 10, "10 frames")
    assert (other.count, other.left) == (0, [])


async def test_a_token_of_another_key_is_refused(rooms: MediaAdapter, eye: RecordingEye) -> None:
    access = rooms.publish_access(STREAM, TTL)
    forged = tokens.publish_token("simulator", "x" * 32, STREAM, TTL)
    assert await status(access.url, "/rtc", forged) == 401
    assert await status(access.url, "/rtc/validate", forged) == 401
    assert await status(access.url, "/rtc/validate", access.token) == 200


async def test_an_expired_token_is_refused_to_the_second(media_net: str) -> None:
    """A real server allows a minute more."""
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, RecordingEye())
        expired = rooms.publish_access(STREAM, -1.0)
        assert await status(expired.url, "/rtc/validate", expired.token) == 401
        with pytest.raises(rtc.ConnectError, match="401"):
            await SdkPublisher().join(expired)


async def test_who_spectates_sees_the_picture_on_a_real_server(child: LiveKitChild) -> None:
    eye, spectator = RecordingEye(), RecordingEye()
    async with real(child) as rooms:
        await rooms.open_room(STREAM, eye)
        async with publishing(rooms.publish_access(STREAM, TTL)):
            access = rooms.spectate_access(STREAM, TTL)
            watch = await watch_foreign(access.url, access.token, spectator, pytest.fail)
            await eventually(lambda: spectator.count > 5, "5 frames")
            await watch.close()
            assert eye.left == []


async def test_who_spectates_in_embedded_rooms_is_told_why_not(media_net: str) -> None:
    async with embedded(media_net) as rooms:
        await rooms.open_room(STREAM, RecordingEye())
        access = rooms.spectate_access(STREAM, TTL)
        with pytest.raises(rtc.ConnectError, match="--media livekit-server"):
            await SdkPublisher().join(access)


async def test_a_foreign_room_is_watched_until_its_publisher_leaves(child: LiveKitChild) -> None:
    eye = RecordingEye()
    published = tokens.publish_token(child.key, child.secret, "theirs", TTL)
    async with publishing(RoomAccess(child.url, published)):
        watch = await watch_foreign(
            child.url, tokens.subscribe_token(child.key, child.secret, "theirs", "us", TTL), eye, pytest.fail
        )
        await eventually(lambda: eye.count > 5, "5 frames")
    await eventually(lambda: eye.left, "the publisher left")
    await watch.close()


async def test_a_foreign_room_that_refuses_us_is_an_error(child: LiveKitChild) -> None:
    with pytest.raises(RuntimeError, match="cannot join the room on ws://"):
        await watch_foreign(child.url, "no token", RecordingEye(), pytest.fail)


async def test_a_foreign_room_that_stays_away_is_given_up(child: LiveKitChild) -> None:
    lost: list[str] = []
    token = tokens.subscribe_token(child.key, child.secret, "theirs", "us", TTL)
    watch = await watch_foreign(child.url, token, RecordingEye(), lost.append, patience=1.0)
    await child.kill()
    await eventually(lambda: lost, "giving up", bound=5)
    await watch.close()


async def test_a_watch_is_taken_up_again_after_a_restart_of_the_server(child: LiveKitChild) -> None:
    eye = RecordingEye()
    async with real(child) as rooms:
        await rooms.open_room(STREAM, eye)
        async with publishing(rooms.publish_access(STREAM, TTL)):
            await eventually(lambda: eye.count > 5, "5 frames")
            await child.kill()
        await child.start()
        async with publishing(rooms.publish_access(STREAM, TTL)):
            before = eye.count
            await eventually(lambda: eye.count > before + 5, "frames after the restart", bound=5)


async def test_the_server_is_ended_by_close(child: LiveKitChild, media_net: str) -> None:
    await child.close()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(media_net, URL(child.url).port)


async def test_a_server_that_is_not_there_is_one_clear_sentence(media_net: str) -> None:
    rooms = LiveKitRooms(f"ws://{media_net}:9", "key", "s" * 32)
    with pytest.raises(RuntimeError, match=f"livekit-server at ws://{media_net}:9 cannot be used"):
        await rooms.start()


def shows(eye: RecordingEye, level: int) -> bool:
    return abs(eye.level() - level) < 10


async def status(url: str, path: str, token: str) -> int:
    """The HTTP status of a plain GET with `token`."""
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {token}", "Upgrade": "websocket", "Connection": "Upgrade"}
        async with session.get(url.replace("ws", "http", 1) + path, headers=headers) as response:
            return response.status
