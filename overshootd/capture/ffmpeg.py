"""FFmpeg through PyAV, in the one module that knows it. Its exceptions become CameraLost here.

PyAV and not OpenCV: it gives packets before they are decoded, so that frames nobody wants cost nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from overshootd.errors import CameraEnded, CameraLost

PENDING_PACKETS, PENDING_BYTES = 64, 4 * 2**20
"""What is kept undecoded at most: beyond, decoding it all when a picture is asked would take a Pi 4 half a second."""

SHOWN_PACKETS = 4
"""The last packets are decoded in full; in those before, frames that no other refers to are skipped."""

AHEAD_PACKETS = 64
"""How far to read for a first picture: H.264 reorders 16 frames at most, the rest is for damaged ones."""

CORRUPT_PACKETS = 100
"""Packets in a row that cannot be decoded before the video counts as lost. FFmpeg's own tools go on for ever."""

Plane = NDArray[np.uint8]
VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"  # generic in the stubs only


class Video:
    """The best video stream of what FFmpeg can open: its packets, and its pictures, decoded as late as possible.

    Packets since the last keyframe wait undecoded until a picture is wanted; at the next keyframe they are dropped, for
    nothing refers to them any more. So of MJPEG and the like only the wanted packets are decoded.
    `width` and `height` are as shown: turned as its metadata says, pixels square.
    """

    def __init__(self, url: str, name: str) -> None:
        """Open and decode the first picture. Raises CameraLost; errors begin with `name`."""
        self._name = name
        try:
            # Tags in odd encodings are no reason to refuse a video.
            self._container = av.open(url, metadata_errors="ignore")
        except (av.FFmpegError, OSError) as error:
            raise self._lost(error) from error
        stream = self._container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            self._container.close()
            raise CameraLost(f"{name}: it has no video stream")
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1  # a Pi has other work; and each thread of FFmpeg holds back a frame
        self._demuxer = self._demux(stream)
        self._queue: deque[VideoPacket] = deque()  # read, not yet advanced to
        self._decoded_ahead = 0  # how many of those the decoder has had
        self._pending: list[VideoPacket] = []  # advanced to, not yet decoded
        self._pending_bytes = 0
        self._jump = False
        self._corrupt = 0
        self._newest: av.VideoFrame | None = None
        self._reformatter = VideoReformatter()
        try:
            first = self._newest_frame()
        except CameraLost:
            self._container.close()
            raise
        shape = (round(first.width * float(stream.sample_aspect_ratio or 1)), first.height)
        self.width, self.height = shape[::-1] if _quarter_turns(first) % 2 else shape
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
        """Step to the packet that `next_time` spoke of."""
        packet = self._queue.popleft()
        if self._decoded_ahead:
            self._decoded_ahead -= 1
            return
        if packet.is_keyframe and self._pending:
            self._pending.clear()
            self._pending_bytes = 0
            self._jump = True
        self._pending.append(packet)
        self._pending_bytes += packet.size
        if len(self._pending) > PENDING_PACKETS or self._pending_bytes > PENDING_BYTES:
            self._decode_pending()

    def picture(self, width: int, height: int) -> memoryview:
        """The picture at the packet last advanced to, as packed I420 of this even size. Raises CameraLost."""
        self._decode_pending()
        frame = self._newest_frame()
        turns = _quarter_turns(frame)
        if turns % 2:
            width, height = height, width
        # WebRTC's white is 235, JPEG's and many phones' 255. Unless both ranges are named, full range passes unchanged.
        full = frame.color_range == ColorRange.JPEG
        ranges = (ColorRange.JPEG, ColorRange.MPEG) if full else (None, None)
        scaled = self._reformatter.reformat(
            frame, width, height, "yuv420p", src_color_range=ranges[0], dst_color_range=ranges[1], threads=1
        )
        packed = scaled.to_ndarray().astype(np.uint8, copy=False).reshape(-1)
        return (packed if turns == 0 else _turned(packed, width, height, turns)).data

    def close(self) -> None:
        self._container.close()

    def _demux(self, stream: av.VideoStream) -> Iterator[VideoPacket]:
        try:
            for packet in self._container.demux(stream):
                if packet.size:  # the last one is empty: PyAV's sign for the decoder to flush
                    yield packet
        except (av.FFmpegError, OSError) as error:
            raise self._lost(error) from error

    def _decode_pending(self) -> None:
        if self._jump:
            # What a seek does: frames that refer to the dropped ones must not be shown.
            self._decoder.flush_buffers()
            self._newest, self._jump = None, False
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for index, packet in enumerate(pending):
            self._decoder.skip_frame = "NONREF" if len(pending) - index > SHOWN_PACKETS else "DEFAULT"
            self._decode(packet)

    def _newest_frame(self) -> av.VideoFrame:
        """The newest that the decoder has given; while it holds all back, to reorder them, it is fed from ahead."""
        while self._newest is None:
            if self._decoded_ahead == len(self._queue):
                packet = next(self._demuxer, None)
                if packet is None or self._decoded_ahead == AHEAD_PACKETS:
                    self._decode(None)
                    break
                self._queue.append(packet)
            self._decoder.skip_frame = "DEFAULT"
            self._decode(self._queue[self._decoded_ahead])
            self._decoded_ahead += 1
        if self._newest is None:
            raise CameraLost(f"{self._name}: it has no picture that can be decoded")
        return self._newest

    def _decode(self, packet: VideoPacket | None) -> None:
        try:
            frames = self._decoder.decode(packet)
        except av.InvalidDataError as error:
            self._corrupt += 1
            if self._corrupt >= CORRUPT_PACKETS:
                raise CameraLost(f"{self._name}: {self._corrupt} packets in a row cannot be decoded") from error
            return
        except (av.FFmpegError, OSError) as error:
            raise self._lost(error) from error
        if frames:
            self._newest, self._corrupt = frames[-1], 0

    def _lost(self, error: Exception) -> CameraLost:
        return CameraLost(f"{self._name}: {(isinstance(error, av.FFmpegError | OSError) and error.strerror) or error}")


def _quarter_turns(frame: av.VideoFrame) -> int:
    """How often to turn the frame by 90 degrees counterclockwise to show it upright: phones film sideways."""
    return round(frame.rotation / 90) % 4


def _turned(packed: Plane, width: int, height: int, turns: int) -> Plane:
    luma, chroma = width * height, width * height // 4
    planes = (
        packed[:luma].reshape(height, width),
        packed[luma : luma + chroma].reshape(height // 2, width // 2),
        packed[luma + chroma :].reshape(height // 2, width // 2),
    )
    return np.concatenate([np.rot90(plane, turns).ravel() for plane in planes])
