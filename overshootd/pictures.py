"""Answers `snapshot`: a picture of a camera that the daemon has open, as it would be published now.

It takes part in the camera as a stream does, with a subscription of its own. That needs nothing, so the camera is
neither opened for it nor opened anew; its thread draws what is asked for, behind the same curtain, until the first
picture has come. That is encoded in one worker thread, a picture at a time: neither the camera's thread nor the event
loop waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from overshootd.capture.feed import CameraFeed
from overshootd.config.load import Loaded
from overshootd.contracts import CameraState, CaptureNeed, Picture
from overshootd.control.picture import JPEG_BYTES, Asked, had, not_had, read_words
from overshootd.control.wire import Json
from overshootd.errors import CameraEnded, CameraLost, Permanent
from overshootd.sight import Sight, find
from overshootd.status import CameraNow

NOTHING = CaptureNeed(0.0, 0, 0)
"""Whatever the camera gives will do."""

CLOSED = (CameraState.IDLE, CameraState.ENDED, CameraState.FAILED)


class Pictures:
    """`feeds` and `cameras` are the daemon's, by the same names, and read when somebody asks."""

    def __init__(self, loaded: Loaded, feeds: Mapping[str, CameraFeed], cameras: Mapping[str, CameraNow]) -> None:
        self._loaded, self._feeds, self._cameras = loaded, feeds, cameras
        self._encoding = asyncio.Lock()

    async def __call__(self, request: Json) -> Json:
        """Raises NotUnderstood for wrong words, and as `_taken`."""
        asked = read_words(request)
        sight = find(self._loaded, asked.name)
        if sight is None:
            return not_had(f"the daemon knows no stream and no camera {asked.name[:40]!r}")
        if asked.fingerprint not in ("", sight.fingerprint):
            return not_had(f"the daemon runs with another configuration of {asked.name}, until it is restarted")
        feed = self._feeds.get(sight.source)
        if feed is None or self._state(sight) in CLOSED:
            return not_had(f"the daemon does not have the camera of {asked.name} open")
        if self._state(sight) == CameraState.LOST:
            raise CameraLost(f"{asked.name} has no picture: {self._told(sight)}")
        return await self._taken(feed, sight, asked)

    async def _taken(self, feed: CameraFeed, sight: Sight, asked: Asked) -> Json:
        """Raises CameraLost, CameraEnded or Permanent with what whoever asked should know."""
        try:
            async with asyncio.timeout(asked.seconds):
                picture = await _next(feed, sight)
                return had(await self._encoded(picture), picture.width, picture.height)
        except TimeoutError:
            raise CameraLost(f"{asked.name} gave no picture within {asked.seconds:g} s: {self._told(sight)}") from None
        except (CameraLost, CameraEnded, Permanent) as error:
            raise type(error)(f"{asked.name} has no picture: {error}") from error

    async def _encoded(self, picture: Picture) -> bytes:
        async with self._encoding:
            return await asyncio.to_thread(_jpeg, picture)

    def _state(self, sight: Sight) -> str:
        now = self._cameras.get(sight.source)
        return CameraState.OPENING if now is None else now.state

    def _told(self, sight: Sight) -> str:
        """What its camera does, and why."""
        now = self._cameras.get(sight.source)
        why = f": {now.why}" if now is not None and now.why else ""
        return f"camera {sight.source} is {self._state(sight)}{why}"


async def _next(feed: CameraFeed, sight: Sight) -> Picture:
    """The next frame that can be shown. Raises CameraLost, CameraEnded or Permanent."""
    subscription = feed.subscribe(NOTHING, sight.view)
    try:
        given = await subscription.ready()
        subscription.start(lambda _captured_ns: True, *sight.size(given.width, given.height))
        picture = await subscription.next()
        assert isinstance(picture, Picture), "no access units were asked for"
        return picture
    finally:
        subscription.close()


def _jpeg(picture: Picture) -> bytes:
    from overshootd.ffmpeg.still import jpeg  # in the worker: FFmpeg takes a second to load on a slow board

    return jpeg(picture, JPEG_BYTES)
