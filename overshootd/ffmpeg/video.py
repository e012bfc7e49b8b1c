"""A video file: its packets one by one, and its pictures on demand.

PyAV and not OpenCV: it gives packets before they are decoded, so that frames nobody wants cost nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av

from overshootd.errors import CameraEnded, CameraLost
from overshootd.ffmpeg.draw import Drawer, quarter_turns
from overshootd.ffmpeg.errors import FFMPEG_ERRORS, lost
from overshootd.ffmpeg.lazy import LazyDecoder, VideoPacket

AHEAD_PACKETS = 64
"""How far to read for a first picture: H.264 reorders 16 frames at most, the rest is for damaged ones."""


class Video:
    """The best video stream of what FFmpeg can open: its packets, and its pictures, decoded as late as possible.

    `width` and `height` are as shown: turned as its metadata says, pixels square.
    """

    def __init__(self, url: str, name: str) -> None:
        """Open and decode the first picture. Raises CameraLost; errors begin with `name`."""
        self._name = name
        try:
            # Tags in odd encodings are no reason to refuse a video.
            self._container = av.open(url, metadata_errors="ignore")
        except FFMPEG_ERRORS as error:
            raise lost(name, error) from error
        stream = self._container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            self._container.close()
            raise CameraLost(f"{name}: it has no video stream")
        self._decoder = LazyDecoder(stream.codec_context, name)
        self._demuxer = self._demux(stream)
        self._queue: deque[VideoPacket] = deque()  # read, not yet advanced to
        self._decoded_ahead = 0  # how many of those the decoder has had
        self._drawer = Drawer()
        try:
            first = self._newest_frame()
        except CameraLost:
            self._container.close()
            raise
        shape = (round(first.width * float(stream.sample_aspect_ratio or 1)), first.height)
        self.width, self.height = shape[::-1] if quarter_turns(first) % 2 else shape
        self.fps = float(stream.average_rate or stream.guessed_rate or 25)

    def next_time(self) -> float | None:
        """When the next packet is to be shown, in seconds of the video, if it says. Raises CameraEnded, CameraLost."""
        if not self._queue:
            packet = next(self._demuxer, None)
            if packet is None:
                raise CameraEnded(f"{self._name}: played to its end")
            self._queue.append(packet)
        packet = self._queue[0]
        # By decoding time, which rises: a picture may so be the reordering delay behind its packet.
        ticks = packet.dts if packet.dts is not None else packet.pts
        return None if ticks is None else float(ticks * packet.time_base)

    def advance(self) -> None:
        """Step to the packet that `next_time` spoke of. Raises CameraLost."""
        packet = self._queue.popleft()
        if self._decoded_ahead:
            self._decoded_ahead -= 1
            return
        self._decoder.add(packet)
        if self._decoder.full:
            self._decoder.decode_pending()

    def picture(self, width: int, height: int) -> memoryview:
        """The picture at the packet last advanced to, as packed I420 of this even size. Raises CameraLost."""
        self._decoder.decode_pending()
        return self._drawer.draw(self._newest_frame(), width, height)

    def close(self) -> None:
        self._container.close()

    def _demux(self, stream: av.VideoStream) -> Iterator[VideoPacket]:
        try:
            for packet in self._container.demux(stream):
                if packet.size:  # the last one is empty: PyAV's sign for the decoder to flush
                    yield packet
        except FFMPEG_ERRORS as error:
            raise lost(self._name, error) from error

    def _newest_frame(self) -> av.VideoFrame:
        """The newest that the decoder has given; while it holds all back, to reorder them, it is fed from ahead."""
        while self._decoder.newest is None:
            if self._decoded_ahead == len(self._queue):
                packet = next(self._demuxer, None)
                if packet is None or self._decoded_ahead == AHEAD_PACKETS:
                    self._decoder.decode(None)
                    break
                self._queue.append(packet)
            self._decoder.decode(self._queue[self._decoded_ahead])
            self._decoded_ahead += 1
        if self._decoder.newest is None:
            raise CameraLost(f"{self._name}: it has no picture that can be decoded")
        return self._decoder.newest
